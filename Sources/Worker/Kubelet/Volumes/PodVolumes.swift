// A pod's volumes on this node: made before its sandbox, refreshed while it runs, taken down after it.
// Layout as upstream: <root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>. Effects only; what goes into the files is
// decided in VolumeFiles.swift. It must never follow a link out of a volume.
import API
import Glibc

/// A volume that cannot be made ready; FailedMount shows the message.
package struct VolumeError: Error, Sendable, Equatable {
    package var message: String
    package init(_ message: String) { self.message = message }
}

package struct PodVolumes: Sendable {
    package let rootDirectory: String
    private let client: any ObjectClient
    private let files: VolumeFiles

    package init(rootDirectory: String, client: any ObjectClient, files: VolumeFiles) {
        self.rootDirectory = rootDirectory
        self.client = client
        self.files = files
    }

    package func podDirectory(_ uid: String) -> String { "\(rootDirectory)/pods/\(uid)" }
    private func directory(_ uid: String, _ kind: String, _ name: String) -> String {
        "\(podDirectory(uid))/volumes/kubernetes.io~\(kind)/\(name)"
    }

    /// Makes every volume ready. Returns the path on this machine by volume name.
    package func prepare(_ pod: JSON, _ facts: PodFacts) async throws(VolumeError) -> [String: String] {
        guard AtomicWriter.isSafe(pod.uid), !pod.uid.contains("/") else {
            throw VolumeError("pod uid \(pod.uid) is no name")
        }
        var paths: [String: String] = [:]
        for volume in pod["spec", "volumes"]?.elements ?? [] {
            let name = volume["name"]?.string ?? ""
            guard AtomicWriter.isSafe(name), !name.contains("/") else {
                throw VolumeError("volume name \(name) is no name")
            }
            do {
                paths[name] = try await prepare(volume, name, pod, facts)
            } catch let error as FileError {
                throw VolumeError("MountVolume.SetUp failed for volume \"\(name)\" : \(error)")
            } catch let error as VolumeError {
                throw VolumeError("MountVolume.SetUp failed for volume \"\(name)\" : \(error.message)")
            } catch {
                throw VolumeError("MountVolume.SetUp failed for volume \"\(name)\" : \(error)")
            }
        }
        return paths
    }

    private func prepare(_ volume: JSON, _ name: String, _ pod: JSON, _ facts: PodFacts) async throws -> String {
        let group = pod["spec", "securityContext", "fsGroup"]?.int.map { gid_t(truncatingIfNeeded: $0) }
        if let empty = volume["emptyDir"] { return try emptyDirectory(empty, name, pod, group) }
        if let host = volume["hostPath"] { return try Self.hostPath(host) }
        if let claim = volume["persistentVolumeClaim"] { return try await claimed(claim, pod) }
        guard let kind = VolumeFiles.kind(of: volume) else {
            throw VolumeError("this kind of volume is not supported: \(Self.kinds(volume))")
        }
        let path = directory(pod.uid, kind, name)
        try Files.makeDirectory(path)
        if (kind == "secret" || kind == "projected") && !Files.isMountPoint(path) {
            try Files.mountTmpfs(at: path, sizeBytes: nil)
        }
        try await project(volume, at: path, pod, facts, group)
        return path
    }

    private func project(_ volume: JSON, at path: String, _ pod: JSON, _ facts: PodFacts, _ group: gid_t?) async throws
    {
        let content = try await files.content(of: volume, pod, facts)
        let readable =
            group == nil ? content : content.mapValues { ProjectedFile(bytes: $0.bytes, mode: $0.mode | 0o440) }
        try Files.changeMode(path, group == nil ? 0o755 : 0o2775)
        if let group { try Files.changeOwner(path, group: group) }
        try AtomicWriter.write(readable, to: path, group: group, stamp: Clock.now())
    }

    private static func kinds(_ volume: JSON) -> String {
        (volume.object?.keys ?? []).filter { $0 != "name" }.joined(separator: ", ")
    }

    /// Brings projected volumes up to date; what cannot be read now stays as it is. Returns what failed.
    package func refresh(_ pod: JSON, _ facts: PodFacts) async -> [VolumeError] {
        var problems: [VolumeError] = []
        let group = pod["spec", "securityContext", "fsGroup"]?.int.map { gid_t(truncatingIfNeeded: $0) }
        for volume in pod["spec", "volumes"]?.elements ?? [] {
            guard let kind = VolumeFiles.kind(of: volume), let name = volume["name"]?.string else { continue }
            let path = directory(pod.uid, kind, name)
            guard Files.isDirectory(path) else { continue }
            do { try await project(volume, at: path, pod, facts, group) } catch {
                problems.append(VolumeError("volume \"\(name)\": \(error)"))
            }
        }
        return problems
    }

    private func emptyDirectory(_ empty: JSON, _ name: String, _ pod: JSON, _ group: gid_t?) throws -> String {
        let path = directory(pod.uid, "empty-dir", name)
        try Files.makeDirectory(path, mode: 0o777)
        if empty["medium"]?.string == "Memory", !Files.isMountPoint(path) {
            try Files.mountTmpfs(at: path, sizeBytes: Amount.units(empty["sizeLimit"]))
        }
        try Files.changeMode(path, group == nil ? 0o777 : 0o2777)
        if let group { try Files.changeOwner(path, group: group) }
        return path
    }

    static func hostPath(_ host: JSON) throws(FileErrorOrVolumeError) -> String {
        let path = host["path"]?.string ?? ""
        guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw .volume(VolumeError("invalid host path \(path)"))
        }
        let type = host["type"]?.string ?? ""
        do throws(FileError) {
            if type == "DirectoryOrCreate" { try Files.makeDirectory(path) }
            if type == "FileOrCreate" && !Files.exists(path) { try Files.write("", to: path) }
        } catch {
            throw .file(error)
        }
        let wanted: [String: (mode_t, String)] = [
            "DirectoryOrCreate": (S_IFDIR, "directory"), "Directory": (S_IFDIR, "directory"),
            "FileOrCreate": (S_IFREG, "file"),
            "File": (S_IFREG, "file"), "Socket": (S_IFSOCK, "socket file"), "CharDevice": (S_IFCHR, "character device"),
            "BlockDevice": (S_IFBLK, "block device")
        ]
        guard let (mode, title) = wanted[type] else { return path }
        guard let found = Files.status(path), found.st_mode & S_IFMT == mode else {
            throw .volume(VolumeError("hostPath type check failed: \(path) is not a \(title)"))
        }
        return path
    }

    /// A claim bound to a volume that is a directory of this machine.
    private func claimed(_ claim: JSON, _ pod: JSON) async throws -> String {
        let name = claim["claimName"]?.string ?? ""
        let found = try await client.get(
            GroupVersionResource("", "v1", "persistentvolumeclaims"), namespace: pod.namespace, name: name)
        guard let volume = found["spec", "volumeName"]?.string?.nonEmpty else {
            throw VolumeError("persistentvolumeclaim \"\(name)\" is not bound")
        }
        let bound = try await client.get(
            GroupVersionResource("", "v1", "persistentvolumes"), namespace: nil, name: volume)
        if let host = bound["spec", "hostPath"] { return try Self.hostPath(host) }
        if let local = bound["spec", "local", "path"] {
            return try Self.hostPath(["path": local, "type": "Directory"])
        }
        throw VolumeError("this kind of persistent volume is not supported: \(volume)")
    }

    /// Unmounts and removes everything of a pod.
    package func tearDown(uid: String) throws(FileError) {
        guard AtomicWriter.isSafe(uid), !uid.contains("/") else { return }
        let base = podDirectory(uid)
        guard Files.isDirectory(base) else { return }
        for path in try mountPoints(below: base).reversed() { try Files.unmount(path) }
        try Files.removeTree(base)
    }

    private func mountPoints(below base: String) throws(FileError) -> [String] {
        let lines = try Files.text("/proc/self/mountinfo").split(separator: "\n")
        return lines.compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { return nil }
            let path = String(fields[4])
            return path.hasPrefix(base + "/") ? path : nil
        }
    }
}

/// Either kind of failure of a host path.
package enum FileErrorOrVolumeError: Error, CustomStringConvertible {
    case file(FileError)
    case volume(VolumeError)
    package var description: String {
        switch self {
        case .file(let error): error.description
        case .volume(let error): error.message
        }
    }
}
