// Evicts pods from nodes with NoExecute taints, when they do not tolerate them or no longer. Deadlines count from the
// time at which the taint was set, so that a new leader goes on where the old one stopped. Pure.

import API

package enum TaintEvictionPlan {
    /// What is to be done with the pods of one node.
    package static func changes(_ node: NodeView, _ pods: [PodView], now: Int64) -> [[Change]] {
        let taints = node.taints.filter { $0.taint.effect == "NoExecute" }
        guard !taints.isEmpty else { return [] }
        var changes: [[Change]] = []
        var next: Int64?
        for pod in pods where !pod.isBeingDeleted && !pod.isFinished {
            guard let deadline = deadline(of: pod, taints, now: now) else { continue }
            if deadline <= now {
                changes.append(evict(pod, now))
            } else {
                next = min(next ?? deadline, deadline)
            }
        }
        if let next { changes.append([.again(milliseconds: next &- now)]) }
        return changes
    }

    /// nil: the pod may stay for ever.
    static func deadline(of pod: PodView, _ taints: [TimedTaint], now: Int64) -> Int64? {
        var earliest: Int64?
        for timed in taints {
            let fitting = pod.tolerations.indices.filter { pod.tolerations[$0].tolerates(timed.taint) }
            guard !fitting.isEmpty else { return now }
            guard let seconds = fitting.compactMap({ pod.tolerationSeconds[$0] }).min() else { continue }
            let since = timed.since ?? now
            let deadline = since &+ min(max(0, seconds), 1 << 40) &* 1000
            earliest = min(earliest ?? deadline, deadline)
        }
        return earliest
    }

    private static func evict(_ pod: PodView, _ now: Int64) -> [Change] {
        let condition = Conditions.make(
            "DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint",
            now: now)
        return [
            .note(pod, "TaintManagerEviction", "Marking for deletion Pod \(pod.namespace)/\(pod.name)"),
            .patch(.pods, Target(pod), subresource: "status", .strategic, ["status": ["conditions": [condition]]]),
            .delete(.pods, Target(pod), DeleteOptions(uid: pod.uid))
        ]
    }
}
