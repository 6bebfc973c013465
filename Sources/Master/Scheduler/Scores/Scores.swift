// The scores: among the nodes that may take a pod, which is best? Each plugin gives 0...100 a node, weighted as
// upstream. Pure; ties are broken by the caller's random numbers.

import API

/// Scores of the feasible nodes for one pod.
package struct Scores: Sendable {
    let pod: SchedulingPod
    let nodes: [NodeState]
    let snapshot: Snapshot

    package init(_ pod: SchedulingPod, _ nodes: [NodeState], _ snapshot: Snapshot) {
        self.pod = pod
        self.nodes = nodes
        self.snapshot = snapshot
    }

    /// The weighted total for each node, in the order given.
    package func total() -> [Int64] {
        var total = [Int64](repeating: 0, count: nodes.count)
        func add(_ scores: [Int64]?, weight: Int64) {
            guard let scores else { return }
            for i in total.indices { total[i] += weight * scores[i] }
        }
        add(nodes.map(leastAllocated), weight: 1)
        add(nodes.map(balance), weight: 1)
        add(tolerance(), weight: 3)
        add(preferredNodes(), weight: 2)
        add(spreading(), weight: 2)
        add(neighbours(), weight: 2)
        add(images(), weight: 1)
        return total
    }

    private func share(_ used: Int64, _ need: Int64, of room: Int64) -> Double {
        room <= 0 ? 1 : min(1, Double(used &+ need) / Double(room))
    }

    private func leastAllocated(_ node: NodeState) -> Int64 {
        let cpu = 1 - share(node.scoredCPU, pod.scoredCPU, of: node.view.allocatable.milliCPU)
        let memory = 1 - share(node.scoredMemory, pod.scoredMemory, of: node.view.allocatable.memory)
        return (Int64(cpu * 100) + Int64(memory * 100)) / 2
    }

    private func balance(_ node: NodeState) -> Int64 {
        let cpu = share(node.requested.milliCPU, pod.requests.milliCPU, of: node.view.allocatable.milliCPU)
        let memory = share(node.requested.memory, pod.requests.memory, of: node.view.allocatable.memory)
        return Int64((1 - abs(cpu - memory) / 2) * 100)
    }

    /// Fewer taints of effect PreferNoSchedule that the pod does not tolerate are better.
    private func tolerance() -> [Int64]? {
        let counts = nodes.map { node in
            Int64(node.view.taints.count { $0.effect == "PreferNoSchedule" && !pod.tolerates($0) })
        }
        return counts.contains { $0 > 0 } ? Self.normalized(counts, reversed: true) : nil
    }

    private func preferredNodes() -> [Int64]? {
        guard let preferences = pod.constraints?.preferredNodes, !preferences.isEmpty else { return nil }
        return Self.normalized(
            nodes.map { node in
                preferences.reduce(0) {
                    $1.term.matches(name: node.view.name, labels: node.view.labels) ? $0 + $1.weight : $0
                }
            })
    }

    /// Images that the node has already: big ones count, very big ones not more.
    private func images() -> [Int64]? {
        let low: Int64 = 23 << 20
        let high = (1000 << 20) * Int64(max(1, pod.images.count))
        let sums = nodes.map { node in
            pod.images.reduce(Int64(0)) { $0 &+ (node.view.images[$1] ?? node.view.images["\($1):latest"] ?? 0) }
        }
        guard sums.contains(where: { $0 > low }) else { return nil }
        return sums.map { (min(max($0, low), high) - low) * 100 / (high - low) }
    }

    /// To 0...100 by the greatest.
    static func normalized(_ scores: [Int64], reversed: Bool = false) -> [Int64] {
        let greatest = scores.max() ?? 0
        guard greatest > 0 else { return scores.map { _ in reversed ? 100 : 0 } }
        return scores.map { reversed ? 100 - $0 * 100 / greatest : $0 * 100 / greatest }
    }
}
