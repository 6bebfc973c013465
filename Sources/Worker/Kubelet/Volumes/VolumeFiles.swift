// Which files a ConfigMap, Secret, downward or projected volume shows. Reads objects and tokens; writes nothing.
// Apart from PodVolumes so that what is shown and where it is put are two questions. It must never show half a volume:
// a source that is missing and not optional is an error.
import API

package struct VolumeFiles: Sendable {
    private let objects: ObjectCache
    private let tokens: TokenSource

    package init(objects: ObjectCache, tokens: TokenSource) {
        self.objects = objects
        self.tokens = tokens
    }

    /// The directory name of a volume whose content comes from the API; nil for other volumes.
    package static func kind(of volume: JSON) -> String? {
        if volume["configMap"] != nil { return "configmap" }
        if volume["secret"] != nil { return "secret" }
        if volume["downwardAPI"] != nil { return "downward-api" }
        return volume["projected"] != nil ? "projected" : nil
    }

    package func content(of volume: JSON, _ pod: JSON, _ facts: PodFacts) async throws -> [String: ProjectedFile] {
        if let source = volume["configMap"] {
            return try await keyed(.configMap, source["name"]?.string ?? "", source, Self.mode(source), pod)
        }
        if let source = volume["secret"] {
            return try await keyed(.secret, source["secretName"]?.string ?? "", source, Self.mode(source), pod)
        }
        if let source = volume["downwardAPI"] { return try downward(source, Self.mode(source), pod, facts) }
        var files: [String: ProjectedFile] = [:]
        let projected = volume["projected"] ?? .null
        for source in projected["sources"]?.elements ?? [] {
            files.merge(try await projection(source, Self.mode(projected), pod, facts)) { $1 }
        }
        return files
    }

    private static func mode(_ source: JSON) -> UInt32 {
        UInt32(truncatingIfNeeded: source["defaultMode"]?.int ?? 0o644) & 0o777
    }

    private func projection(
        _ source: JSON, _ mode: UInt32, _ pod: JSON, _ facts: PodFacts
    ) async throws -> [String:
        ProjectedFile]
    {
        if let map = source["configMap"] {
            return try await keyed(.configMap, map["name"]?.string ?? "", map, mode, pod)
        }
        if let secret = source["secret"] {
            return try await keyed(.secret, secret["name"]?.string ?? "", secret, mode, pod)
        }
        if let fields = source["downwardAPI"] { return try downward(fields, mode, pod, facts) }
        guard let token = source["serviceAccountToken"] else { throw VolumeError("this projection is not supported") }
        let bytes = try await tokens.token(
            for: pod, audience: token["audience"]?.string ?? "", seconds: token["expirationSeconds"]?.int ?? 3600)
        return [token["path"]?.string ?? "token": ProjectedFile(bytes: bytes, mode: mode)]
    }

    private func keyed(
        _ kind: ObjectName.Kind, _ name: String, _ source: JSON, _ mode: UInt32, _ pod: JSON
    )
        async throws -> [String: ProjectedFile]
    {
        let isOptional = source["optional"]?.bool == true
        guard let bytes = try await objects.get(ObjectName(kind, pod.namespace, name)) else {
            if isOptional { return [:] }
            throw VolumeError("\(kind.rawValue) \"\(name)\" not found")
        }
        guard let items = source["items"]?.array, !items.isEmpty else {
            return bytes.mapValues { ProjectedFile(bytes: $0, mode: mode) }
        }
        var files: [String: ProjectedFile] = [:]
        for item in items {
            let key = item["key"]?.string ?? ""
            guard let value = bytes[key] else {
                if isOptional { continue }
                throw VolumeError("references non-existent \(kind == .configMap ? "config" : "secret") key: \(key)")
            }
            let own = item["mode"]?.int.map { UInt32(truncatingIfNeeded: $0) & 0o777 } ?? mode
            files[item["path"]?.string ?? key] = ProjectedFile(bytes: value, mode: own)
        }
        return files
    }

    private func downward(
        _ source: JSON, _ mode: UInt32, _ pod: JSON, _ facts: PodFacts
    ) throws -> [String:
        ProjectedFile]
    {
        var files: [String: ProjectedFile] = [:]
        for item in source["items"]?.elements ?? [] {
            let text: String
            if let path = item["fieldRef", "fieldPath"]?.string {
                guard let value = DownwardFields.value(path, pod, facts) else {
                    throw VolumeError("unsupported fieldPath: \(path)")
                }
                text = value
            } else {
                text = try DownwardFields.resource(item["resourceFieldRef"] ?? .null, pod, container: nil, facts)
            }
            let own = item["mode"]?.int.map { UInt32(truncatingIfNeeded: $0) & 0o777 } ?? mode
            files[item["path"]?.string ?? ""] = ProjectedFile(bytes: Array(text.utf8), mode: own)
        }
        return files
    }
}
