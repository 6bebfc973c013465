// Aggregated ClusterRoles: their rules are those of the roles that their selectors choose, in the order of names,
// each once. Used for the default roles; a controller keeps the rest in step.
import API

package enum RoleAggregation {
    /// The rules that an aggregated role should have.
    package static func rules(of role: JSON, among roles: [JSON]) -> JSON {
        let selectors = (role["aggregationRule", "clusterRoleSelectors"]?.elements ?? []).map { MatchSelector($0) }
        var rules: [JSON] = []
        for selector in selectors {
            for other in roles.sorted(by: { $0.name < $1.name })
            where other.name != role.name && selector.matches(other.labels) {
                for rule in other["rules"]?.elements ?? [] where !rules.contains(rule) { rules.append(rule) }
            }
        }
        return .array(rules)
    }
}
