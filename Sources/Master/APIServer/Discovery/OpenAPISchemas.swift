// Definitions of the schema table as OpenAPI v3 schemas, with everything they refer to. Pure.
import API

struct OpenAPISchemas {
    private let schema: SchemaTable
    private var made: [String: JSON] = [:]
    private var pending: [TypeSchema] = []
    private var kinds: [String: [GroupVersionKind]] = [:]

    init(_ schema: SchemaTable) { self.schema = schema }

    mutating func add(_ definition: String, kind: GroupVersionKind) {
        kinds[definition, default: []].append(kind)
        if let type = schema.type(named: definition) { pending.append(type) }
    }

    mutating func add(kind: GroupVersionKind) {
        guard let type = schema.type(of: kind) else { return }
        if !(kinds[type.name] ?? []).contains(kind) { kinds[type.name, default: []].append(kind) }
        pending.append(type)
    }

    /// A resource with the kinds of its subresources and its list.
    mutating func add(_ resource: ResourceSchema) {
        add(resource.definition, kind: resource.kind)
        for sub in resource.subresources { add(kind: sub.kind) }
        addList(resource)
    }

    /// `<Kind>List`, which the table may not have as a definition of its own.
    mutating func addList(_ resource: ResourceSchema) {
        guard resource.verbs.contains("list") else { return }
        if let list = schema.type(named: resource.definition + "List") { pending.append(list) }
        if let meta = schema.type(named: "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta") { pending.append(meta) }
        made[resource.definition + "List"] = [
            "type": "object", "required": ["items"],
            "properties": [
                "apiVersion": ["type": "string"], "kind": ["type": "string"],
                "items": ["type": "array", "items": ["allOf": [Self.reference(resource.definition)], "default": [:]]],
                "metadata": [
                    "allOf": [Self.reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")], "default": [:]
                ]
            ],
            "x-kubernetes-group-version-kind": [
                Self.tree(GroupVersionKind(resource.group, resource.version, resource.listKind))
            ]
        ]
    }

    /// Adds everything that is referred to.
    mutating func close() {
        while let type = pending.popLast() {
            if made[type.name] != nil { continue }
            made[type.name] = .null
            made[type.name] = define(type)
        }
        for (name, tree) in Self.wellKnown where made[name] == nil { made[name] = tree }
    }

    var tree: JSON {
        .object(JSONObject(uniqueMembers: made.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) }))
    }

    private mutating func define(_ type: TypeSchema) -> JSON {
        var properties: [JSONObject.Member] = []
        for field in type.fields.sorted(by: { $0.name < $1.name }) {
            properties.append(.init(key: field.name, value: property(field)))
        }
        var tree: JSON = ["type": "object"]
        let required = type.fields.filter(\.isRequired).map(\.name).sorted()
        if !required.isEmpty { tree["required"] = .array(required.map { .string($0) }) }
        if !properties.isEmpty { tree["properties"] = .object(JSONObject(uniqueMembers: properties)) }
        if let kinds = kinds[type.name] { tree["x-kubernetes-group-version-kind"] = .array(kinds.map(Self.tree)) }
        return tree
    }

    private mutating func property(_ field: FieldSchema) -> JSON {
        var tree = value(field.type)
        if let value = field.defaultValue { tree["default"] = value }
        if !field.enumValues.isEmpty { tree["enum"] = .array(field.enumValues.map { .string($0) }) }
        switch field.listType {
        case nil: break
        case .atomic: tree["x-kubernetes-list-type"] = "atomic"
        case .set: tree["x-kubernetes-list-type"] = "set"
        case .map(let keys):
            tree["x-kubernetes-list-type"] = "map"
            tree["x-kubernetes-list-map-keys"] = .array(keys.map { .string($0) })
        }
        if field.isAtomicMap { tree["x-kubernetes-map-type"] = "atomic" }
        let strategies = [field.mergesPatch ? "merge" : nil, field.retainsKeys ? "retainKeys" : nil].compactMap { $0 }
        if !strategies.isEmpty {
            tree["x-kubernetes-patch-strategy"] = .string(strategies.count == 2 ? "merge,retainKeys" : strategies[0])
        }
        if let key = field.mergeKey { tree["x-kubernetes-patch-merge-key"] = .string(key) }
        return tree
    }

    private mutating func value(_ type: FieldType) -> JSON {
        switch type {
        case .string: return ["type": "string"]
        case .int32: return ["type": "integer", "format": "int32"]
        case .int64: return ["type": "integer", "format": "int64"]
        case .bool: return ["type": "boolean"]
        case .double: return ["type": "number", "format": "double"]
        case .bytes: return ["type": "string", "format": "byte"]
        case .quantity: return Self.wrapped("io.k8s.apimachinery.pkg.api.resource.Quantity")
        case .intOrString: return Self.wrapped("io.k8s.apimachinery.pkg.util.intstr.IntOrString")
        case .time: return Self.wrapped("io.k8s.apimachinery.pkg.apis.meta.v1.Time")
        case .microTime: return Self.wrapped("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime")
        case .raw: return Self.wrapped("io.k8s.apimachinery.pkg.runtime.RawExtension")
        case .list(let element): return ["type": "array", "items": value(element)]
        case .map(let element): return ["type": "object", "additionalProperties": value(element)]
        case .reference(let id):
            let target = schema.type(id)
            if made[target.name] == nil { pending.append(target) }
            return Self.wrapped(target.name)
        }
    }

    private static func wrapped(_ name: String) -> JSON { ["allOf": [reference(name)]] }
    static func reference(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/\(name)")] }

    static func tree(_ kind: GroupVersionKind) -> JSON {
        ["group": .string(kind.group), "kind": .string(kind.kind), "version": .string(kind.version)]
    }

    private static let wellKnown: [(String, JSON)] = [
        ("io.k8s.apimachinery.pkg.api.resource.Quantity", ["oneOf": [["type": "string"], ["type": "number"]]]),
        (
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            ["format": "int-or-string", "oneOf": [["type": "integer"], ["type": "string"]]]
        ),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", ["type": "string", "format": "date-time"]),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", ["type": "string", "format": "date-time"]),
        ("io.k8s.apimachinery.pkg.runtime.RawExtension", ["type": "object"])
    ]
}
