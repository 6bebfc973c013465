// The shape of one definition (`PodSpec`, `ObjectMeta`, ...) as the schema table tells it. Immutable values: decoding,
// defaulting, patches, protobuf, OpenAPI all read them. They hold no behaviour of a kind.

/// The index of a definition in its `SchemaTable`.
package struct TypeID: Sendable, Hashable {
    package var index: Int
    package init(_ index: Int) { self.index = index }
}

/// The type of a field or of an element.
package indirect enum FieldType: Sendable, Hashable {
    case string, int32, int64, bool, double
    /// `500m`, `1Gi`; a number is accepted too.
    case quantity
    case intOrString
    /// RFC 3339 with seconds.
    case time
    /// RFC 3339 with microseconds.
    case microTime
    /// Base64 in JSON.
    case bytes
    /// Any JSON value, kept as it is (RawExtension, FieldsV1, JSON).
    case raw
    case reference(TypeID)
    case list(FieldType)
    case map(FieldType)
}

/// How server-side apply treats a list.
package enum ListType: Sendable, Hashable {
    case atomic, set
    case map(keys: [String])
}

/// One field of a definition.
package struct FieldSchema: Sendable {
    package let name: String
    package let type: FieldType
    package let isRequired: Bool
    /// The field number; a chain of numbers where upstream's Go type embeds (`Volume.emptyDir` is 2.2). Empty: not in
    /// protobuf.
    package let protoPath: [UInt32]
    /// A constant default, as OpenAPI states it.
    package let defaultValue: JSON?
    package let enumValues: [String]
    package let listType: ListType?
    /// A map that is replaced whole by server-side apply.
    package let isAtomicMap: Bool
    /// Strategic merge: lists merge instead of being replaced.
    package let mergesPatch: Bool
    package let retainsKeys: Bool
    /// Strategic merge: lists of objects merge by this key.
    package let mergeKey: String?
    /// A zero number or false is the same as absent: it is dropped.
    package let dropsZero: Bool
    /// An empty string or list means something: it is kept.
    package let keepsEmpty: Bool
    /// The name of the element's Go type in error messages, where it is no plain one (`v1.Protocol`).
    package let goType: String?
}

/// A definition.
package final class TypeSchema: Sendable {
    package let id: TypeID
    /// The full name: `io.k8s.api.core.v1.PodSpec`.
    package let name: String
    package let fields: [FieldSchema]
    /// What Go calls it in messages: `PodSpec`.
    package let goName: String
    /// `v1.PodSpec`.
    package let goType: String
    private let indexes: [String: Int]
    /// Field numbers to fields.
    package let wire: WireNode

    init(id: TypeID, name: String, fields: [FieldSchema]) {
        self.id = id
        self.name = name
        self.fields = fields
        let parts = name.split(separator: ".")
        goName = String(parts.last ?? "")
        goType = parts.suffix(2).joined(separator: ".")
        indexes = Dictionary(fields.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        wire = WireNode(fields)
    }

    package func field(_ name: String) -> FieldSchema? { indexes[name].map { fields[$0] } }
    package func index(of name: String) -> Int? { indexes[name] }
}

/// Field numbers of a message: each leads to a field, or into an embedded message whose fields JSON shows inline.
package struct WireNode: Sendable {
    package enum Target: Sendable {
        case field(Int)
        case inline(WireNode)
    }

    package private(set) var targets: [UInt32: Target] = [:]

    init(_ fields: [FieldSchema]) {
        for (index, field) in fields.enumerated() where !field.protoPath.isEmpty { insert(field.protoPath[...], index) }
    }

    private init() {}

    private mutating func insert(_ path: ArraySlice<UInt32>, _ index: Int) {
        guard let number = path.first else { return }
        if path.count == 1 {
            targets[number] = .field(index)
            return
        }
        var child = WireNode()
        if case .inline(let existing) = targets[number] { child = existing }
        child.insert(path.dropFirst(), index)
        targets[number] = .inline(child)
    }
}
