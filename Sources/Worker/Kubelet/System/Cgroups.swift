// The pod's cgroup: made before its sandbox, with the pod's own limits, and removed after it. cgroupfs driver,
// v1 and v2.
// Best effort where the kernel lacks a controller; it must never touch a group outside `<root>/kubepods`.
import Glibc

package struct Cgroups: Sendable {
    private let mount: String
    package let isV2: Bool

    package init(mount: String = "/sys/fs/cgroup") {
        self.mount = mount
        isV2 = Files.exists(mount + "/cgroup.controllers")
    }

    private static let v1Controllers = [
        "cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio", "systemd", "hugetlb"
    ]
    private static let v2Controllers = "+cpu +memory +pids +cpuset +io"

    private func hierarchies() -> [String] {
        isV2 ? [mount] : Self.v1Controllers.map { "\(mount)/\($0)" }.filter(Files.isDirectory)
    }

    /// Makes the group with everything above it and sets the limits. Returns what could not be done.
    package func make(_ group: String, _ resources: ContainerResources) -> [FileError] {
        var problems: [FileError] = []
        for hierarchy in hierarchies() {
            do throws(FileError) { try makeOne(group, in: hierarchy) } catch { problems.append(error) }
        }
        problems += isV2 ? limitV2(group, resources) : limitV1(group, resources)
        return problems
    }

    private func makeOne(_ group: String, in hierarchy: String) throws(FileError) {
        var path = hierarchy
        for part in group.split(separator: "/") {
            if isV2 { enableControllers(path) }
            path += "/" + part
            try Files.makeDirectory(path)
            if hierarchy.hasSuffix("/cpuset") { try inheritCpuset(path) }
        }
    }

    /// A refusal shows later, when a limit is written.
    private func enableControllers(_ path: String) {
        for controller in Self.v2Controllers.split(separator: " ") {
            do throws(FileError) { try set(path + "/cgroup.subtree_control", String(controller)) } catch { continue }
        }
    }

    private func inheritCpuset(_ path: String) throws(FileError) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = try Files.text(path + "/" + file)
            guard own.allSatisfy(\.isWhitespace) else { continue }
            try set(path + "/" + file, try Files.text(Files.parent(of: path) + "/" + file))
        }
    }

    private func set(_ path: String, _ value: String) throws(FileError) {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", path) }
        defer { close(file) }
        let bytes = Array(value.utf8)
        guard write(file, bytes, bytes.count) == bytes.count else { throw FileError("write", path) }
    }

    private func limitV1(_ group: String, _ resources: ContainerResources) -> [FileError] {
        var values: [(String, String)] = []
        if resources.cpuShares > 0 { values.append(("cpu\(group)/cpu.shares", String(resources.cpuShares))) }
        if resources.cpuQuota > 0 {
            values.append(("cpu\(group)/cpu.cfs_period_us", String(resources.cpuPeriod)))
            values.append(("cpu\(group)/cpu.cfs_quota_us", String(resources.cpuQuota)))
        }
        if resources.memoryLimitBytes > 0 {
            values.append(("memory\(group)/memory.limit_in_bytes", String(resources.memoryLimitBytes)))
        }
        return apply(values)
    }

    private func limitV2(_ group: String, _ resources: ContainerResources) -> [FileError] {
        var values: [(String, String)] = []
        let path = String(group.drop { $0 == "/" })
        if resources.cpuShares > 0 {
            values.append(("\(path)/cpu.weight", String(Resources.weight(shares: resources.cpuShares))))
        }
        if resources.cpuQuota > 0 { values.append(("\(path)/cpu.max", "\(resources.cpuQuota) \(resources.cpuPeriod)")) }
        if resources.memoryLimitBytes > 0 { values.append(("\(path)/memory.max", String(resources.memoryLimitBytes))) }
        return apply(values)
    }

    private func apply(_ values: [(String, String)]) -> [FileError] {
        var problems: [FileError] = []
        for (path, value) in values {
            do throws(FileError) { try set("\(mount)/\(path)", value) } catch { problems.append(error) }
        }
        return problems
    }

    /// Removes the group and the groups below it; processes still inside make it fail.
    package func remove(_ group: String) -> [FileError] {
        var problems: [FileError] = []
        for hierarchy in hierarchies() {
            do throws(FileError) { try removeTree(hierarchy + group) } catch { problems.append(error) }
        }
        return problems
    }

    private func removeTree(_ path: String) throws(FileError) {
        guard Files.isRealDirectory(path) else { return }
        for name in try Files.list(path) where Files.isRealDirectory(path + "/" + name) {
            try removeTree(path + "/" + name)
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw FileError("rmdir", path) }
    }

    /// Uids of the pods that have a group below `root`, with the group's path.
    package func pods(root: String) -> [(uid: String, group: String)] {
        guard let hierarchy = hierarchies().first(where: { isV2 || $0.hasSuffix("/memory") }) else { return [] }
        let base = (root == "/" ? "" : root) + "/kubepods"
        var found: [(String, String)] = []
        for group in [base, base + "/burstable", base + "/besteffort"] where Files.isDirectory(hierarchy + group) {
            do throws(FileError) {
                for name in try Files.list(hierarchy + group) where name.hasPrefix("pod") {
                    found.append((String(name.dropFirst(3)), group + "/" + name))
                }
            } catch { continue }
        }
        return found
    }
}
