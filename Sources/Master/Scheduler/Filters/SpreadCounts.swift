// A topology spread constraint, counted once for a pod: how many matching pods stand in each domain.

import API

/// Matching pods by domain.
package struct SpreadCounts: Sendable {
    package let constraint: Spread
    private(set) var counts: [String: Int64] = [:]
    private var least: Int64 = 0
    private var matchesItself: Int64 = 0

    init(_ constraint: Spread, _ pod: SchedulingPod, _ snapshot: Snapshot) {
        self.constraint = constraint
        for node in snapshot.nodes {
            guard let value = node.view.labels[constraint.topologyKey], includes(node.view, pod) else { continue }
            counts[value, default: 0] += Self.matching(constraint.selector, pod.namespace, node)
        }
        least = counts.count < constraint.minDomains ? 0 : counts.values.min() ?? 0
        matchesItself = constraint.selector.matches(pod.labels) ? 1 : 0
    }

    static func matching(_ selector: MatchSelector, _ namespace: String, _ node: NodeState) -> Int64 {
        var count: Int64 = 0
        for pod in node.pods.values
        where pod.namespace == namespace && !pod.isBeingDeleted && selector.matches(pod.labels) {
            count += 1
        }
        return count
    }

    private func includes(_ node: SchedulingNode, _ pod: SchedulingPod) -> Bool {
        if constraint.honoursAffinity, let constraints = pod.constraints, !constraints.accepts(node) { return false }
        guard constraint.honoursTaints else { return true }
        return node.taints.allSatisfy { $0.effect == "PreferNoSchedule" || pod.tolerates($0) }
    }

    /// The skew if the pod went into the domain `value`.
    func skew(with value: String) -> Int64 { (counts[value] ?? 0) + matchesItself - least }
}
