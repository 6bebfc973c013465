// How a stored default role or binding is brought up to date: what it lacks is added, what somebody added stays.
import API

package enum RoleReconciliation {
    /// The stored object with what it lacks; nil when nothing is to be written.
    package static func merged(_ present: JSON, _ wanted: JSON) -> JSON? {
        if present.annotations[DefaultRoles.autoupdate] == "false" { return nil }
        var object = present
        for (key, value) in wanted.labels where present.labels[key] == nil {
            object["metadata", "labels", key] = .string(value)
        }
        for (key, value) in wanted.annotations where present.annotations[key] == nil {
            object["metadata", "annotations", key] = .string(value)
        }
        if wanted["aggregationRule"] != nil {
            if object["aggregationRule"] == nil { object["aggregationRule"] = wanted["aggregationRule"] }
        } else if wanted["roleRef"] != nil {
            object["subjects"] = subjects(present, wanted)
        } else {
            object["rules"] = rules(present, wanted)
        }
        // Not `? nil : object`: that nil would be a JSON null, and an empty object would be written.
        if object == present { return nil }
        return object
    }

    private static func rules(_ present: JSON, _ wanted: JSON) -> JSON? {
        let owned = RoleIndex.rules(present)
        let missing = (wanted["rules"]?.elements ?? []).filter {
            !PolicyRule.missing([PolicyRule($0)], owned: owned).isEmpty
        }
        return missing.isEmpty ? present["rules"] : .array((present["rules"]?.elements ?? []) + missing)
    }

    private static func subjects(_ present: JSON, _ wanted: JSON) -> JSON? {
        func key(_ subject: JSON) -> [String] {
            [subject.kind, subject["namespace"]?.string ?? "", subject["name"]?.string ?? ""]
        }
        let has = Set((present["subjects"]?.elements ?? []).map(key))
        let missing = (wanted["subjects"]?.elements ?? []).filter { !has.contains(key($0)) }
        return missing.isEmpty ? present["subjects"] : .array((present["subjects"]?.elements ?? []) + missing)
    }
}
