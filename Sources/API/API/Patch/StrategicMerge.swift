// Strategic merge patch: like a merge patch, but lists with a merge key merge by it, and directives (`$patch`,
// `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`) say the rest. How a list merges is in the schema
// table. Without a definition (free-form parts) it is a plain merge patch. Values in, values out.

extension SchemaTable {
    /// The patched object; refuses with upstream's words.
    package func strategicMerge(_ patch: JSON, into object: JSON, as kind: GroupVersionKind) throws(StatusError) -> JSON
    {
        guard case .object(let changes) = patch else {
            throw Status.badRequest(
                "json: cannot unmarshal \(Go.jsonType(patch)) into Go value of type map[string]interface {}")
        }
        return try StrategicMerge(table: self).merge(changes, into: object.object ?? [:], type(of: kind))
            ?? .object([:])
    }
}

struct StrategicMerge {
    let table: SchemaTable
    private static let orderPrefix = "$setElementOrder/"
    private static let deletePrefix = "$deleteFromPrimitiveList/"

    /// nil: the object is to be deleted.
    func merge(_ patch: JSONObject, into target: JSONObject, _ schema: TypeSchema?) throws(StatusError) -> JSON? {
        switch patch["$patch"] {
        case nil: break
        case .string("replace"):
            var whole = patch
            whole["$patch"] = nil
            return cleaned(.object(whole))
        case .string("delete"): return nil
        case .string("merge"): break
        case let other?:
            throw Status.badRequest("unknown patch type: \(Go.value(other)) in map: \(Go.value(.object(patch)))")
        }
        var result = try retained(patch, target)
        for change in patch where !change.key.hasPrefix("$") {
            try apply(change, of: patch, to: &result, schema?.field(change.key))
        }
        try applyListDirectives(patch, to: &result, schema)
        return .object(result)
    }

    private func retained(_ patch: JSONObject, _ target: JSONObject) throws(StatusError) -> JSONObject {
        guard let retain = patch["$retainKeys"] else { return target }
        guard let keys = retain.array?.compactMap(\.string) else {
            throw Status.badRequest("invalid patch format: $retainKeys must be a list")
        }
        for change in patch where !change.key.hasPrefix("$") && !change.value.isNull && !keys.contains(change.key) {
            throw Status.badRequest("all keys in the patch must be in $retainKeys: \(change.key)")
        }
        return JSONObject(uniqueMembers: target.members.filter { keys.contains($0.key) })
    }

    private func apply(
        _ change: JSONObject.Member, of patch: JSONObject, to result: inout JSONObject, _ field: FieldSchema?
    ) throws(StatusError) {
        switch (change.value, result[change.key]) {
        case (.null, _): result[change.key] = nil
        case (.object(let inner), let existing):
            let merged = try merge(inner, into: existing?.object ?? [:], schema(of: field))
            result[change.key] = merged
        case (.array(let items), let existing):
            let old = existing?.array ?? []
            result[change.key] = .array(
                try mergeList(items, into: old, field, order: patch[Self.orderPrefix + change.key]))
        case (let value, _): result[change.key] = value
        }
    }

    /// Directives for lists that the patch itself does not carry.
    private func applyListDirectives(
        _ patch: JSONObject, to result: inout JSONObject, _ schema: TypeSchema?
    )
        throws(StatusError)
    {
        for change in patch where change.key.hasPrefix(Self.deletePrefix) {
            let name = String(change.key.dropFirst(Self.deletePrefix.count))
            guard let gone = change.value.array, let old = result[name]?.array else { continue }
            result[name] = .array(old.filter { !gone.contains($0) })
        }
        for change in patch where change.key.hasPrefix(Self.orderPrefix) {
            let name = String(change.key.dropFirst(Self.orderPrefix.count))
            guard patch[name] == nil, let old = result[name]?.array else { continue }
            result[name] = .array(ordered(old, by: change.value, key: schema?.field(name)?.mergeKey, serverOrder: old))
        }
    }

