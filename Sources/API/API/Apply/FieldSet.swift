// A set of places in an object, as `managedFields` writes it (FieldsV1): a tree whose steps are `f:name`, `k:{...}` for
// the element of a keyed list, `v:...` for one of a set. A value; it knows nothing of schemas or of owners.

package struct FieldSet: Sendable, Hashable {
    /// Whether this place itself is in the set, and not only some below it.
    package var isMember: Bool
    package private(set) var children: [String: FieldSet] = [:]

    package init(isMember: Bool = false) { self.isMember = isMember }

    package static let leaf = FieldSet(isMember: true)
    package var isEmpty: Bool { !isMember && children.isEmpty }

    /// Reads FieldsV1; nil when it is none.
    package init?(fieldsV1: JSON) {
        guard case .object(let object) = fieldsV1 else { return nil }
        isMember = false
        for member in object {
            guard let child = FieldSet(fieldsV1: member.value) else { return nil }
            if member.key == "." {
                isMember = true
            } else {
                children[member.key] = child.isEmpty ? .leaf : child
            }
        }
    }

    package var fieldsV1: JSON {
        var members: [JSONObject.Member] = []
        if isMember && !children.isEmpty { members.append(.init(key: ".", value: [:])) }
        for (step, child) in children.sorted(by: { $0.key < $1.key }) {
            members.append(.init(key: step, value: child.fieldsV1))
        }
        return .object(JSONObject(uniqueMembers: members))
    }

    package subscript(step: String) -> FieldSet? { children[step] }

    /// Adds what lies below a step; nothing when it is empty.
    package mutating func add(_ child: FieldSet, at step: String) {
        if !child.isEmpty { children[step] = children[step].map { $0.union(child) } ?? child }
    }

    package mutating func remove(_ step: String) { children[step] = nil }

    package func union(_ other: FieldSet) -> FieldSet {
        var result = self
        result.isMember = isMember || other.isMember
        for (step, child) in other.children { result.add(child, at: step) }
        return result
    }

    package func subtracting(_ other: FieldSet) -> FieldSet {
        var result = FieldSet(isMember: isMember && !other.isMember)
        for (step, child) in children { result.add(other[step].map { child.subtracting($0) } ?? child, at: step) }
        return result
    }

    package func intersection(_ other: FieldSet) -> FieldSet {
        var result = FieldSet(isMember: isMember && other.isMember)
        for (step, child) in children {
            if let same = other[step] { result.add(child.intersection(same), at: step) }
        }
        return result
    }

    /// The places as messages name them (`.spec.containers[name="c"].image`), in order.
    package var paths: [String] { paths(below: "") }

    private func paths(below prefix: String) -> [String] {
        let own = isMember ? [prefix] : []
        return own
            + children.sorted { $0.key < $1.key }.flatMap { $0.value.paths(below: prefix + Self.text(of: $0.key)) }
    }

    private static func text(of step: String) -> String {
        let rest = String(step.dropFirst(2))
        switch step.first {
        case "f": return ".\(rest)"
        case "v": return "[=\(rest)]"
        case "k":
            do {
                let keys = try JSON.parse(rest).object?.map { "\($0.key)=\($0.value.text)" } ?? []
                return "[\(keys.joined(separator: ","))]"
            } catch { return "[\(rest)]" }
        default: return "[\(rest)]"
        }
    }
}
