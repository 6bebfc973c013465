// Which controller looks at which key, and which change of the cluster asks it to. One loop a controller; each takes
// the world that its plan needs from the caches.

import API
import Synchronization

/// The loops, and the wires from the caches to them.
final class Controllers: Sendable {
    let caches: Caches
    let options: ControllerOptions
    let collector: GarbageCollector
    let deployments: Loop
    let replicaSets: Loop
    let replicationControllers: Loop
    let daemonSets: Loop
    let endpoints: Loop
    let endpointSlices: Loop
    let nodes: NodeLoops
    let namespaces: Loop
    let serviceAccounts: Loop
    let rootCAs: Loop
    let clusterRoles: Loop
    let certificates: Loop
    let tokens: Loop
    let garbage: Loop
    private var all: [Loop] {
        [
            deployments, replicaSets, replicationControllers, daemonSets, endpoints, endpointSlices, namespaces,
            serviceAccounts, rootCAs,
            clusterRoles, certificates, tokens
        ] + nodes.all
    }

    init(_ caches: Caches, _ collector: GarbageCollector, _ options: ControllerOptions) {
        self.caches = caches
        self.options = options
        self.collector = collector
        deployments = WorkloadLoops.deployments(caches)
        replicaSets = WorkloadLoops.replicas(.replicaSet, "replicaset-controller", caches.replicaSets, caches)
        replicationControllers = WorkloadLoops.replicas(
            .replicationController, "replication-controller", caches.replicationControllers, caches)
        daemonSets = WorkloadLoops.daemons(caches)
        endpoints = ServiceLoops.endpoints(caches)
        endpointSlices = ServiceLoops.slices(caches)
        nodes = NodeLoops(caches, options)
        namespaces = NamespaceLoops.sweep(caches, options.served)
        serviceAccounts = NamespaceLoops.serviceAccounts(caches)
        rootCAs = NamespaceLoops.rootCAs(caches, options.rootCA)
        clusterRoles = NamespaceLoops.clusterRoles(caches)
        certificates = NamespaceLoops.certificates(caches, options.authority)
        tokens = NamespaceLoops.tokens(caches)
        garbage = Loop("garbage-collector-controller", caches, width: 16, seed: { collector.keys }) {
            await collector.work($0, $1)
        }
    }

    func activate(_ session: Session) { for loop in all { loop.activate(session) } }

    func deactivate() { for loop in all + [garbage] { loop.deactivate() } }

    /// The collector begins once it knows every object; it may take longer than the rest.
    func collect(_ session: Session, _ isCurrent: @Sendable () -> Bool) async {
        await collector.waitForSync()
        if isCurrent() { garbage.activate(session) }
    }

    /// Connects changes to keys. Handlers run under an informer's lock: they only look into shelves and enqueue.
    func connect() {
        connectWorkloads()
        connectServices()
        nodes.connect()
        connectNamespaces()
        collector.start { [garbage] in garbage.enqueue($0) }
    }

    private func connectWorkloads() {
        caches.deployments.onChange { [deployments] key, _, _ in deployments.enqueue(key) }
        caches.replicaSets.onChange { [self] key, old, new in
            replicaSets.enqueue(key)
            for set in [old, new].compactMap({ $0 }) { enqueueDeployment(of: set) }
        }
        caches.replicationControllers.onChange { [replicationControllers] key, _, _ in
            replicationControllers.enqueue(key)
        }
        caches.daemonSets.onChange { [daemonSets] key, _, _ in daemonSets.enqueue(key) }
        caches.controllerRevisions.onChange { [daemonSets] _, old, new in
            for revision in [old, new].compactMap({ $0 }) {
                if let owner = Owner(revision.controllerReference), owner.kind == "DaemonSet" {
                    daemonSets.enqueue("\(revision.namespace)/\(owner.name)")
                }
            }
        }
        caches.pods.onChange { [self] _, old, new in
            for pod in [old, new].compactMap({ $0 }) { enqueueOwner(of: pod, isGone: new == nil) }
        }
        caches.nodes.onChange { [caches, daemonSets] _, old, new in
            if let old, let new, old.labels == new.labels, old.taints == new.taints { return }
            for key in caches.daemonSets.keys { daemonSets.enqueue(key) }
        }
    }