    /// The definition of a field's value, of a list's elements, of a map's values.
    private func schema(of field: FieldSchema?) -> TypeSchema? {
        var type = field?.type
        while true {
            switch type {
            case .list(let inner), .map(let inner): type = inner
            case .reference(let id): return table.type(id)
            default: return nil
            }
        }
    }

    /// A patch value that meets nothing: directives out, nulls out.
    private func cleaned(_ value: JSON) -> JSON {
        switch value {
        case .object(let object):
            let kept = object.members.filter { !$0.key.hasPrefix("$") && !$0.value.isNull }
            return .object(JSONObject(uniqueMembers: kept.map { .init(key: $0.key, value: cleaned($0.value)) }))
        case .array(let values): return .array(values.map(cleaned))
        default: return value
        }
    }
}

// Lists.
extension StrategicMerge {
    private func mergeList(
        _ patch: [JSON], into old: [JSON], _ field: FieldSchema?, order: JSON?
    ) throws(StatusError)
        -> [JSON]
    {
        guard let field, field.mergesPatch else { return patch.map(cleaned) }
        if let key = field.mergeKey { return try mergeObjects(patch, into: old, field, key, order) }
        let merged = old + patch.filter { !old.contains($0) }
        return ordered(merged, by: order ?? .array(patch), key: nil, serverOrder: old)
    }

    private func mergeObjects(
        _ patch: [JSON], into old: [JSON], _ field: FieldSchema, _ key: String, _ order: JSON?
    ) throws(StatusError) -> [JSON] {
        var result = old
        var items = patch
        if items.contains(where: { $0["$patch"] == "replace" }) {
            items.removeAll { $0["$patch"] == "replace" }
            return items.map(cleaned)
        }
        for item in items where item["$patch"] == "delete" {
            let wanted = try mergeValue(item, key)
            result.removeAll { $0[key] == wanted }
        }
        for item in items where item["$patch"] != "delete" {
            let wanted = try mergeValue(item, key)
            guard case .object(let change) = item else { continue }
            let index = result.firstIndex { $0[key] == wanted }
            let existing = index.flatMap { result[$0].object } ?? [:]
            let merged = try merge(change, into: existing, schema(of: field)) ?? .null
            if let index { result[index] = merged } else { result.append(merged) }
        }
        let named = order ?? .array(items.filter { $0["$patch"] != "delete" })
        return ordered(result, by: named, key: key, serverOrder: old)
    }

    private func mergeValue(_ item: JSON, _ key: String) throws(StatusError) -> JSON {
        if let value = item[key] { return value }
        throw Status.badRequest("map: \(Go.value(item)) does not contain declared merge key: \(key)")
    }

    /// Elements that the order names come in that order (the patch's own where it states none); the others keep their
    /// place relative to the server's order.
    private func ordered(_ values: [JSON], by order: JSON?, key: String?, serverOrder: [JSON]) -> [JSON] {
        guard let order = order?.array else { return values }
        let name = { (value: JSON) in key.flatMap { value[$0] } ?? value }
        let wanted = order.map(name)
        var rest: [JSON] = []
        var placed: [JSON?] = wanted.map { _ in nil }
        for value in values {
            if let place = wanted.firstIndex(of: name(value)), placed[place] == nil {
                placed[place] = value
            } else {
                rest.append(value)
            }
        }
        return interleaved(placed.compactMap { $0 }, rest, serverOrder.map(name), name)
    }

    /// Merges two lists, each in its own order: an element of `rest` goes before the first placed element that the
    /// server had after it.
    private func interleaved(_ placed: [JSON], _ rest: [JSON], _ server: [JSON], _ name: (JSON) -> JSON) -> [JSON] {
        var result: [JSON] = []
        var rest = rest[...]
        for value in placed {
            if let place = server.firstIndex(of: name(value)) {
                while let first = rest.first, let other = server.firstIndex(of: name(first)), other < place {
                    result.append(first)
                    rest = rest.dropFirst()
                }
            }
            result.append(value)
        }
        return result + rest
    }
}
