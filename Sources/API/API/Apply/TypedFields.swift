// Objects and their places by the schema table: which fields a configuration names, what differs between two objects,
// how a configuration is merged into a live object, what is taken out of it again. Lists merge by their keys, atomic
// parts are replaced whole. Values in, values out.

struct TypedFields {
    let table: SchemaTable

    /// How the parts of a value relate.
    private enum Shape {
        case whole
        case structure(TypeSchema)
        case map(FieldType)
        case set
        case keyed(FieldType, [String])
    }

    /// Definitions that are replaced whole, wherever they stand.
    private static let atomicTypes: Set<String> = [
        "ConfigMapKeySelector", "EndpointAddress", "EndpointPort", "LabelSelector", "LocalObjectReference",
        "NodeSelector",
        "NodeSelectorTerm", "ObjectFieldSelector", "ObjectReference", "ResourceFieldSelector", "RoleRef",
        "ScopeSelector", "SecretKeySelector", "SecretReference", "Subject", "TopologySelectorTerm",
        "TypedLocalObjectReference"
    ]

    private func shape(_ type: FieldType, _ field: FieldSchema?) -> Shape {
        switch type {
        case .reference(let id):
            let schema = table.type(id)
            return Self.atomicTypes.contains(schema.goName) || schema.fields.isEmpty ? .whole : .structure(schema)
        case .map(let element): return field?.isAtomicMap == true ? .whole : .map(element)
        case .list(let element):
            switch field?.listType {
            case .set: return .set
            case .map(let keys): return .keyed(element, keys)
            default: return .whole
            }
        default: return .whole
        }
    }

    /// The step to an element of a keyed list; keys that are left out have their default.
    private func step(_ item: JSON, _ element: FieldType, _ keys: [String]) -> String {
        var schema: TypeSchema?
        if case .reference(let id) = element { schema = table.type(id) }
        let members = keys.sorted().compactMap { key -> JSONObject.Member? in
            (item[key] ?? schema?.field(key)?.defaultValue).map { .init(key: key, value: $0) }
        }
        return "k:" + JSON.object(JSONObject(uniqueMembers: members)).text
    }
}

// Which places.
extension TypedFields {
    /// The places that `value` names. With `containers` maps that are not empty are named themselves.
    func fields(_ value: JSON, _ type: FieldType, _ field: FieldSchema?, containers: Bool) -> FieldSet {
        var result = FieldSet()
        switch (shape(type, field), value) {
        case (.structure(let schema), .object(let object)) where !object.isEmpty:
            for member in object {
                guard let field = schema.field(member.key) else { continue }
                result.add(fields(member.value, field.type, field, containers: containers), at: "f:\(member.key)")
            }
        case (.map(let element), .object(let object)) where !object.isEmpty:
            result.isMember = containers
            for member in object {
                let below = fields(member.value, element, nil, containers: containers)
                result.add(below.union(.leaf), at: "f:\(member.key)")
            }
        case (.set, .array(let values)):
            for item in values { result.add(.leaf, at: "v:\(item.text)") }
        case (.keyed(let element, let keys), .array(let values)):
            for item in values {
                let below = fields(item, element, nil, containers: containers)
                result.add(below.union(.leaf), at: step(item, element, keys))
            }
        default: return .leaf
        }
        return result
    }

    /// What came, what changed, what went.
    struct Difference {
        var added = FieldSet()
        var modified = FieldSet()
        var removed = FieldSet()

        mutating func add(_ other: Difference, at step: String) {
            added.add(other.added, at: step)
            modified.add(other.modified, at: step)
            removed.add(other.removed, at: step)
        }
    }

