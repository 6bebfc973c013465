// RBAC: allowed when a rule of a role that is bound to the user allows it; otherwise it has no opinion.
import API

package struct RoleAuthorizer: Sendable {
    private let cache = RoleIndexCache()
    package init() {}

    package func authorize(_ request: RequestAttributes, reader: any ObjectReader) -> AuthorizationDecision {
        let index = cache.index(reader)
        var errors: [String] = []
        for (binding, subject) in index.bindings(for: request.user, namespace: request.namespace) {
            guard let rules = index.rules(of: binding) else {
                errors.append(RoleIndex.missing(binding))
                continue
            }
            if rules.contains(where: { $0.allows(request) }) {
                return AuthorizationDecision(.allowed, reason: Self.reason(binding, subject))
            }
        }
        return AuthorizationDecision(.noOpinion, reason: errors.isEmpty ? "" : "RBAC: \(Self.aggregate(errors))")
    }

    private static func reason(_ binding: RoleIndex.Binding, _ subject: String) -> String {
        let kind = binding.namespace.isEmpty ? "ClusterRoleBinding" : "RoleBinding"
        let name = binding.namespace.isEmpty ? binding.name : "\(binding.name)/\(binding.namespace)"
        return
            "RBAC: allowed by \(kind) \(Go.quote(name)) of \(binding.roleKind) "
            + "\(Go.quote(binding.roleName)) to \(subject)"
    }

    static func aggregate(_ errors: [String]) -> String {
        errors.count == 1 ? errors[0] : "[\(errors.joined(separator: ", "))]"
    }

    /// The rules that a user has in a namespace.
    package func rules(
        for user: UserInfo, namespace: String, reader: any ObjectReader
    ) -> (
        rules: [PolicyRule], errors: [String]
    ) {
        cache.index(reader).rules(for: user, namespace: namespace)
    }
}
