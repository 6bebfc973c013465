// What this machine is: processors, memory, disk, names. Read once from /proc, /etc and the kernel; blocking.
// It exists so that the rest of the module works on values. It must never fail a start: what is unreadable
// stays unknown.
import Glibc

package struct MachineFacts: Sendable, Equatable {
    package var milliCPU: Int64 = 1000
    package var memoryBytes: Int64 = 0
    package var diskBytes: Int64 = 0
    package var machineID = ""
    package var systemUUID = ""
    package var bootID = ""
    package var kernelVersion = ""
    package var osImage = "Linux"
    package var architecture = "amd64"

    package init() {}

    /// Reads the machine; what cannot be read keeps its default.
    package static func read(rootDirectory: String) -> MachineFacts {
        var facts = MachineFacts()
        facts.milliCPU = max(1, Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) * 1000
        facts.memoryBytes = memoryBytes()
        facts.diskBytes = Disk.read(rootDirectory)?.totalBytes ?? 0
        facts.machineID = line("/etc/machine-id")
        facts.systemUUID = line("/sys/class/dmi/id/product_uuid").nonEmpty ?? facts.machineID
        facts.bootID = line("/proc/sys/kernel/random/boot_id")
        facts.kernelVersion = line("/proc/sys/kernel/osrelease")
        facts.osImage = osName() ?? "Linux"
        #if arch(arm64)
            facts.architecture = "arm64"
        #endif
        return facts
    }

    static func line(_ path: String) -> String {
        do throws(FileError) { return String(try Files.text(path, limit: 4096).prefix { $0 != "\n" }) } catch {
            return ""
        }
    }

    private static func memoryBytes() -> Int64 { memory("MemTotal:") ?? 0 }

    /// A figure of /proc/meminfo in bytes.
    package static func memory(_ name: String) -> Int64? {
        do throws(FileError) {
            let text = try Files.text("/proc/meminfo", limit: 65536)
            for line in text.split(separator: "\n") where line.hasPrefix(name) {
                return line.split(separator: " ").dropFirst().first.flatMap { Int64($0) }.map { $0 * 1024 }
            }
            return nil
        } catch { return nil }
    }

    private static func osName() -> String? {
        for path in ["/etc/os-release", "/usr/lib/os-release"] where Files.exists(path) {
            do throws(FileError) {
                let lines = try Files.text(path, limit: 65536).split(separator: "\n")
                let name = lines.first { $0.hasPrefix("PRETTY_NAME=") }
                if let name { return String(name.dropFirst("PRETTY_NAME=".count).filter { $0 != "\"" }) }
            } catch { continue }
        }
        return nil
    }
}

/// Room on a file system.
package struct Disk: Sendable, Equatable {
    package var totalBytes: Int64
    package var freeBytes: Int64
    package init(totalBytes: Int64, freeBytes: Int64) {
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
    }

    package var usedPercent: Int { totalBytes > 0 ? Int((totalBytes - freeBytes) * 100 / totalBytes) : 0 }

    package static func read(_ path: String) -> Disk? {
        var found = statvfs()
        guard statvfs(path, &found) == 0 else { return nil }
        let size = Int64(found.f_frsize)
        return Disk(totalBytes: Int64(found.f_blocks) * size, freeBytes: Int64(found.f_bavail) * size)
    }
}
