// Required pod affinity and anti-affinity, counted once for a pod over all nodes; a node is then judged by a few look-
// ups.

/// A label of nodes and one of its values: the nodes that share it are one domain.
package struct Domain: Sendable, Hashable {
    package var key: String
    package var value: String
}

/// Which domains have pods that attract or repel one pod.
package struct AffinityCounts: Sendable {
    private var terms: [PodTerm] = []
    private var antiTerms: [PodTerm] = []
    /// Domains in which a pod stands that matches all affinity terms.
    private var wanted: Set<Domain> = []
    private var unwanted: Set<Domain> = []
    /// Domains in which a pod stands whose own anti-affinity speaks of this pod.
    private var forbidden: Set<Domain> = []
    /// The first of a group that wants to be together may go anywhere.
    private var mayBeFirst = false

    init(_ pod: SchedulingPod, _ snapshot: Snapshot) {
        forbid(pod, snapshot)
        guard let constraints = pod.constraints, !(constraints.affinity.isEmpty && constraints.antiAffinity.isEmpty)
        else { return }
        terms = constraints.affinity
        antiTerms = constraints.antiAffinity
        for node in snapshot.nodes {
            for other in node.pods.values { count(other, on: node.view, snapshot.namespaceLabels) }
        }
        mayBeFirst = wanted.isEmpty && terms.allSatisfy { $0.matches(pod, snapshot.namespaceLabels) }
    }

    private mutating func forbid(_ pod: SchedulingPod, _ snapshot: Snapshot) {
        for (key, other) in snapshot.concerned {
            guard let anti = other.constraints?.antiAffinity, !anti.isEmpty, let node = snapshot.place(of: key) else {
                continue
            }
            for term in anti where term.matches(pod, snapshot.namespaceLabels) {
                if let value = node.view.labels[term.topologyKey] {
                    forbidden.insert(Domain(key: term.topologyKey, value: value))
                }
            }
        }
    }

    private mutating func count(
        _ other: SchedulingPod, on node: SchedulingNode, _ namespaceLabels: [String: [String: String]]
    ) {
        if !terms.isEmpty && terms.allSatisfy({ $0.matches(other, namespaceLabels) }) {
            for term in terms {
                if let value = node.labels[term.topologyKey] {
                    wanted.insert(Domain(key: term.topologyKey, value: value))
                }
            }
        }
        for term in antiTerms where term.matches(other, namespaceLabels) {
            if let value = node.labels[term.topologyKey] {
                unwanted.insert(Domain(key: term.topologyKey, value: value))
            }
        }
    }

    func isSatisfied(by node: SchedulingNode) -> Bool {
        guard !terms.isEmpty else { return true }
        guard terms.allSatisfy({ node.labels[$0.topologyKey] != nil }) else { return false }
        return mayBeFirst || terms.allSatisfy { contains(wanted, $0.topologyKey, node) }
    }

    func isRepelled(by node: SchedulingNode) -> Bool {
        antiTerms.contains { contains(unwanted, $0.topologyKey, node) }
    }

    func offends(_ node: SchedulingNode) -> Bool {
        forbidden.contains { node.labels[$0.key] == $0.value }
    }

    private func contains(_ domains: Set<Domain>, _ key: String, _ node: SchedulingNode) -> Bool {
        node.labels[key].map { domains.contains(Domain(key: key, value: $0)) } ?? false
    }
}
