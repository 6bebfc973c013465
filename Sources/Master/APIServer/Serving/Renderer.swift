// Objects, lists and events to answer bytes in the form a client asked for. JSON of whole objects is gathered from
// stored bytes; Table, YAML and protobuf go through trees. Pure but for the present time that Table's ages need.
import API
import KVCore
import NIOCore

/// The members of a list's metadata.
struct ListMeta: Sendable {
    var revision: Revision
    var continueToken = ""
    var remaining: Int?

    var tree: JSON {
        var tree: JSON = ["resourceVersion": .string("\(revision)")]
        if !continueToken.isEmpty { tree["continue"] = .string(continueToken) }
        if let remaining { tree["remainingItemCount"] = .int(Int64(remaining)) }
        return tree
    }
}

/// What `includeObject` puts into a Table's rows.
enum RowObject: String, Sendable {
    case none = "None"
    case metadata = "Metadata"
    case object = "Object"
}

struct Renderer: Sendable {
    let schema: SchemaTable
    let now: @Sendable () -> Double

    /// The bytes of any tree; falls back to JSON where a kind has no protobuf.
    func bytes(_ tree: JSON, _ representation: Representation) -> (body: ByteBuffer, encoding: Encoding) {
        switch representation.encoding {
        case .json: return (json(tree, pretty: representation.isPretty), .json)
        case .yaml: return (ByteBuffer(bytes: YAML.write(tree)), .yaml)
        case .protobuf:
            do { return (ByteBuffer(bytes: try schema.encodeProtobuf(tree)), .protobuf) } catch {
                return (json(tree, pretty: false), .json)
            }
        }
    }

    private func json(_ tree: JSON, pretty: Bool) -> ByteBuffer {
        var bytes = pretty ? PrettyJSON.write(tree) : tree.serialized()
        bytes.append(UInt8(ascii: "\n"))
        return ByteBuffer(bytes: bytes)
    }

    /// One object as a tree in the asked form; throws 406 where the form is none of an object.
    func shaped(_ object: JSON, _ resource: ResourceSchema, _ form: Form, rows: RowObject) throws(StatusError) -> JSON {
        switch form {
        case .object: return object
        case .table(let version):
            return table([object], resource, version, ["resourceVersion": .string(object.resourceVersion)], rows)
        case .metadata(let version): return Self.partial(object, version)
        case .metadataList:
            throw Status.notAcceptable(
                message:
                    "you requested PartialObjectMetadataList, but the requested object is not a list (*\(resource.kind.goPackage).\(resource.kind.kind))"
            )
        }
    }

    /// A stored object in the asked form.
    func object(
        _ stored: StoredObject, _ resource: ResourceSchema, _ representation: Representation, rows: RowObject
    ) throws(StatusError) -> (body: ByteBuffer, encoding: Encoding) {
        if representation.encoding == .json && representation.form == .object && !representation.isPretty
            && !resource.isConverted
        {
            var buffer = ByteBuffer()
            buffer.reserveCapacity(stored.bytes.count + StoredObject.spliceBytesMax + 128)
            stored.writeObject(resource.kind, into: &buffer)
            buffer.writeStaticString("\n")
            return (buffer, .json)
        }
        let tree = try shaped(stored.tree(resource.kind) ?? .null, resource, representation.form, rows: rows)
        return bytes(tree, representation)
    }

    /// A list in the asked form.
    func list(
        _ objects: [FeedObject], storedBytes: Int, _ meta: ListMeta, _ resource: ResourceSchema,
        _ representation: Representation, rows: RowObject
    ) throws(StatusError) -> (body: ByteBuffer, encoding: Encoding) {
        if case .metadata = representation.form {
            throw Status.notAcceptable(
                message:
                    "you requested PartialObjectMetadata, but the requested object is a list (*\(resource.kind.goPackage).\(resource.listKind))"
            )
        }
        if representation.encoding == .json && representation.form == .object && !representation.isPretty
            && !resource.isConverted
        {
            return (gather(objects, storedBytes, meta, resource), .json)
        }
        return bytes(
            listTree(objects.map { $0.tree(resource.kind) }, meta, resource, representation.form, rows), representation)
    }