    private func enqueueDeployment(of set: JSON) {
        if let owner = Owner(set.controllerReference) {
            if owner.kind == "Deployment" { deployments.enqueue("\(set.namespace)/\(owner.name)") }
            return
        }
        for deployment in caches.deployments.values("ns:\(set.namespace)") {
            if MatchSelector(deployment["spec", "selector"]).matches(set.labels) { deployments.enqueue(deployment.key) }
        }
    }

    private func enqueueOwner(of pod: PodView, isGone: Bool) {
        guard let owner = pod.owner else { return enqueueAdopters(of: pod) }
        let key = "\(pod.namespace)/\(owner.name)"
        switch owner.kind {
        case "ReplicaSet":
            replicaSets.enqueue(key)
            // A deployment that recreates waits for the end of the old pods.
            if isGone || pod.isFinished, let set = caches.replicaSets.get(key) { enqueueDeployment(of: set) }
        case "ReplicationController": replicationControllers.enqueue(key)
        case "DaemonSet": daemonSets.enqueue(key)
        default: break
        }
    }

    /// A pod without a controller may be wanted by any whose selector finds it.
    private func enqueueAdopters(of pod: PodView) {
        let entry = "ns:\(pod.namespace)"
        for set in caches.replicaSets.values(entry) where ReplicaKind.replicaSet.selector(of: set).matches(pod.labels) {
            replicaSets.enqueue(set.key)
        }
        for set in caches.replicationControllers.values(entry)
        where ReplicaKind.replicationController.selector(of: set).matches(pod.labels) {
            replicationControllers.enqueue(set.key)
        }
        for set in caches.daemonSets.values(entry) where MatchSelector(set["spec", "selector"]).matches(pod.labels) {
            daemonSets.enqueue(set.key)
        }
    }

    private func connectServices() {
        let both: @Sendable (String) -> Void = { [endpoints, endpointSlices] in
            endpoints.enqueue($0)
            endpointSlices.enqueue($0)
        }
        caches.services.onChange { key, _, _ in both(key) }
        caches.endpoints.onChange { [endpoints] key, _, _ in endpoints.enqueue(key) }
        caches.endpointSlices.onChange { [endpointSlices] _, old, new in
            for slice in [old, new].compactMap({ $0 }) {
                if let name = slice.labels["kubernetes.io/service-name"] {
                    endpointSlices.enqueue("\(slice.namespace)/\(name)")
                }
            }
        }
        caches.pods.onChange { [caches] _, old, new in
            guard let pod = new ?? old, !ServiceLoops.areAlike(old, new) else { return }
            for service in caches.services.values("ns:\(pod.namespace)") {
                let selector = service["spec", "selector"]?.stringMap ?? [:]
                guard !selector.isEmpty else { continue }
                let concerns = [old, new].contains { one in
                    one.map { one in selector.allSatisfy { one.labels[$0.key] == $0.value } } ?? false
                }
                if concerns { both(service.key) }
            }
        }
    }

    private func connectNamespaces() {
        caches.namespaces.onChange { [namespaces, serviceAccounts, rootCAs] key, _, _ in
            namespaces.enqueue(key)
            serviceAccounts.enqueue(key)
            rootCAs.enqueue(key)
        }
        caches.serviceAccounts.onChange { [serviceAccounts] _, old, new in
            if new == nil, let old, old.name == "default" { serviceAccounts.enqueue(old.namespace) }
        }
        caches.rootCAs.onChange { [rootCAs] _, old, new in
            if let map = new ?? old { rootCAs.enqueue(map.namespace) }
        }
        caches.clusterRoles.onChange { [caches, clusterRoles] _, _, _ in
            for role in caches.clusterRoles.all where role["aggregationRule"] != nil { clusterRoles.enqueue(role.name) }
        }
        caches.bootstrapTokens.onChange { [tokens] key, _, new in
            if new != nil { tokens.enqueue(key) }
        }
        caches.signingRequests.onChange { [certificates] key, _, new in
            if new != nil { certificates.enqueue(key) }
        }
    }
}
