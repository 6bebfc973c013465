// Nobody grants more than they hold: who writes a Role or a binding must have every permission in it, or the verb
// `escalate` (`bind`).
import API

struct Escalation: Sendable {
    let authorizer: Authorizer

    /// Checks a create or update of a role or binding; other requests pass.
    func check(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {
        let request = write.attributes
        guard request.group == "rbac.authorization.k8s.io", request.subresource.isEmpty, write.operation != .delete
        else { return }
        if request.user.groups.contains("system:masters") { return }
        switch request.resource {
        case "roles", "clusterroles": try role(write, reader)
        case "rolebindings", "clusterrolebindings": try binding(write, reader)
        default: return
        }
    }

    private func role(_ write: WriteRequest, _ reader: any ObjectReader) throws(StatusError) {
        let rules = RoleIndex.rules(write.object)
        if let old = write.old, RoleIndex.rules(old) == rules, old["aggregationRule"] == write.object["aggregationRule"]
        {
            return
        }
        if isAllowed(write, verb: "escalate", resource: write.attributes.resource, name: write.object.name, reader) {
            return
        }
        var wanted = rules
        if let aggregation = write.object["aggregationRule"], !aggregation.isNull {
            wanted.append(PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]))
            wanted.append(PolicyRule(verbs: ["*"], urls: ["*"]))
        }
        try hold(wanted, write, reader)
    }

    private func binding(_ write: WriteRequest, _ reader: any ObjectReader) throws(StatusError) {
        if let old = write.old, old["roleRef"] == write.object["roleRef"], old["subjects"] == write.object["subjects"] {
            return
        }
        let reference = write.object["roleRef"] ?? [:]
        let name = reference["name"]?.string ?? ""
        let resource: GroupVersionResource = reference.kind == "Role" ? .roles : .clusterRoles
        if isAllowed(write, verb: "bind", resource: resource.resource, name: name, reader) { return }
        guard
            let role = reader.get(
                resource, namespace: reference.kind == "Role" ? write.attributes.namespace : nil, name: name)
        else {
            throw Status.notFound(resource, name)
        }
        try hold(RoleIndex.rules(role), write, reader)
    }

    private func isAllowed(
        _ write: WriteRequest, verb: String, resource: String, name: String, _ reader: any ObjectReader
    ) -> Bool {
        var request = write.attributes
        request.verb = verb
        request.resource = resource
        request.name = name
        if resource == "clusterroles" && write.attributes.resource != "rolebindings" { request.namespace = "" }
        return authorizer.authorize(request, reader: reader).outcome == .allowed
    }

    private func hold(_ wanted: [PolicyRule], _ write: WriteRequest, _ reader: any ObjectReader) throws(StatusError) {
        let user = write.attributes.user
        let (owned, errors) = authorizer.roles.rules(for: user, namespace: write.attributes.namespace, reader: reader)
        let missing = PolicyRule.missing(wanted, owned: owned)
        if missing.isEmpty { return }
        let lines = Set(PolicyRule.compact(missing).map(\.description)).sorted()
        let groups = user.groups.map { Go.quote($0) }.joined(separator: " ")
        var text =
            "user \(Go.quote(user.name)) (groups=[\(groups)]) is attempting to grant "
            + "RBAC permissions not currently held:\n"
            + lines.joined(separator: "\n")
        if !errors.isEmpty { text += "; resolution errors: [\(errors.map { Go.quote($0) }.joined(separator: " "))]" }
        let resource = GroupVersionResource(write.attributes.group, write.attributes.version, write.attributes.resource)
        throw Status.forbidden(resource, write.object.name, text)
    }
}
