// Reading and changing a tree by member name and index. A read of something absent is nil, never a trap;
// a write through an absent or scalar value makes the objects on the way.

extension JSON {
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    package var isNull: Bool { self == .null }

    /// A whole number; a double without a fraction counts as one.
    package var int: Int64? {
        switch self {
        case .int(let value): value
        case .double(let value) where value == value.rounded() && abs(value) < 9.2e18: Int64(value)
        default: nil
        }
    }

    package var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// The elements of an array; empty for everything else.
    package var elements: [JSON] { array ?? [] }

    /// A member of an object: nil where this is no object or has no such member. Assigning nil removes;
    /// assigning to a member of something that is no object makes it one.
    package subscript(key: String) -> JSON? {
        get { if case .object(let object) = self { object[key] } else { nil } }
        set {
            guard case .object(var object) = self else {
                if let newValue { self = .object([key: newValue]) }
                return
            }
            self = .null  // releases the storage, so that the change is made in place
            object[key] = newValue
            self = .object(object)
        }
    }

    /// The value at a chain of member names, e.g. `pod["spec", "nodeName"]`; assigning makes the objects on the way.
    package subscript(first: String, second: String, rest: String...) -> JSON? {
        get {
            var here = self[first]?[second]
            for key in rest { here = here?[key] }
            return here
        }
        set { setValue(newValue, at: [first, second] + rest) }
    }

    /// The element of an array: nil where this is no array or has no such index.
    package subscript(index: Int) -> JSON? {
        if case .array(let values) = self, values.indices.contains(index) { values[index] } else { nil }
    }

    /// The value at a path of member names.
    package func value(at path: [String]) -> JSON? {
        var here: JSON? = self
        for key in path { here = here?[key] }
        return here
    }

    /// Sets (or with nil removes) the value at a path of member names; removing from an absent parent does nothing.
    package mutating func setValue(_ value: JSON?, at path: [String]) {
        guard let first = path.first else {
            if let value { self = value }
            return
        }
        if path.count == 1 {
            self[first] = value
            return
        }
        if value == nil && self[first] == nil { return }
        modify(first) { $0.setValue(value, at: Array(path.dropFirst())) }
    }

    /// Changes one member in place; makes this an object, and the member `null`, where they are absent.
    package mutating func modify<R>(_ key: String, _ body: (inout JSON) throws -> R) rethrows -> R {
        var object: JSONObject
        if case .object(let existing) = self { object = existing } else { object = [:] }
        self = .null
        defer { self = .object(object) }
        return try object.modify(key, body)
    }

    /// A mapping of names to strings (labels, annotations); members that are no strings are left out.
    package var stringMap: [String: String] {
        guard case .object(let object) = self else { return [:] }
        return Dictionary(
            object.members.compactMap { m in m.value.string.map { (m.key, $0) } }, uniquingKeysWith: { $1 })
    }

    /// An object of strings, ordered by key.
    package init(_ map: [String: String]) {
        self = .object(
            JSONObject(
                uniqueMembers: map.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .string($0.value)) }))
    }
}

/// What is read of every object's metadata.
extension JSON {
    package var kind: String { self["kind"]?.string ?? "" }
    package var apiVersion: String { self["apiVersion"]?.string ?? "" }
    package var name: String { self["metadata", "name"]?.string ?? "" }
    package var namespace: String { self["metadata", "namespace"]?.string ?? "" }
    package var uid: String { self["metadata", "uid"]?.string ?? "" }
    package var resourceVersion: String { self["metadata", "resourceVersion"]?.string ?? "" }
    package var labels: [String: String] { self["metadata", "labels"]?.stringMap ?? [:] }
    package var annotations: [String: String] { self["metadata", "annotations"]?.stringMap ?? [:] }
    package var generation: Int64 { self["metadata", "generation"]?.int ?? 0 }
    package var isBeingDeleted: Bool { self["metadata", "deletionTimestamp"]?.string != nil }
    package var finalizers: [String] { self["metadata", "finalizers"]?.elements.compactMap(\.string) ?? [] }
    package var ownerReferences: [JSON] { self["metadata", "ownerReferences"]?.elements ?? [] }
    /// The owner reference with `controller: true`.
    package var controllerReference: JSON? { ownerReferences.first { $0["controller"]?.bool == true } }
}
