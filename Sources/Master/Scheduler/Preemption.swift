// Preemption: which pods of lower priority must go so that a pod fits, and on which node that hurts least.
// Only a plan; the shell deletes the victims and the pod waits for their end.

enum Preemptor {
    /// Nodes beyond this many candidates are not tried.
    static let candidatesMax = 100

    static func plan(_ pod: SchedulingPod, _ snapshot: Snapshot, _ refusals: [String: Refusal]) -> Preemption? {
        if isWaitingForVictims(pod, snapshot) { return nil }
        var best: (preemption: Preemption, cost: [Int64])?
        var tried = 0
        for node in snapshot.nodes where refusals[node.view.name]?.isHopeless == false && tried < candidatesMax {
            guard node.pods.values.contains(where: { $0.priority < pod.priority }) else { continue }
            tried += 1
            guard let victims = victims(pod, node, snapshot) else { continue }
            let cost = Self.cost(victims)
            if let best, !cost.lexicographicallyPrecedes(best.cost) { continue }
            let list = victims.map { Preemption.Victim(key: $0.key, uid: $0.uid) }
            best = (Preemption(node: node.view.name, victims: list), cost)
        }
        return best?.preemption
    }

    /// Victims of an earlier preemption are still ending on the nominated node.
    private static func isWaitingForVictims(_ pod: SchedulingPod, _ snapshot: Snapshot) -> Bool {
        guard let node = snapshot.node(pod.nominatedNodeName) else { return false }
        return node.pods.values.contains { $0.isBeingDeleted && $0.priority < pod.priority }
    }

    /// All pods of lower priority go; then those that may stay after all are put back, the most important first.
    private static func victims(_ pod: SchedulingPod, _ node: NodeState, _ snapshot: Snapshot) -> [SchedulingPod]? {
        var trial = snapshot
        let lower = node.pods.values.filter { $0.priority < pod.priority }
            .sorted { ($0.priority, $1.createdAt, $0.key) > ($1.priority, $0.createdAt, $1.key) }
        for victim in lower { trial.remove(victim.key) }
        guard fits(pod, node.view.name, trial) else { return nil }
        var victims: [SchedulingPod] = []
        for candidate in lower {
            trial.put(candidate, on: node.view.name)
            if fits(pod, node.view.name, trial) { continue }
            trial.remove(candidate.key)
            victims.append(candidate)
        }
        return victims.isEmpty ? nil : victims
    }

    private static func fits(_ pod: SchedulingPod, _ node: String, _ snapshot: Snapshot) -> Bool {
        guard let state = snapshot.node(node) else { return false }
        return Cycle(pod, snapshot).refusal(of: state) == nil
    }

    /// Highest priority of a victim, then their sum, then how many: the least is best.
    private static func cost(_ victims: [SchedulingPod]) -> [Int64] {
        let sum = victims.reduce(Int64(0)) { $0 &+ $1.priority &+ (1 << 31) }
        return [victims.map(\.priority).max() ?? 0, sum, Int64(victims.count)]
    }
}
