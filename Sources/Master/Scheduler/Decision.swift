// One scheduling decision: a pod and a snapshot in, a node or the reasons out. Pure; chance is an argument.

/// What to do with a pod.
package enum Decision: Sendable, Hashable {
    case bind(node: String)
    /// No node takes it; `message` is what the pod's condition and event say.
    case refuse(message: String, preemption: Preemption?)
}

/// Pods to delete so that a pod of higher priority fits on a node.
package struct Preemption: Sendable, Hashable {
    package var node: String
    /// Keys (`namespace/name`) and uids.
    package var victims: [Victim]

    package struct Victim: Sendable, Hashable {
        package var key: String
        package var uid: String

        package init(key: String, uid: String) {
            self.key = key
            self.uid = uid
        }
    }

    package init(node: String, victims: [Victim]) {
        self.node = node
        self.victims = victims
    }
}

package enum Decider {
    /// Nodes beyond this many feasible ones are not scored.
    static let feasibleNodesMax = 200

    /// Finds the best node for a pod.
    package static func decide(
        _ pod: SchedulingPod, _ snapshot: Snapshot, using random: inout some RandomNumberGenerator
    ) -> Decision {
        guard !snapshot.nodes.isEmpty else {
            return .refuse(message: "no nodes available to schedule pods", preemption: nil)
        }
        let cycle = Cycle(pod, snapshot)
        var feasible: [NodeState] = []
        var refusals: [String: Refusal] = [:]
        for node in order(snapshot.nodes, pod) {
            if let refusal = cycle.refusal(of: node) {
                refusals[node.view.name] = refusal
            } else {
                feasible.append(node)
            }
            if feasible.count >= feasibleNodesMax { break }
        }
        if feasible.isEmpty { return refuse(pod, snapshot, refusals) }
        if let nominated = feasible.first(where: { $0.view.name == pod.nominatedNodeName }) {
            return .bind(node: nominated.view.name)
        }
        return .bind(node: best(pod, feasible, snapshot, using: &random))
    }

    /// A large cluster is walked from another place for each pod, so that the cut at `feasibleNodesMax` favours nobody.
    private static func order(_ nodes: [NodeState], _ pod: SchedulingPod) -> [NodeState] {
        guard nodes.count > feasibleNodesMax else { return nodes }
        let start = pod.uid.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFFFF } % nodes.count
        return Array(nodes[start...] + nodes[..<start])
    }

    private static func best(
        _ pod: SchedulingPod, _ feasible: [NodeState], _ snapshot: Snapshot,
        using random: inout some RandomNumberGenerator
    ) -> String {
        if feasible.count == 1 { return feasible[0].view.name }
        let scores = Scores(pod, feasible, snapshot).total()
        let top = scores.max() ?? 0
        let winners = feasible.indices.filter { scores[$0] == top }
        return feasible[winners.randomElement(using: &random) ?? 0].view.name
    }

    private static func refuse(_ pod: SchedulingPod, _ snapshot: Snapshot, _ refusals: [String: Refusal]) -> Decision {
        let message = summary(refusals.values.flatMap(\.reasons), nodes: snapshot.nodes.count)
        guard pod.mayPreempt else {
            return .refuse(
                message: "\(message) preemption: not eligible due to preemptionPolicy=Never.", preemption: nil)
        }
        if let preemption = Preemptor.plan(pod, snapshot, refusals) {
            return .refuse(message: message, preemption: preemption)
        }
        let why = refusals.values.map {
            $0.isHopeless ? "Preemption is not helpful for scheduling" : "No preemption victims found for incoming pod"
        }
        return .refuse(message: "\(message) preemption: \(summary(why, nodes: snapshot.nodes.count))", preemption: nil)
    }

    /// `0/2 nodes are available: 2 Insufficient cpu.`
    static func summary(_ reasons: [String], nodes: Int) -> String {
        let counts = Dictionary(reasons.map { ($0, 1) }, uniquingKeysWith: +)
        let parts = counts.map { "\($1) \($0)" }.sorted()
        return "0/\(nodes) nodes are available: \(parts.joined(separator: ", "))."
    }
}