    private func gather(
        _ objects: [FeedObject], _ storedBytes: Int, _ meta: ListMeta, _ resource: ResourceSchema
    )
        -> ByteBuffer
    {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(storedBytes + objects.count * StoredObject.spliceBytesMax + 512)
        buffer.writeKind(resource.listKind, resource.resource.apiVersion)
        buffer.writeStaticString(",\"metadata\":")
        buffer.writeBytes(meta.tree.serialized())
        buffer.writeStaticString(",\"items\":[")
        var isFirst = true
        for object in objects {
            buffer.writeStaticString(isFirst ? "{" : ",{")
            isFirst = false
            object.stored.writeMembers(into: &buffer)
        }
        buffer.writeStaticString("]}\n")
        return buffer
    }

    func listTree(
        _ items: [JSON], _ meta: ListMeta, _ resource: ResourceSchema, _ form: Form, _ rows: RowObject
    )
        -> JSON
    {
        switch form {
        case .table(let version): return table(items, resource, version, meta.tree, rows)
        case .metadataList(let version), .metadata(let version):
            return [
                "kind": "PartialObjectMetadataList", "apiVersion": .string("meta.k8s.io/\(version)"),
                "metadata": meta.tree,
                "items": .array(items.map { Self.partial($0, version) })
            ]
        case .object:
            let bare = items.map { item in
                var item = item
                item["kind"] = nil
                item["apiVersion"] = nil
                return item
            }
            return [
                "kind": .string(resource.listKind), "apiVersion": .string(resource.resource.apiVersion),
                "metadata": meta.tree,
                "items": .array(bare)
            ]
        }
    }

    static func partial(_ object: JSON, _ version: String) -> JSON {
        [
            "kind": "PartialObjectMetadata", "apiVersion": .string("meta.k8s.io/\(version)"),
            "metadata": object["metadata"] ?? [:]
        ]
    }

    /// What `includeObject` puts beside a row's cells.
    static func rowObject(_ object: JSON, _ version: String, _ rows: RowObject) -> JSON {
        switch rows {
        case .none: .null
        case .metadata: partial(object, version)
        case .object: object
        }
    }

    func table(
        _ objects: [JSON], _ resource: ResourceSchema, _ version: String, _ metadata: JSON, _ rows: RowObject,
        includesColumns: Bool = true
    ) -> JSON {
        let now = now()
        let made = objects.map { object -> JSON in
            let row = schema.tableRow(object, of: resource, now: now)
            var tree: JSON = ["cells": .array(row.cells)]
            if !row.conditions.isEmpty { tree["conditions"] = .array(row.conditions) }
            tree["object"] = .some(Self.rowObject(object, version, rows))
            return tree
        }
        return [
            "kind": "Table", "apiVersion": .string("meta.k8s.io/\(version)"), "metadata": metadata,
            "columnDefinitions": includesColumns ? schema.columnDefinitions(resource) : .null, "rows": .array(made)
        ]
    }
}

/// JSON for people: two spaces a level.
enum PrettyJSON {
    static func write(_ value: JSON) -> [UInt8] {
        var out: [UInt8] = []
        append(value, 0, &out)
        return out
    }

    private static func append(_ value: JSON, _ level: Int, _ out: inout [UInt8]) {
        switch value {
        case .array(let values) where !values.isEmpty:
            block("[", "]", values.count, level, &out) { i, out in append(values[i], level + 1, &out) }
        case .object(let object) where !object.isEmpty:
            block("{", "}", object.count, level, &out) { i, out in
                let member = object.members[i]
                JSON.string(member.key).write(into: &out)
                out.append(contentsOf: ": ".utf8)
                append(member.value, level + 1, &out)
            }
        default: value.write(into: &out)
        }
    }

    private static func block(
        _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ count: Int, _ level: Int, _ out: inout [UInt8],
        _ item: (Int, inout [UInt8]) -> Void
    ) {
        out.append(UInt8(ascii: open))
        for i in 0..<count {
            out.append(UInt8(ascii: "\n"))
            out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * (level + 1)))
            item(i, &out)
            if i + 1 < count { out.append(UInt8(ascii: ",")) }
        }
        out.append(UInt8(ascii: "\n"))
        out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
        out.append(UInt8(ascii: close))
    }
}
