// What a kubelet may do: its own Node and lease, the pods on it, and the secrets, config maps, accounts and volumes
// that those pods use. It looks at the pods in local memory at the moment of the question; there is no graph to keep
// in step.
import API

package struct NodeAuthorizer: Sendable {
    /// What every node may do, besides what depends on its pods.
    private let rules: [PolicyRule]
    private static let graph: Set<String> = ["secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"]

    package init(rules: [PolicyRule]) {
        self.rules = rules
    }

    /// The node's name when the user is a kubelet.
    package static func node(_ user: UserInfo) -> String? {
        guard user.groups.contains("system:nodes"), user.name.hasPrefix("system:node:") else { return nil }
        let name = String(user.name.dropFirst("system:node:".count))
        return name.isEmpty ? nil : name
    }

    package func authorize(_ request: RequestAttributes, reader: any ObjectReader) -> AuthorizationDecision {
        guard let node = Self.node(request.user) else { return AuthorizationDecision(.noOpinion) }
        guard request.isResourceRequest else { return byRules(request) }
        switch (request.group, request.resource) {
        case ("", let resource) where Self.graph.contains(resource): return object(request, node, reader)
        case ("", "serviceaccounts"): return account(request, node, reader)
        case ("coordination.k8s.io", "leases"): return lease(request, node)
        case ("", "nodes"): return ownNode(request, node)
        case ("", "pods"): return ownPods(request, node)
        case ("storage.k8s.io", "csinodes"):
            return named(request, node, verbs: ["get", "create", "update", "patch", "delete"])
        default: return byRules(request)
        }
    }

    private func byRules(_ request: RequestAttributes) -> AuthorizationDecision {
        AuthorizationDecision(rules.contains { $0.allows(request) } ? .allowed : .noOpinion)
    }

    private func refuse(_ reason: String) -> AuthorizationDecision { AuthorizationDecision(.noOpinion, reason: reason) }

    /// The name in a request: a list or watch of one object names it in its field selector.
    private static func name(_ request: RequestAttributes) -> String {
        if !request.name.isEmpty { return request.name }
        return field("metadata.name", request) ?? ""
    }

    private static func field(_ field: String, _ request: RequestAttributes) -> String? {
        for term in request.fieldSelector.split(separator: ",") {
            let parts = term.split(separator: "=", omittingEmptySubsequences: true)
            if parts.count == 2, parts[0] == field { return String(parts[1]) }
        }
        return nil
    }

    private func object(
        _ request: RequestAttributes, _ node: String, _ reader: any ObjectReader
    )
        -> AuthorizationDecision
    {
        if request.resource == "persistentvolumeclaims" && request.subresource == "status" { return byRules(request) }
        guard ["get", "list", "watch"].contains(request.verb), request.subresource.isEmpty else {
            return refuse("can only read resources of this type")
        }
        let name = Self.name(request)
        if name.isEmpty { return refuse("No Object name found") }
        if isUsed(request, name, node, reader) { return AuthorizationDecision(.allowed) }
        return refuse("no relationship found between node '\(node)' and this object")
    }

    private func isUsed(
        _ request: RequestAttributes, _ name: String, _ node: String, _ reader: any ObjectReader
    )
        -> Bool
    {
        if request.resource == "persistentvolumes" {
            return reader.list(.pods, namespace: nil).contains { pod in
                guard pod["spec", "nodeName"]?.string == node else { return false }
                return PodReferences(pod).claims.contains { claim in
                    let resource = GroupVersionResource("", "v1", "persistentvolumeclaims")
                    return reader.get(resource, namespace: pod.namespace, name: claim)?["spec", "volumeName"]?.string
                        == name
                }
            }
        }
        return reader.list(.pods, namespace: request.namespace).contains { pod in
            guard pod["spec", "nodeName"]?.string == node else { return false }
            let references = PodReferences(pod)
            switch request.resource {
            case "secrets": return references.secrets.contains(name)
            case "configmaps": return references.configMaps.contains(name)
            default: return references.claims.contains(name)
            }
        }
    }

    private func account(
        _ request: RequestAttributes, _ node: String, _ reader: any ObjectReader
    )
        -> AuthorizationDecision
    {
        let isToken = request.verb == "create" && request.subresource == "token"
        let isGet = request.verb == "get" && request.subresource.isEmpty
        guard isToken || isGet else { return byRules(request) }
        let isUsed = reader.list(.pods, namespace: request.namespace).contains { pod in
            pod["spec", "nodeName"]?.string == node && pod["spec", "serviceAccountName"]?.string == request.name
        }
        return isUsed
            ? AuthorizationDecision(.allowed) : refuse("no relationship found between node '\(node)' and this object")
    }

    private func lease(_ request: RequestAttributes, _ node: String) -> AuthorizationDecision {
        guard ["get", "create", "update", "patch", "delete"].contains(request.verb) else {
            return refuse("can only get, create, update, patch, or delete a node lease")
        }
        guard request.namespace == "kube-node-lease" else {
            return refuse("can only access leases in the \"kube-node-lease\" system namespace")
        }
        if request.verb != "create" && request.name != node {
            return refuse("can only access node lease with the same name as the requesting node")
        }
        return AuthorizationDecision(.allowed)
    }

    private func named(_ request: RequestAttributes, _ node: String, verbs: [String]) -> AuthorizationDecision {
        guard verbs.contains(request.verb) else {
            return refuse("can only get, create, update, patch, or delete a CSINode")
        }
        if request.verb != "create" && request.name != node {
            return refuse("can only access CSINode with the same name as the requesting node")
        }
        return AuthorizationDecision(.allowed)
    }

    private func ownNode(_ request: RequestAttributes, _ node: String) -> AuthorizationDecision {
        guard ["get", "list", "watch"].contains(request.verb), request.subresource.isEmpty else {
            return byRules(request)
        }
        if Self.name(request) == node { return AuthorizationDecision(.allowed) }
        return refuse("node '\(node)' cannot read '\(Self.name(request))', only its own Node object")
    }

    private func ownPods(_ request: RequestAttributes, _ node: String) -> AuthorizationDecision {
        guard ["list", "watch"].contains(request.verb) else { return byRules(request) }
        if Self.field("spec.nodeName", request) == node || !Self.name(request).isEmpty {
            return AuthorizationDecision(.allowed)
        }
        return refuse("can only list/watch pods with spec.nodeName field selector")
    }
}

