// JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386) on trees. Upstream's oddities are kept where clients see them:
// `replace` of a missing member adds it. Refusals are Status objects with upstream's words. Values in, values out.

package enum Patch {
    /// More operations are refused with 413.
    package static let operationsMax = 10_000

    /// RFC 7386. A patch that is no object is refused.
    package static func merge(_ patch: JSON, into object: JSON) throws(StatusError) -> JSON {
        guard case .object = patch else {
            let text =
                "error decoding patch: json: cannot unmarshal \(Go.jsonType(patch)) into Go value of type "
                + "map[string]interface {}"
            throw Status.badRequest(text)
        }
        return merged(patch, into: object)
    }

    private static func merged(_ patch: JSON, into target: JSON) -> JSON {
        guard case .object(let changes) = patch else { return patch }
        var result = JSONObject()
        if case .object(let existing) = target { result = existing }
        for change in changes {
            if change.value.isNull {
                result[change.key] = .none
            } else {
                result[change.key] = merged(change.value, into: result[change.key] ?? .null)
            }
        }
        return .object(result)
    }

    /// RFC 6902; `warnings` gets members of operations that nobody knows.
    package static func json(_ patch: JSON, on object: JSON, warnings: inout [String]) throws(StatusError) -> JSON {
        guard case .array(let operations) = patch else {
            let text =
                "error decoding patch: json: cannot unmarshal \(Go.jsonType(patch)) into Go value of type "
                + "[]handlers.jsonPatchOp"
            throw Status.badRequest(text)
        }
        guard operations.count <= operationsMax else {
            throw Status.tooLarge(
                "The allowed maximum operations in a JSON patch is \(operationsMax), got \(operations.count)")
        }
        var result = object
        for (index, tree) in operations.enumerated() {
            let unknown = tree.object?.keys.filter { !["op", "path", "from", "value"].contains($0) } ?? []
            warnings += unknown.map { "json patch unknown field \"[\(index)].\($0)\"" }
            guard let operation = JSONPatchOperation(tree), operation.apply(to: &result) else {
                throw Status.failure(
                    "Invalid", "the server rejected our request due to an error in our request", details: [:])
            }
        }
        return result
    }
}

/// One operation of a JSON Patch.
struct JSONPatchOperation {
    private enum Kind {
        case add(JSON), replace(JSON), test(JSON), remove
        case move([String]), copy([String])
    }

    private let kind: Kind
    private let path: [String]

    init?(_ tree: JSON) {
        guard let path = tree["path"]?.string.flatMap(Self.pointer) else { return nil }
        self.path = path
        let value = tree["value"] ?? .null
        let from = tree["from"]?.string.flatMap(Self.pointer)
        switch (tree["op"]?.string, from) {
        case ("add", _): kind = .add(value)
        case ("replace", _): kind = .replace(value)
        case ("test", _): kind = .test(value)
        case ("remove", _): kind = .remove
        case ("move", let from?): kind = .move(from)
        case ("copy", let from?): kind = .copy(from)
        default: return nil
        }
    }

    /// RFC 6901.
    private static func pointer(_ text: String) -> [String]? {
        if text.isEmpty { return [] }
        guard text.hasPrefix("/") else { return nil }
        return text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
            String($0.replacing("~1", with: "/").replacing("~0", with: "~"))
        }
    }

    /// False when the operation does not fit the tree.
    func apply(to tree: inout JSON) -> Bool {
        switch kind {
        case .add(let value): return tree.insert(value, at: path[...])
        case .replace(let value): return tree.replace(value, at: path[...])
        case .test(let value): return (tree.at(path[...]) ?? .null) == value
        case .remove: return tree.remove(at: path[...])
        case .copy(let from):
            guard let value = tree.at(from[...]) else { return false }
            return tree.insert(value, at: path[...])
        case .move(let from):
            guard !path.starts(with: from) || path.count == from.count, let value = tree.at(from[...]),
                tree.remove(at: from[...])
            else { return false }
            return tree.insert(value, at: path[...])
        }
    }
}

/// Reading and changing by JSON pointer.
extension JSON {
    fileprivate func at(_ path: ArraySlice<String>) -> JSON? {
        var here = self
        for key in path {
            switch here {
            case .object(let object):
                guard let value = object[key] else { return nil }
                here = value
            case .array(let values):
                guard let index = Self.index(key, limit: values.count) else { return nil }
                here = values[index]
            default: return nil
            }
        }
        return here
    }

    /// An index below `limit`; negative ones count from the end, as upstream's library allows.
    private static func index(_ key: String, limit: Int) -> Int? {
        guard let number = Int(key) else { return nil }
        let index = number < 0 ? number &+ limit : number
        return (0..<limit).contains(index) ? index : nil
    }

    /// Runs `change` on the container that holds the last key of `path`; false where the way does not exist.
    private mutating func reach(_ path: ArraySlice<String>, _ change: (inout JSON, String) -> Bool) -> Bool {
        guard let first = path.first else { return false }
        if path.count == 1 { return change(&self, first) }
        switch self {
        case .object(var object):
            guard object[first] != nil else { return false }
            self = .null
            defer { self = .object(object) }
            return object.modify(first) { $0.reach(path.dropFirst(), change) }
        case .array(var values):
            guard let index = Self.index(first, limit: values.count) else { return false }
            self = .null
            defer { self = .array(values) }
            return values[index].reach(path.dropFirst(), change)
        default: return false
        }
    }

    fileprivate mutating func insert(_ value: JSON, at path: ArraySlice<String>) -> Bool {
        if path.isEmpty {
            self = value
            return true
        }
        return reach(path) { container, key in
            switch container {
            case .object:
                container[key] = value
                return true
            case .array(var values):
                guard let index = key == "-" ? values.count : Self.index(key, limit: values.count + 1) else {
                    return false
                }
                container = .null
                values.insert(value, at: index)
                container = .array(values)
                return true
            default: return false
            }
        }
    }

    fileprivate mutating func replace(_ value: JSON, at path: ArraySlice<String>) -> Bool {
        if path.isEmpty {
            self = value
            return true
        }
        return reach(path) { container, key in
            switch container {
            case .object:
                container[key] = value
                return true
            case .array(var values):
                guard let index = Self.index(key, limit: values.count) else { return false }
                container = .null
                values[index] = value
                container = .array(values)
                return true
            default: return false
            }
        }
    }

    fileprivate mutating func remove(at path: ArraySlice<String>) -> Bool {
        reach(path) { container, key in
            switch container {
            case .object(let object):
                guard object[key] != nil else { return false }
                container[key] = nil
                return true
            case .array(var values):
                guard let index = Self.index(key, limit: values.count) else { return false }
                container = .null
                values.remove(at: index)
                container = .array(values)
                return true
            default: return false
            }
        }
    }
}
