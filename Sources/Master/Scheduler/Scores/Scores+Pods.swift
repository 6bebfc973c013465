// Scores that look at the pods already there: spreading over nodes and zones, preferred affinity to other pods.

import API

extension Scores {
    /// Soft constraints of the pod; without any, pods of one controller spread over hosts and zones (upstream's
    /// default).
    func spreading() -> [Int64]? {
        let soft = (pod.constraints?.spread ?? []).filter { !$0.isHard }
        var penalties = [Double](repeating: 0, count: nodes.count)
        if pod.constraints?.spread.isEmpty ?? true {
            guard !pod.controllerUID.isEmpty else { return nil }
            add(&penalties, key: "kubernetes.io/hostname", maxSkew: 3) { $0.controllerUID == pod.controllerUID }
            add(&penalties, key: "topology.kubernetes.io/zone", maxSkew: 5) { $0.controllerUID == pod.controllerUID }
        }
        for constraint in soft {
            add(&penalties, key: constraint.topologyKey, maxSkew: constraint.maxSkew) {
                constraint.selector.matches($0.labels)
            }
        }
        let rounded = penalties.map { Int64($0.rounded()) }
        guard let least = rounded.min(), let most = rounded.max(), most > 0 else { return nil }
        return rounded.map { (most + least - $0) * 100 / most }
    }

    private func add(_ penalties: inout [Double], key: String, maxSkew: Int64, _ belongs: (SchedulingPod) -> Bool) {
        var counts: [String: Double] = [:]
        for node in nodes {
            guard let value = node.view.labels[key] else { continue }
            let matching = node.pods.values.count { $0.namespace == pod.namespace && !$0.isBeingDeleted && belongs($0) }
            counts[value, default: 0] += Double(matching)
        }
        guard !counts.isEmpty else { return }
        let weight = Self.logarithm(counts.count + 2)
        for (i, node) in nodes.enumerated() {
            guard let value = node.view.labels[key], let count = counts[value] else { continue }
            penalties[i] += count * weight + Double(maxSkew - 1)
        }
    }

    /// A natural logarithm that is good enough for weights and the same on every machine.
    private static func logarithm(_ number: Int) -> Double {
        var rest = Double(max(1, number))
        var whole = 0.0
        while rest >= 2 {
            rest /= 2
            whole += 1
        }
        let y = (rest - 1) / (rest + 1)
        return whole * 0.693147180559945 + 2 * (y + y * y * y / 3 + y * y * y * y * y / 5)
    }

    /// Preferred affinity of the pod, and what the pods already there prefer about it.
    func neighbours() -> [Int64]? {
        guard pod.constraints?.concernsPods == true || !snapshot.concerned.isEmpty else { return nil }
        var sums: [Domain: Int64] = [:]
        for node in snapshot.nodes {
            for other in node.pods.values { weigh(other, on: node.view, into: &sums) }
        }
        guard !sums.isEmpty else { return nil }
        let scores = nodes.map { node in
            sums.reduce(Int64(0)) { node.view.labels[$1.key.key] == $1.key.value ? $0 + $1.value : $0 }
        }
        guard let least = scores.min(), let most = scores.max(), most > least else { return nil }
        return scores.map { ($0 - least) * 100 / (most - least) }
    }

    private func weigh(_ other: SchedulingPod, on node: SchedulingNode, into sums: inout [Domain: Int64]) {
        func add(_ terms: [Weighted<PodTerm>], _ target: SchedulingPod, _ sign: Int64) {
            for preference in terms where preference.term.matches(target, snapshot.namespaceLabels) {
                guard let value = node.labels[preference.term.topologyKey] else { continue }
                sums[Domain(key: preference.term.topologyKey, value: value), default: 0] += sign * preference.weight
            }
        }
        if let mine = pod.constraints {
            add(mine.preferredAffinity, other, 1)
            add(mine.preferredAntiAffinity, other, -1)
        }
        if let theirs = other.constraints {
            add(theirs.preferredAffinity, pod, 1)
            add(theirs.preferredAntiAffinity, pod, -1)
            add(theirs.affinity.map { Weighted(weight: 1, term: $0) }, pod, 1)
        }
    }
}
