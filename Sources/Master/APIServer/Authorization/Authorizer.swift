// The authorizers in their order: system:masters, Node, RBAC. The first that allows decides; reasons of the others go
// into the refusal.
import API

package struct Authorizer: Sendable {
    package let roles: RoleAuthorizer
    private let nodes: NodeAuthorizer

    package init(roles: RoleAuthorizer = RoleAuthorizer(), nodeRules: [PolicyRule]) {
        self.roles = roles
        nodes = NodeAuthorizer(rules: nodeRules)
    }

    package func authorize(_ request: RequestAttributes, reader: any ObjectReader) -> AuthorizationDecision {
        if request.user.groups.contains("system:masters") { return AuthorizationDecision(.allowed) }
        let node = nodes.authorize(request, reader: reader)
        if node.outcome == .allowed { return node }
        let role = roles.authorize(request, reader: reader)
        if role.outcome == .allowed { return role }
        let reasons = [node.reason, role.reason].filter { !$0.isEmpty }
        return AuthorizationDecision(.noOpinion, reason: reasons.joined(separator: "\n"))
    }
}

extension Status {
    /// 403 for a request that no authorizer allowed, in upstream's words.
    package static func forbidden(_ request: RequestAttributes, reason: String = "") -> StatusError {
        guard request.isResourceRequest else {
            return forbidden(path: request.path, verb: request.verb, user: request.user.name)
        }
        let full = request.subresource.isEmpty ? request.resource : "\(request.resource)/\(request.subresource)"
        var text =
            "User \(Go.quote(request.user.name)) cannot \(request.verb) resource \(Go.quote(full)) "
            + "in API group \(Go.quote(request.group)) "
        text += request.namespace.isEmpty ? "at the cluster scope" : "in the namespace \(Go.quote(request.namespace))"
        if !reason.isEmpty { text += ": \(reason)" }
        return forbidden(GroupVersionResource(request.group, request.version, request.resource), request.name, text)
    }
}
