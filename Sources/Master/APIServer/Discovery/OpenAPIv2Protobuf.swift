// An OpenAPI v2 document as the protobuf message that Go clients read (`openapi.v2.Document` of the public gnostic
// definitions): the tree's members by their field numbers, extensions as YAML text. Members without a number are left
// out. Pure.
import API

enum OpenAPIv2Protobuf {
    static let accepted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    static let contentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

    static func encode(_ document: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        out.field(1, string: document["swagger"]?.string ?? "")
        var info = ProtobufWriter()
        info.field(1, string: document["info", "title"]?.string ?? "")
        info.field(2, string: document["info", "version"]?.string ?? "")
        out.field(2, bytes: info.bytes)
        out.field(8, bytes: named(document["paths"], 2, pathItem))
        out.field(9, bytes: named(document["definitions"], 1, schema))
        return out.bytes
    }

    /// A message that holds pairs of a name and a message.
    private static func named(_ tree: JSON?, _ number: UInt32, _ encode: (JSON) -> [UInt8]) -> [UInt8] {
        var out = ProtobufWriter()
        for member in tree?.object ?? [:] { out.field(number, bytes: pair(member.key, encode(member.value))) }
        return out.bytes
    }

    private static func pair(_ name: String, _ value: [UInt8]) -> [UInt8] {
        var out = ProtobufWriter()
        out.field(1, string: name)
        out.field(2, bytes: value)
        return out.bytes
    }

    /// A message whose only member is `bytes` at `number`.
    private static func wrapped(_ number: UInt32, _ bytes: [UInt8]) -> [UInt8] {
        var out = ProtobufWriter()
        out.field(number, bytes: bytes)
        return out.bytes
    }

    /// `Any` with the value's YAML, which JSON is.
    private static func any(_ value: JSON) -> [UInt8] { wrapped(2, value.serialized()) }

    private static func extensions(_ tree: JSON, _ number: UInt32, _ out: inout ProtobufWriter) {
        for member in tree.object ?? [:] where member.key.hasPrefix("x-") {
            out.field(number, bytes: pair(member.key, any(member.value)))
        }
    }

    private static func strings(_ tree: JSON?, _ number: UInt32, _ out: inout ProtobufWriter) {
        for value in tree?.elements ?? [] { out.field(number, string: value.string ?? "") }
    }
}

// Paths.
extension OpenAPIv2Protobuf {
    private static let methods: [(String, UInt32)] = [
        ("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8)
    ]

    private static func pathItem(_ tree: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        for (method, number) in methods {
            if let found = tree[method] { out.field(number, bytes: operation(found)) }
        }
        for item in tree["parameters"]?.elements ?? [] { out.field(9, bytes: parameter(item)) }
        return out.bytes
    }

    private static func operation(_ tree: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        strings(tree["produces"], 6, &out)
        strings(tree["consumes"], 7, &out)
        for item in tree["parameters"]?.elements ?? [] { out.field(8, bytes: parameter(item)) }
        out.field(9, bytes: named(tree["responses"], 1) { wrapped(1, response($0)) })
        extensions(tree, 13, &out)
        return out.bytes
    }

    private static func response(_ tree: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        out.field(1, string: tree["description"]?.string ?? "")
        if let shown = tree["schema"] { out.field(2, bytes: wrapped(1, schema(shown))) }
        return out.bytes
    }

    /// `ParametersItem` → `Parameter` → the kind of parameter.
    private static func parameter(_ tree: JSON) -> [UInt8] {
        switch tree["in"]?.string {
        case "body": wrapped(1, wrapped(1, bodyParameter(tree)))
        case "path": wrapped(1, wrapped(2, wrapped(4, plainParameter(tree, types: 5))))
        default: wrapped(1, wrapped(2, wrapped(3, plainParameter(tree, types: 6))))
        }
    }

    private static func bodyParameter(_ tree: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        out.field(2, string: tree["name"]?.string ?? "")
        out.field(3, string: "body")
        out.field(4, varint: 1)
        out.field(5, bytes: schema(tree["schema"] ?? [:]))
        return out.bytes
    }

    private static func plainParameter(_ tree: JSON, types: UInt32) -> [UInt8] {
        var out = ProtobufWriter()
        if tree["required"]?.bool == true { out.field(1, varint: 1) }
        out.field(2, string: tree["in"]?.string ?? "")
        out.field(4, string: tree["name"]?.string ?? "")
        out.field(types, string: tree["type"]?.string ?? "")
        return out.bytes
    }
}

// Definitions.
extension OpenAPIv2Protobuf {
    private static func schema(_ tree: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        if let reference = tree["$ref"]?.string { out.field(1, string: reference) }
        if let format = tree["format"]?.string { out.field(2, string: format) }
        if let text = tree["description"]?.string { out.field(4, string: text) }
        if let value = tree["default"] { out.field(5, bytes: any(value)) }
        strings(tree["required"], 19, &out)
        for value in tree["enum"]?.elements ?? [] { out.field(20, bytes: any(value)) }
        if let element = tree["additionalProperties"] { out.field(21, bytes: wrapped(1, schema(element))) }
        if let type = tree["type"]?.string { out.field(22, bytes: wrapped(1, Array(type.utf8))) }
        if let items = tree["items"] { out.field(23, bytes: wrapped(1, schema(items))) }
        if let properties = tree["properties"] { out.field(25, bytes: named(properties, 1, schema)) }
        extensions(tree, 31, &out)
        return out.bytes
    }
}
