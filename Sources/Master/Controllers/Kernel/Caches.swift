// All that the controllers know of the cluster: one shelf a kind, warm on every master.

import API

/// The shelves.
package final class Caches: Sendable {
    package let pods: Shelf<PodView>
    package let nodes: Shelf<NodeView>
    package let nodeLeases: Shelf<LeaseView>
    package let deployments: Shelf<JSON>
    package let replicaSets: Shelf<JSON>
    package let replicationControllers: Shelf<JSON>
    package let daemonSets: Shelf<JSON>
    package let controllerRevisions: Shelf<JSON>
    package let services: Shelf<JSON>
    package let endpoints: Shelf<JSON>
    package let endpointSlices: Shelf<JSON>
    package let namespaces: Shelf<JSON>
    package let serviceAccounts: Shelf<Target>
    package let rootCAs: Shelf<JSON>
    package let clusterRoles: Shelf<JSON>
    package let signingRequests: Shelf<JSON>
    package let bootstrapTokens: Shelf<BootstrapToken>
    private let byResource: [GroupVersionResource: any AnyShelf]

    package init(_ client: any ObjectClient) {
        pods = Shelf(
            client, InformerScope(.pods), transform: { PodView($0) }, identity: { ($0.uid, $0.isBeingDeleted) }
        ) { pod in
            let owner = pod.owner.map { "owner:\($0.uid)" } ?? "orphan:\(pod.namespace)"
            return ["ns:\(pod.namespace)", owner, "node:\(pod.nodeName)"]
        }
        nodes = Shelf(client, InformerScope(.nodes), transform: { NodeView($0) }, identity: { ($0.uid, false) })
        nodeLeases = Shelf(
            client, InformerScope(.leases, namespace: "kube-node-lease"), transform: { LeaseView($0) },
            identity: { ($0.uid, false) })
        deployments = .trees(client, InformerScope(.deployments))
        replicaSets = .trees(client, InformerScope(.replicaSets))
        replicationControllers = .trees(client, InformerScope(.replicationControllers))
        daemonSets = .trees(client, InformerScope(.daemonSets))
        controllerRevisions = .trees(client, InformerScope(.controllerRevisions))
        services = .trees(client, InformerScope(.services))
        endpoints = .trees(client, InformerScope(.endpoints))
        endpointSlices = Shelf(
            client, InformerScope(.endpointSlices), transform: { $0 }, identity: { ($0.uid, $0.isBeingDeleted) }
        ) { slice in
            ["service:\(slice.namespace)/\(slice.labels["kubernetes.io/service-name"] ?? "")"]
        }
        namespaces = .trees(client, InformerScope(.namespaces))
        serviceAccounts = Shelf(
            client, InformerScope(.serviceAccounts), transform: { Target($0) }, identity: { ($0.uid, false) })
        rootCAs = .trees(client, InformerScope(.configMaps, fieldSelector: "metadata.name=\(RootCAPublisher.name)"))
        clusterRoles = .trees(client, InformerScope(.clusterRoles))
        signingRequests = .trees(client, InformerScope(.certificateSigningRequests))
        bootstrapTokens = Shelf(
            client,
            InformerScope(.secrets, namespace: "kube-system", fieldSelector: "type=bootstrap.kubernetes.io/token"),
            transform: { BootstrapToken($0) }, identity: { ($0.target.uid, false) })
        let all: [any AnyShelf] = [
            pods, nodes, nodeLeases, deployments, replicaSets, replicationControllers, daemonSets, controllerRevisions,
            services, endpoints,
            endpointSlices, namespaces, serviceAccounts, rootCAs, clusterRoles, signingRequests, bootstrapTokens
        ]
        byResource = Dictionary(all.map { ($0.resource, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func start() { for shelf in byResource.values { shelf.start() } }
    func stop() { for shelf in byResource.values { shelf.stop() } }
    func waitForSync() async { for shelf in byResource.values { await shelf.waitForSync() } }

    /// Whether what was written is shown; kinds without a shelf, and filtered ones, count as shown.
    func isMet(_ expectation: Awaited) -> Bool {
        switch expectation {
        case .revision(let resource, let revision):
            guard resource != .configMaps, resource != .leases, resource != .secrets, let shelf = byResource[resource]
            else { return true }
            return shelf.revision >= revision
        case .gone(let resource, let target): return !(byResource[resource]?.showsAlive(target) ?? false)
        }
    }
}
