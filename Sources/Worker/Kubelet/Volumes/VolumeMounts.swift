// What of a pod's volumes a container sees, and where. A subPath is opened without following links out of its volume
// and pinned by a bind mount, so that nobody can exchange it between the check and the start.
import API
import Glibc

package struct VolumeMounts: Sendable {
    package let podDirectory: String

    package init(podDirectory: String) { self.podDirectory = podDirectory }

    /// The mounts of one container; `paths` are the pod's volumes by name.
    package func mounts(
        _ container: JSON, paths: [String: String], environment: [EnvironmentVariable]
    ) throws(ConfigurationError) -> [ContainerMount] {
        var list: [ContainerMount] = []
        let known = Dictionary(environment.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        for (i, mount) in (container["volumeMounts"]?.elements ?? []).enumerated() {
            let name = mount["name"]?.string ?? ""
            guard let volume = paths[name] else {
                throw ConfigurationError(
                    "cannot find volume \"\(name)\" to mount into container \"\(container["name"]?.string ?? "")\"")
            }
            let expression = mount["subPathExpr"]?.string?.nonEmpty.map { Expansion.expand($0) { known[$0] } }
            let subPath = mount["subPath"]?.string?.nonEmpty ?? expression
            var result = ContainerMount(
                containerPath: mount["mountPath"]?.string ?? "", hostPath: volume,
                isReadOnly: mount["readOnly"]?.bool ?? false)
            if let subPath { result.hostPath = try pinned(volume, subPath, name, container["name"]?.string ?? "", i) }
            switch mount["mountPropagation"]?.string {
            case "HostToContainer": result.propagation = .hostToContainer
            case "Bidirectional": result.propagation = .bidirectional
            default: break
            }
            list.append(result)
        }
        return list
    }

    private func pinned(
        _ volume: String, _ subPath: String, _ name: String, _ container: String, _ index: Int
    )
        throws(ConfigurationError) -> String
    {
        let parts = subPath.split(separator: "/").map(String.init)
        guard !subPath.hasPrefix("/"), !parts.contains("..") else {
            throw ConfigurationError("subPath \"\(subPath)\" must be a relative path without '..'")
        }
        guard let root = Files.realPath(volume) else {
            throw ConfigurationError("failed to prepare subPath for volumeMount \"\(name)\": no such volume")
        }
        do throws(FileError) {
            let file = try open(root, parts)
            defer { close(file) }
            return try bind(file, "\(podDirectory)/volume-subpaths/\(name)/\(container)/\(index)")
        } catch {
            throw ConfigurationError(
                "failed to prepare subPath for volumeMount \"\(name)\" of container \"\(container)\": \(error)")
        }
    }

    /// O_PATH, which the C overlay leaves out.
    private static let pathOnly: Int32 = 0x20_0000

    /// Opens a path inside `root`, making directories that are missing; links must stay inside.
    private func open(_ root: String, _ parts: [String]) throws(FileError) -> Int32 {
        var path = root
        for part in parts {
            let next = path + "/" + part
            if Files.linkStatus(next) == nil { try Files.makeDirectory(next, mode: 0o750) }
            guard let real = Files.realPath(next), real == root || real.hasPrefix(root + "/") else {
                throw FileError("open", next, EXDEV)
            }
            path = real
        }
        let file = Glibc.open(path, Self.pathOnly | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw FileError("open", path) }
        // What was opened decides, not what the name meant a moment ago.
        guard let opened = Files.readLink("/proc/self/fd/\(file)"), opened == root || opened.hasPrefix(root + "/")
        else {
            close(file)
            throw FileError("open", path, EXDEV)
        }
        return file
    }

    private func bind(_ file: Int32, _ target: String) throws(FileError) -> String {
        let source = "/proc/self/fd/\(file)"
        try Files.makeDirectory(Files.parent(of: target))
        if Files.exists(target) { try Files.unmount(target) }
        if Files.isDirectory(source) {
            try Files.makeDirectory(target)
        } else if !Files.exists(target) {
            try Files.write("", to: target)
        }
        try Files.bindMount(source, at: target)
        return target
    }
}
