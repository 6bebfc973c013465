// Which resource behaves how: the one list of kinds with behaviour. What is not listed gets the defaults
// (`UnknownKind`).
import API

/// The behaviour of each kind.
package struct KindTable: KindRegistry {
    private struct GroupResource: Hashable {
        var group: String
        var resource: String
    }
    private let kinds: [GroupResource: any KindBehavior]
    private let unknown = UnknownKind()

    package init(network: ServiceNetwork = ServiceNetwork()) {
        var kinds: [GroupResource: any KindBehavior] = [:]
        func add(_ group: String, _ resource: String, _ kind: any KindBehavior) {
            kinds[GroupResource(group: group, resource: resource)] = kind
        }
        add("", "namespaces", NamespaceKind())
        add("", "nodes", NodeKind())
        add("", "pods", PodKind())
        add("", "replicationcontrollers", ReplicationControllerKind())
        add("", "services", ServiceKind(network: network))
        add("", "endpoints", EndpointsKind())
        add("", "configmaps", ConfigMapKind())
        add("", "secrets", SecretKind())
        add("", "serviceaccounts", ServiceAccountKind())
        add("", "events", EventKind())
        add("events.k8s.io", "events", EventKind())
        add("", "podtemplates", PlainKind(hasGeneration: true))
        add("apps", "replicasets", ReplicaSetKind())
        add("apps", "deployments", DeploymentKind())
        add("apps", "daemonsets", DaemonSetKind())
        add("apps", "controllerrevisions", ControllerRevisionKind())
        add("apps", "statefulsets", PlainKind(hasStatus: true, hasGeneration: true))
        add("batch", "jobs", PlainKind(hasStatus: true, hasGeneration: true))
        add("batch", "cronjobs", PlainKind(hasStatus: true, hasGeneration: true))
        add("policy", "poddisruptionbudgets", PlainKind(hasStatus: true, hasGeneration: true))
        add("discovery.k8s.io", "endpointslices", EndpointSliceKind())
        add("coordination.k8s.io", "leases", LeaseKind())
        add("scheduling.k8s.io", "priorityclasses", PriorityClassKind())
        add("certificates.k8s.io", "certificatesigningrequests", CertificateSigningRequestKind())
        add("rbac.authorization.k8s.io", "roles", RoleKind(isNamespaced: true))
        add("rbac.authorization.k8s.io", "clusterroles", RoleKind(isNamespaced: false))
        add("rbac.authorization.k8s.io", "rolebindings", RoleBindingKind(isNamespaced: true))
        add("rbac.authorization.k8s.io", "clusterrolebindings", RoleBindingKind(isNamespaced: false))
        self.kinds = kinds
    }

    package func behavior(_ resource: GroupVersionResource) -> any KindBehavior {
        kinds[GroupResource(group: resource.group, resource: resource.resource)] ?? unknown
    }
}
