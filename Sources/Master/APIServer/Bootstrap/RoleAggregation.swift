// Aggregated ClusterRoles: their rules are those of the roles that their selectors choose, in the order of names, each once.
import API

package enum RoleAggregation {
    /// The rules that an aggregated role should have.
    package static func rules(of role: JSON, among roles: [JSON]) -> JSON {
        let selectors = (role["aggregationRule", "clusterRoleSelectors"]?.elements ?? []).map { MatchSelector($0) }
        var rules: [JSON] = []
        for selector in selectors {
            for other in roles.sorted(by: { $0.name < $1.name }) where other.name != role.name && selector.matches(other.labels) {
                for rule in other["rules"]?.elements ?? [] where !rules.contains(rule) { rules.append(rule) }
            }
        }
        return .array(rules)
    }

    /// The aggregated roles whose rules are not what they should be, corrected.
    package static func corrections(_ roles: [JSON]) -> [JSON] {
        roles.compactMap { role in
            guard let rule = role["aggregationRule"], !rule.isNull else { return nil }
            let wanted = rules(of: role, among: roles)
            if wanted.elements == role["rules"]?.elements ?? [] { return nil }
            var corrected = role
            corrected["rules"] = wanted
            return corrected
        }
    }

    /// One round: writes the corrections. Roles that take in aggregated ones settle in the next round.
    package static func reconcile(_ client: any ObjectClient) async throws(StatusError) {
        let roles = try await client.list(.clusterRoles, namespace: nil, ListOptions(resourceVersion: "0")).items
        for role in corrections(roles) {
            do { _ = try await client.update(.clusterRoles, namespace: nil, name: role.name, role) } catch {
                // Somebody else wrote it meanwhile: the next round sees theirs.
                if !error.isConflict && !error.isNotFound { throw error }
            }
        }
    }
}