    func difference(_ old: JSON?, _ new: JSON?, _ type: FieldType, _ field: FieldSchema?) -> Difference {
        var result = Difference()
        switch (old ?? .null, new ?? .null) {
        case (.null, .null): break
        case (.null, let new): result.added = fields(new, type, field, containers: true)
        case (let old, .null): result.removed = fields(old, type, field, containers: true)
        case (let old, let new):
            let before = parts(old, type, field)
            let after = parts(new, type, field)
            guard let before, let after else {
                if old != new { result.modified = .leaf }
                return result
            }
            let earlier = Dictionary(before.map { ($0.step, $0) }, uniquingKeysWith: { first, _ in first })
            let later = Dictionary(after.map { ($0.step, $0) }, uniquingKeysWith: { first, _ in first })
            for part in before {
                let new = later[part.step]?.value
                result.add(difference(part.value, new, part.type, part.field, of: part), at: part.step)
            }
            for part in after where earlier[part.step] == nil {
                result.add(difference(nil, part.value, part.type, part.field, of: part), at: part.step)
            }
        }
        return result
    }

    /// An element of a list or map is a place itself.
    private func difference(
        _ old: JSON?, _ new: JSON?, _ type: FieldType, _ field: FieldSchema?, of part: Part
    ) -> Difference {
        var found = difference(old, new, type, field)
        if part.isElement && old == nil { found.added.isMember = true }
        if part.isElement && new == nil { found.removed.isMember = true }
        return found
    }

    private struct Part {
        var step: String
        var value: JSON
        var type: FieldType
        var field: FieldSchema?
        var isElement = true
    }

    /// The parts that are compared one by one; nil: the value is compared whole.
    private func parts(_ value: JSON, _ type: FieldType, _ field: FieldSchema?) -> [Part]? {
        switch (shape(type, field), value) {
        case (.structure(let schema), .object(let object)):
            return object.compactMap { member in
                schema.field(member.key).map {
                    Part(step: "f:\(member.key)", value: member.value, type: $0.type, field: $0, isElement: false)
                }
            }
        case (.map(let element), .object(let object)):
            return object.map { Part(step: "f:\($0.key)", value: $0.value, type: element) }
        case (.set, .array(let values)):
            return values.map { Part(step: "v:\($0.text)", value: $0, type: .string) }
        case (.keyed(let element, let keys), .array(let values)):
            return values.map { Part(step: step($0, element, keys), value: $0, type: element) }
        default: return nil
        }
    }
}

// Changing objects.
extension TypedFields {
    /// The live value with everything that the configuration says.
    func merged(_ live: JSON?, _ config: JSON, _ type: FieldType, _ field: FieldSchema?) -> JSON {
        switch (shape(type, field), live, config) {
        case (.structure(let schema), .object(var object)?, .object(let wanted)):
            for member in wanted {
                guard let field = schema.field(member.key) else { continue }
                object[member.key] = merged(object[member.key], member.value, field.type, field)
            }
            return .object(object)
        case (.map(let element), .object(var object)?, .object(let wanted)):
            for member in wanted {
                object[member.key] = merged(object[member.key], member.value, element, nil)
            }
            return .object(object)
        case (.set, .array(let values)?, .array(let wanted)):
            return .array(values + wanted.filter { !values.contains($0) })
        case (.keyed(let element, let keys), .array(var values)?, .array(let wanted)):
            let steps = values.map { step($0, element, keys) }
            for item in wanted {
                if let place = steps.firstIndex(of: step(item, element, keys)) {
                    values[place] = merged(values[place], item, element, nil)
                } else {
                    values.append(item)
                }
            }
            return .array(values)
        default: return config
        }
    }

    /// The value without the places of `gone`, except those that somebody keeps; nil: nothing is left of it.
    func removing(
        _ gone: FieldSet, keeping kept: FieldSet?, from value: JSON, _ type: FieldType, _ field: FieldSchema?
    ) -> JSON? {
        if gone.isMember && kept == nil { return nil }
        guard !gone.children.isEmpty, let parts = parts(value, type, field) else { return value }
        var left: [(Part, JSON)] = []
        for part in parts {
            guard let below = gone[part.step] else {
                left.append((part, part.value))
                continue
            }
            let rest = removing(below, keeping: kept?[part.step], from: part.value, part.type, part.field)
            if let rest { left.append((part, rest)) }
        }
        if case .array = value { return .array(left.map(\.1)) }
        return .object(
            JSONObject(uniqueMembers: left.map { .init(key: String($0.0.step.dropFirst(2)), value: $0.1) }))
    }
}