/// The objects that a pod's spec names.
struct PodReferences {
    var secrets: Set<String> = []
    var configMaps: Set<String> = []
    var claims: Set<String> = []

    init(_ pod: JSON) {
        for reference in pod["spec", "imagePullSecrets"]?.elements ?? [] { note(reference["name"], \.secrets) }
        for volume in pod["spec", "volumes"]?.elements ?? [] { add(volume: volume, pod: pod) }
        for member in ["containers", "initContainers", "ephemeralContainers"] {
            for container in pod["spec", member]?.elements ?? [] { add(container: container) }
        }
    }

    private mutating func add(volume: JSON, pod: JSON) {
        note(volume["secret", "secretName"], \.secrets)
        note(volume["configMap", "name"], \.configMaps)
        note(volume["persistentVolumeClaim", "claimName"], \.claims)
        if volume["ephemeral"] != nil, let name = volume["name"]?.string { claims.insert("\(pod.name)-\(name)") }
        for driver in ["csi", "flexVolume", "rbd", "cephfs", "iscsi", "scaleIO", "storageos", "azureFile"] {
            for member in ["nodePublishSecretRef", "secretRef"] { note(volume[driver]?[member]?["name"], \.secrets) }
            if driver == "azureFile" { note(volume[driver]?["secretName"], \.secrets) }
        }
        for source in volume["projected", "sources"]?.elements ?? [] {
            note(source["secret", "name"], \.secrets)
            note(source["configMap", "name"], \.configMaps)
        }
    }

    private mutating func add(container: JSON) {
        for source in container["envFrom"]?.elements ?? [] {
            note(source["configMapRef", "name"], \.configMaps)
            note(source["secretRef", "name"], \.secrets)
        }
        for variable in container["env"]?.elements ?? [] {
            note(variable["valueFrom", "configMapKeyRef", "name"], \.configMaps)
            note(variable["valueFrom", "secretKeyRef", "name"], \.secrets)
        }
    }

    private mutating func note(_ name: JSON?, _ set: WritableKeyPath<PodReferences, Set<String>>) {
        if let name = name?.string, !name.isEmpty { self[keyPath: set].insert(name) }
    }
}
