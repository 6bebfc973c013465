// Events are one kind of stored object with two faces: `v1` and `events.k8s.io/v1` name some members differently.
// Stored is the core form. Pure.
import API

enum EventConversion {
    static let group = "events.k8s.io"
    private static let names: [(core: String, named: String)] = [
        ("message", "note"), ("involvedObject", "regarding"), ("reportingComponent", "reportingController"),
        ("count", "deprecatedCount"),
        ("firstTimestamp", "deprecatedFirstTimestamp"), ("lastTimestamp", "deprecatedLastTimestamp"),
        ("source", "deprecatedSource")
    ]

    static func fromCore(_ object: JSON) -> JSON { renamed(object) { key in names.first { $0.core == key }?.named } }
    static func toCore(_ object: JSON) -> JSON { renamed(object) { key in names.first { $0.named == key }?.core } }

    private static func renamed(_ object: JSON, _ name: (String) -> String?) -> JSON {
        let members = (object.object ?? [:]).map { JSONObject.Member(key: name($0.key) ?? $0.key, value: $0.value) }
        return .object(JSONObject(uniqueMembers: members))
    }
}

extension ResourceSchema {
    /// Stored bytes are not this version's own: they cannot be served unparsed.
    var isConverted: Bool { group == EventConversion.group }
}
