// OpenAPI v3 documents, one for each group and version, made from the schema table when they are first asked for.
// kubectl reads from them which fields there are (explain), how lists merge (apply), and whether field validation and
// dry run are understood. Descriptions are not carried: the table has none.
import API
import NIOCore
import Synchronization

final class OpenAPI: Sendable {
    static let documentsKeptMax = 6

    private let schema: SchemaTable
    private let version: String
    let index: ByteBuffer
    let hash: String
    private let names: [String: (group: String, version: String)]
    private let kept = Mutex<[String: ByteBuffer]>([:])

    init(_ schema: SchemaTable, version: String) {
        self.schema = schema
        self.version = version
        var names: [String: (group: String, version: String)] = [:]
        for resource in schema.served {
            names[Self.name(resource.group, resource.version)] = (resource.group, resource.version)
        }
        self.names = names
        let fingerprint = Fingerprint.text([
            ByteBuffer(string: version + schema.definitions.joined() + names.keys.sorted().joined())
        ])
        hash = fingerprint
        let paths = names.keys.sorted().map { name in
            JSONObject.Member(
                key: name, value: ["serverRelativeURL": .string("/openapi/v3/\(name)?hash=\(fingerprint)")])
        }
        index = Wire.buffer(["paths": .object(JSONObject(uniqueMembers: paths))])
    }

    static func name(_ group: String, _ version: String) -> String {
        group.isEmpty ? "api/\(version)" : "apis/\(group)/\(version)"
    }

    func url(_ name: String) -> String { "/openapi/v3/\(name)?hash=\(hash)" }

    /// The document of `apis/apps/v1`, ...; nil for an unknown name.
    func document(_ name: String) -> ByteBuffer? {
        guard let (group, version) = names[name] else { return nil }
        return kept(name) { Wire.buffer(make(group, version)) }
    }

    /// The v2 document, as JSON or as the message that Go clients ask for.
    func v2(protobuf: Bool) -> ByteBuffer {
        kept(protobuf ? "v2.pb" : "v2") {
            let document = OpenAPIv2.document(schema, version: version)
            return protobuf ? ByteBuffer(bytes: OpenAPIv2Protobuf.encode(document)) : Wire.buffer(document)
        }
    }

    private func kept(_ name: String, _ make: () -> ByteBuffer) -> ByteBuffer {
        if let found = kept.withLock({ $0[name] }) { return found }
        let made = make()
        kept.withLock { kept in
            if kept.count >= Self.documentsKeptMax { kept.removeAll() }
            kept[name] = made
        }
        return made
    }

    private func make(_ group: String, _ version: String) -> JSON {
        let resources = schema.served.filter { $0.group == group && $0.version == version }.sorted {
            $0.plural < $1.plural
        }
        var schemas = OpenAPISchemas(schema)
        for resource in resources { schemas.add(resource) }
        schemas.add(kind: GroupVersionKind("", "v1", "DeleteOptions"))
        schemas.close()
        var paths: [JSONObject.Member] = []
        for resource in resources { paths += OpenAPIPaths.paths(resource) }
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(self.version)],
            "paths": .object(JSONObject(uniqueMembers: paths)), "components": ["schemas": schemas.tree]
        ]
    }
}
