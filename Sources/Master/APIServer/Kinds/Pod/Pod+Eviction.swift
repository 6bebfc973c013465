// `pods/eviction`: what an eviction leaves on the pod before it is deleted. Pure.
import API

enum PodEviction {
    /// The pod never ran, has ended, or goes already: nothing is disrupted.
    static func needsNoMark(_ pod: JSON) -> Bool {
        pod.isBeingDeleted || ["Succeeded", "Failed", "Pending"].contains(pod["status", "phase"]?.string ?? "")
    }

    /// The pod with the condition that tells controllers why it ends.
    static func marked(_ pod: JSON, now: Double) -> JSON {
        let condition: JSON = [
            "type": "DisruptionTarget", "status": "True", "lastProbeTime": nil,
            "lastTransitionTime": .string(Timestamp.text(now)), "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting"
        ]
        var conditions = pod["status", "conditions"]?.elements ?? []
        conditions.removeAll { $0["type"] == "DisruptionTarget" }
        var pod = pod
        pod["status", "conditions"] = .array(conditions + [condition])
        return pod
    }
}
