// What the kernel says of processes: CPU time, memory, and how busy the machine is besides.
import Glibc

enum Proc {
    static let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))

    static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            guard count > 0 else { break }
            text += piece[..<count]
        }
        return ferror(file) == 0 ? String(decoding: text, as: UTF8.self) : nil
    }

    /// User and system time of all threads so far.
    static func cpuSeconds(_ pid: pid_t) -> Double {
        guard let text = text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return 0 }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else { return 0 }
        return (user + system) / ticksPerSecond
    }

    /// Bytes of `VmRSS` or `VmHWM`.
    static func memory(_ pid: pid_t, _ field: String) -> Int {
        for line in (text("/proc/\(pid)/status") ?? "").split(separator: "\n") where line.hasPrefix("\(field):") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
        }
        return 0
    }

    /// Seconds that all cores together were busy.
    static func busySeconds() -> Double {
        let line = (text("/proc/stat") ?? "").split(separator: "\n").first ?? ""
        let fields = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard fields.count > 7 else { return 0 }
        return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7]) / ticksPerSecond
    }

    /// Bytes of the files below a folder.
    static func folderBytes(_ path: String) -> Int {
        guard let folder = opendir(path) else { return 0 }
        defer { closedir(folder) }
        var sum = 0
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name != ".", name != ".." else { continue }
            var status = stat()
            guard lstat("\(path)/\(name)", &status) == 0 else { continue }
            sum += status.st_mode & S_IFMT == S_IFDIR ? folderBytes("\(path)/\(name)") : Int(status.st_blocks) * 512
        }
        return sum
    }
}
