// The filters: each says whether one node may take one pod, and if not, in upstream's words, why. They run in
// upstream's order and the first refusal counts, since messages and events show it. Pure functions over a snapshot.

import API

/// Why a node was refused.
package struct Refusal: Sendable, Hashable {
    package var reasons: [String]
    /// Removing other pods from the node would not help.
    package var isHopeless: Bool

    package init(_ reason: String, isHopeless: Bool = false) {
        reasons = [reason]
        self.isHopeless = isHopeless
    }

    package init(reasons: [String], isHopeless: Bool) {
        self.reasons = reasons
        self.isHopeless = isHopeless
    }
}

/// What is computed once for a pod before nodes are looked at.
package struct Cycle: Sendable {
    package var pod: SchedulingPod
    package var affinity: AffinityCounts
    package var spread: [SpreadCounts]

    package init(_ pod: SchedulingPod, _ snapshot: Snapshot) {
        self.pod = pod
        affinity = AffinityCounts(pod, snapshot)
        spread = (pod.constraints?.spread ?? []).filter(\.isHard).map { SpreadCounts($0, pod, snapshot) }
    }

    /// The first refusal of a node, nil when it may take the pod.
    package func refusal(of node: NodeState) -> Refusal? {
        unschedulable(node) ?? taints(node) ?? selector(node) ?? ports(node) ?? fit(node) ?? spreading(node)
            ?? neighbours(node)
    }

    private func unschedulable(_ node: NodeState) -> Refusal? {
        let taint = Taint(key: "node.kubernetes.io/unschedulable", effect: "NoSchedule")
        guard node.view.unschedulable && !pod.tolerates(taint) else { return nil }
        return Refusal("node(s) were unschedulable", isHopeless: true)
    }

    private func taints(_ node: NodeState) -> Refusal? {
        let taint = node.view.taints.first {
            ($0.effect == "NoSchedule" || $0.effect == "NoExecute") && !pod.tolerates($0)
        }
        return taint.map { Refusal("node(s) had untolerated taint {\($0.key): \($0.value)}", isHopeless: true) }
    }

    private func selector(_ node: NodeState) -> Refusal? {
        guard let constraints = pod.constraints, !constraints.accepts(node.view) else { return nil }
        return Refusal("node(s) didn't match Pod's node affinity/selector", isHopeless: true)
    }

    private func ports(_ node: NodeState) -> Refusal? {
        guard !pod.ports.isEmpty, pod.ports.contains(where: { node.ports.contains(where: $0.collides) }) else {
            return nil
        }
        return Refusal("node(s) didn't have free ports for the requested pod ports")
    }

    private func fit(_ node: NodeState) -> Refusal? {
        let room = node.view.allocatable
        let used = node.requested
        let need = pod.requests
        var reasons: [String] = []
        var hopeless = false
        func check(_ need: Int64, _ used: Int64, _ room: Int64, _ reason: String) {
            guard need > 0, need > room &- used else { return }
            reasons.append(reason)
            if need > room { hopeless = true }
        }
        check(1, Int64(node.pods.count), room.pods, "Too many pods")
        check(need.milliCPU, used.milliCPU, room.milliCPU, "Insufficient cpu")
        check(need.memory, used.memory, room.memory, "Insufficient memory")
        check(need.ephemeralStorage, used.ephemeralStorage, room.ephemeralStorage, "Insufficient ephemeral-storage")
        for (name, amount) in need.extended.sorted(by: { $0.key < $1.key }) {
            check(amount, used.extended[name] ?? 0, room.extended[name] ?? 0, "Insufficient \(name)")
        }
        return reasons.isEmpty ? nil : Refusal(reasons: reasons, isHopeless: hopeless)
    }

    private func spreading(_ node: NodeState) -> Refusal? {
        let text = "node(s) didn't match pod topology spread constraints"
        for counts in spread {
            guard let value = node.view.labels[counts.constraint.topologyKey] else {
                return Refusal("\(text) (missing required label)", isHopeless: true)
            }
            if counts.skew(with: value) > counts.constraint.maxSkew { return Refusal(text) }
        }
        return nil
    }

    private func neighbours(_ node: NodeState) -> Refusal? {
        if !affinity.isSatisfied(by: node.view) {
            return Refusal("node(s) didn't match pod affinity rules", isHopeless: true)
        }
        if affinity.isRepelled(by: node.view) { return Refusal("node(s) didn't match pod anti-affinity rules") }
        if affinity.offends(node.view) { return Refusal("node(s) didn't satisfy existing pods anti-affinity rules") }
        return nil
    }
}
