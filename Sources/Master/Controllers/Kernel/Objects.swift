// Small readings and makings of trees that several controllers share: owner references, conditions, counts, template
// hashes.

import API

extension JSON {
    /// A whole number at a path, or a fallback.
    func number(_ path: String..., or fallback: Int64 = 0) -> Int64 { value(at: path)?.int ?? fallback }

    var key: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    var createdAt: Int64 { Timestamp.milliseconds(self["metadata", "creationTimestamp"]?.string ?? "") ?? 0 }

    /// An owner reference to this object that makes it the controller.
    func controllerReference(_ kind: GroupVersionKind) -> JSON {
        [
            "apiVersion": .string(kind.apiVersion), "kind": .string(kind.kind), "name": .string(name),
            "uid": .string(uid),
            "controller": true, "blockOwnerDeletion": true
        ]
    }

    /// The condition of a type.
    func condition(_ type: String) -> JSON? {
        (self["conditions"] ?? self["status", "conditions"])?.elements.first { $0["type"]?.string == type }
    }

    /// The same without nulls and without empty objects and arrays: what is equal after this means the same.
    var essential: JSON {
        switch self {
        case .array(let values): .array(values.map(\.essential))
        case .object(let object):
            .object(
                JSONObject(
                    uniqueMembers: object.members.compactMap { member in
                        let value = member.value.essential
                        switch value {
                        case .null, .array([]): return nil
                        case .object(let inner) where inner.isEmpty: return nil
                        default: return .init(key: member.key, value: value)
                        }
                    }))
        default: self
        }
    }
}

/// Conditions of a status, kept as a list with one entry a type.
enum Conditions {
    /// Sets a condition; `lastTransitionTime` moves only when the status does, and nothing changes when reason and
    /// message stay.
    static func set(_ list: inout [JSON], _ condition: JSON) {
        let type = condition["type"]?.string
        guard let i = list.firstIndex(where: { $0["type"]?.string == type }) else { return list.append(condition) }
        if list[i]["status"] == condition["status"] && list[i]["reason"] == condition["reason"] { return }
        var new = condition
        if list[i]["status"] == condition["status"] { new["lastTransitionTime"] = list[i]["lastTransitionTime"] }
        list[i] = new
    }

    static func remove(_ list: inout [JSON], _ type: String) { list.removeAll { $0["type"]?.string == type } }

    static func make(
        _ type: String, _ status: String, _ reason: String, _ message: String, now: Int64, updated: Bool = false
    ) -> JSON {
        var condition: JSON = ["type": .string(type), "status": .string(status)]
        if updated { condition["lastUpdateTime"] = .string(Timestamp.seconds(now)) }
        condition["lastTransitionTime"] = .string(Timestamp.seconds(now))
        condition["reason"] = .string(reason)
        condition["message"] = .string(message)
        return condition
    }
}

/// A number or a percentage (`maxSurge`, `maxUnavailable`).
enum Portion {
    static func resolve(_ value: JSON?, of total: Int64, roundUp: Bool) -> Int64 {
        if let number = value?.int { return max(0, number) }
        guard let text = value?.string, text.hasSuffix("%"), let percent = Int64(text.dropLast()), percent >= 0 else {
            return 0
        }
        let product = total.multipliedReportingOverflow(by: percent)
        guard !product.overflow else { return total }
        return roundUp ? (product.partialValue &+ 99) / 100 : product.partialValue / 100
    }
}

/// Names that follow from contents.
enum Hash {
    private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789")

    /// A short name for a pod template: equal templates give equal hashes, whatever the order of their members.
    static func template(_ template: JSON, collisions: Int64?) -> String {
        var hash: UInt32 = 2_166_136_261
        feed(template.essential, &hash)
        if let collisions { feed(.int(collisions), &hash) }
        return safe(hash)
    }

    /// Digits replaced by letters that form no words.
    static func safe(_ hash: UInt32) -> String { String(String(hash).utf8.map { alphabet[Int($0) % alphabet.count] }) }

    private static func feed(_ tree: JSON, _ hash: inout UInt32) {
        switch tree {
        case .null: feed("n", &hash)
        case .bool(let value): feed(value ? "t" : "f", &hash)
        case .int(let value): feed("i\(value)", &hash)
        case .double(let value): feed("d\(value)", &hash)
        case .string(let value): feed("s\(value)\u{0}", &hash)
        case .array(let values):
            feed("[", &hash)
            for value in values { feed(value, &hash) }
            feed("]", &hash)
        case .object(let object):
            feed("{", &hash)
            for member in object.members.sorted(by: { $0.key < $1.key }) {
                feed("\(member.key)\u{0}", &hash)
                feed(member.value, &hash)
            }
            feed("}", &hash)
        }
    }

    private static func feed(_ text: String, _ hash: inout UInt32) {
        for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    }
}
