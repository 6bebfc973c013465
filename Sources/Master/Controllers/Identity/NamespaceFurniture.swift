// What every namespace has: the service account `default` and the ConfigMap with the cluster's CA. Pure.

import API

package enum ServiceAccountPlan {
    /// `exists`: whether the namespace has its default account.
    package static func changes(_ namespace: JSON?, exists: Bool) -> [Change] {
        guard let namespace, !namespace.isBeingDeleted, !exists else { return [] }
        let account: JSON = [
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": ["name": "default", "namespace": .string(namespace.name)]
        ]
        return [.create(.serviceAccounts, account)]
    }
}

package enum RootCAPublisher {
    package static let name = "kube-root-ca.crt"
    private static let description =
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
        + "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."

    package static func changes(_ namespace: JSON?, existing: JSON?, ca: String) -> [Change] {
        guard let namespace, !namespace.isBeingDeleted else { return [] }
        guard var map = existing else {
            let made: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": [
                    "name": .string(name), "namespace": .string(namespace.name),
                    "annotations": ["kubernetes.io/description": .string(description)]
                ],
                "data": ["ca.crt": .string(ca)]
            ]
            return [.create(.configMaps, made)]
        }
        guard map["data"] != ["ca.crt": .string(ca)] else { return [] }
        map["data"] = ["ca.crt": .string(ca)]
        return [.update(.configMaps, map)]
    }
}

/// Roles that gather the rules of others by label (`admin`, `edit`, `view`).
package enum ClusterRoleAggregation {
    package static func changes(_ role: JSON, all: [JSON]) -> [Change] {
        let selectors = (role["aggregationRule", "clusterRoleSelectors"]?.elements ?? []).map { MatchSelector($0) }
        guard !selectors.isEmpty else { return [] }
        var rules: [JSON] = []
        for selector in selectors {
            for other in all.sorted(by: { $0.name < $1.name })
            where other.name != role.name && selector.matches(other.labels) {
                for rule in other["rules"]?.elements ?? [] where !rules.contains(rule) { rules.append(rule) }
            }
        }
        guard rules != role["rules"]?.elements ?? [] else { return [] }
        var changed = role
        changed["rules"] = .array(rules)
        return [.update(.clusterRoles, changed)]
    }
}
