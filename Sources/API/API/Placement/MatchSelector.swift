// Label and node selectors as they stand in objects (`matchLabels`, `matchExpressions`, node selector terms), in the
// form in which control loops match them thousands of times a second. Parsing is lenient: what is malformed matches
// nothing.

/// One condition on a set of labels.
package struct MatchExpression: Sendable, Hashable {
    package enum Operator: String, Sendable {
        case `in` = "In"
        case notIn = "NotIn"
        case exists = "Exists"
        case doesNotExist = "DoesNotExist"
        case greaterThan = "Gt"
        case lessThan = "Lt"
        /// An operator that nobody knows: matches nothing.
        case never = ""
    }

    package var key: String
    package var operation: Operator
    package var values: [String]

    package init(key: String, operation: Operator, values: [String]) {
        self.key = key
        self.operation = operation
        self.values = values
    }

    package init(_ tree: JSON) {
        key = tree["key"]?.string ?? ""
        operation = Operator(rawValue: tree["operator"]?.string ?? "") ?? .never
        values = tree["values"]?.elements.compactMap(\.string) ?? []
    }

    package func matches(_ labels: [String: String]) -> Bool {
        switch operation {
        case .in: labels[key].map(values.contains) ?? false
        case .notIn: labels[key].map { !values.contains($0) } ?? true
        case .exists: labels[key] != nil
        case .doesNotExist: labels[key] == nil
        case .greaterThan: compare(labels) { $0 > $1 }
        case .lessThan: compare(labels) { $0 < $1 }
        case .never: false
        }
    }

    private func compare(_ labels: [String: String], _ order: (Int64, Int64) -> Bool) -> Bool {
        guard let have = labels[key].flatMap({ Int64($0) }), let bound = values.first.flatMap({ Int64($0) }) else {
            return false
        }
        return order(have, bound)
    }
}

/// A label selector (`matchLabels` and `matchExpressions`); an absent one matches nothing, an empty one everything.
package struct MatchSelector: Sendable, Hashable {
    package var requirements: [MatchExpression]?

    package init(requirements: [MatchExpression]?) { self.requirements = requirements }

    package init(_ tree: JSON?) {
        guard let tree, tree.object != nil else {
            requirements = nil
            return
        }
        var all = (tree["matchLabels"]?.stringMap ?? [:]).sorted { $0.key < $1.key }
            .map { MatchExpression(key: $0.key, operation: .in, values: [$0.value]) }
        all += (tree["matchExpressions"]?.elements ?? []).map(MatchExpression.init)
        requirements = all
    }

    package func matches(_ labels: [String: String]) -> Bool {
        requirements.map { $0.allSatisfy { $0.matches(labels) } } ?? false
    }

    /// The same with one more condition for each of the named labels that the pod itself carries (`matchLabelKeys`).
    package func narrowed(
        by keys: JSON?, of labels: [String: String], _ operation: MatchExpression.Operator = .in
    )
        -> MatchSelector
    {
        let extra = (keys?.elements ?? []).compactMap(\.string).compactMap { key in
            labels[key].map { MatchExpression(key: key, operation: operation, values: [$0]) }
        }
        return MatchSelector(requirements: requirements.map { $0 + extra })
    }
}

/// A term of a node selector: all its conditions hold; one without any matches no node.
package struct NodeTerm: Sendable, Hashable {
    package var labels: [MatchExpression]
    package var fields: [MatchExpression]

    package init(_ tree: JSON) {
        labels = (tree["matchExpressions"]?.elements ?? []).map(MatchExpression.init)
        fields = (tree["matchFields"]?.elements ?? []).map(MatchExpression.init)
    }

    package func matches(name: String, labels: [String: String]) -> Bool {
        guard !(self.labels.isEmpty && fields.isEmpty) else { return false }
        return self.labels.allSatisfy { $0.matches(labels) }
            && fields.allSatisfy { $0.matches(["metadata.name": name]) }
    }
}

extension JSON {
    /// Of a pod's spec: whether its node selector and required node affinity accept a node.
    package func placementAccepts(node: String, labels: [String: String]) -> Bool {
        let required = self[
            "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"]?.array
        guard (self["nodeSelector"]?.stringMap ?? [:]).allSatisfy({ labels[$0.key] == $0.value }) else { return false }
        return required?.contains { NodeTerm($0).matches(name: node, labels: labels) } ?? true
    }
}
