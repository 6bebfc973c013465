// Where a pod wants to be: node selectors, affinity to nodes and pods, spreading. Parsed once when the pod is
// projected.

import API

/// A term of pod affinity or anti-affinity.
package struct PodTerm: Sendable, Hashable {
    package var selector: MatchSelector
    package var namespaces: Set<String>
    /// nil: only `namespaces` count.
    package var namespaceSelector: MatchSelector?
    package var topologyKey: String

    init(_ tree: JSON, namespace: String, labels: [String: String]) {
        selector = MatchSelector(tree["labelSelector"])
            .narrowed(by: tree["matchLabelKeys"], of: labels)
            .narrowed(by: tree["mismatchLabelKeys"], of: labels, .notIn)
        namespaces = Set((tree["namespaces"]?.elements ?? []).compactMap(\.string))
        namespaceSelector = tree["namespaceSelector"]?.object.map { .init(.object($0)) }
        if namespaces.isEmpty && namespaceSelector == nil { namespaces = [namespace] }
        topologyKey = tree["topologyKey"]?.string ?? ""
    }

    /// Whether `pod` is one of those that the term speaks of.
    func matches(_ pod: SchedulingPod, _ namespaceLabels: [String: [String: String]]) -> Bool {
        let inside =
            namespaces.contains(pod.namespace)
            || (namespaceSelector?.matches(namespaceLabels[pod.namespace] ?? [:]) ?? false)
        return inside && selector.matches(pod.labels)
    }
}

/// A preference and how much it counts.
package struct Weighted<Term: Sendable>: Sendable {
    package var weight: Int64
    package var term: Term
}

/// A topology spread constraint.
package struct Spread: Sendable {
    package var maxSkew: Int64
    package var topologyKey: String
    package var isHard: Bool
    package var selector: MatchSelector
    package var minDomains: Int
    package var honoursAffinity: Bool
    package var honoursTaints: Bool

    init(_ tree: JSON, labels: [String: String]) {
        maxSkew = max(1, tree["maxSkew"]?.int ?? 1)
        topologyKey = tree["topologyKey"]?.string ?? ""
        isHard = tree["whenUnsatisfiable"]?.string != "ScheduleAnyway"
        selector = MatchSelector(tree["labelSelector"]).narrowed(by: tree["matchLabelKeys"], of: labels)
        minDomains = Int(clamping: tree["minDomains"]?.int ?? 1)
        honoursAffinity = tree["nodeAffinityPolicy"]?.string != "Ignore"
        honoursTaints = tree["nodeTaintsPolicy"]?.string == "Honor"
    }
}

/// Everything that narrows or weighs the choice of a node.
package struct Constraints: Sendable {
    package var nodeSelector: [String: String]
    /// One of these must match; nil: any node will do.
    package var nodeTerms: [NodeTerm]?
    package var preferredNodes: [Weighted<NodeTerm>]
    package var affinity: [PodTerm]
    package var antiAffinity: [PodTerm]
    package var preferredAffinity: [Weighted<PodTerm>]
    package var preferredAntiAffinity: [Weighted<PodTerm>]
    package var spread: [Spread]

    /// nil when the pod has none.
    init?(_ spec: JSON, namespace: String, labels: [String: String]) {
        let wishes = spec["affinity"] ?? .null
        nodeSelector = spec["nodeSelector"]?.stringMap ?? [:]
        spread = (spec["topologySpreadConstraints"]?.elements ?? []).map { Spread($0, labels: labels) }
        guard wishes.object?.isEmpty == false || !nodeSelector.isEmpty || !spread.isEmpty else { return nil }
        nodeTerms = wishes["nodeAffinity", Self.required]?["nodeSelectorTerms"]?.array?.map(NodeTerm.init)
        preferredNodes = (wishes["nodeAffinity", Self.preferred]?.elements ?? []).map {
            Weighted(weight: $0["weight"]?.int ?? 0, term: NodeTerm($0["preference"] ?? .null))
        }
        func terms(_ kind: String) -> [PodTerm] {
            (wishes[kind, Self.required]?.elements ?? []).map { PodTerm($0, namespace: namespace, labels: labels) }
        }
        func preferences(_ kind: String) -> [Weighted<PodTerm>] {
            (wishes[kind, Self.preferred]?.elements ?? []).map {
                let term = PodTerm($0["podAffinityTerm"] ?? .null, namespace: namespace, labels: labels)
                return Weighted(weight: $0["weight"]?.int ?? 0, term: term)
            }
        }
        affinity = terms("podAffinity")
        antiAffinity = terms("podAntiAffinity")
        preferredAffinity = preferences("podAffinity")
        preferredAntiAffinity = preferences("podAntiAffinity")
    }

    private static let required = "requiredDuringSchedulingIgnoredDuringExecution"
    private static let preferred = "preferredDuringSchedulingIgnoredDuringExecution"

    /// Whether the node selector and the required node affinity accept a node.
    package func accepts(_ node: SchedulingNode) -> Bool {
        nodeSelector.allSatisfy { node.labels[$0.key] == $0.value }
            && (nodeTerms?.contains { $0.matches(name: node.name, labels: node.labels) } ?? true)
    }

    /// Whether other pods matter for this one, or it for others.
    package var concernsPods: Bool {
        !(affinity.isEmpty && antiAffinity.isEmpty && preferredAffinity.isEmpty && preferredAntiAffinity.isEmpty)
    }
}
