// The loops of Endpoints and EndpointSlices; the key is the service's.

import API

enum ServiceLoops {
    static func endpoints(_ caches: Caches) -> Loop {
        Loop("endpoint-controller", caches, seed: { Set(caches.services.keys).union(caches.endpoints.keys).sorted() }) {
            key, session in
            let service = caches.services.get(key)
            let pods = service.map { caches.pods.values("ns:\($0.namespace)") } ?? []
            let changes = EndpointsPlan.changes(
                service, pods: pods, existing: caches.endpoints.get(key), now: session.now())
            return await session.perform(changes)
        }
    }

    static func slices(_ caches: Caches) -> Loop {
        Loop("endpoint-slice-controller", caches, seed: { caches.services.keys }) { key, session in
            let service = caches.services.get(key)
            let pods = service.map { caches.pods.values("ns:\($0.namespace)") } ?? []
            let zones = Dictionary(
                caches.nodes.all.compactMap { node in
                    node.labels["topology.kubernetes.io/zone"].map { (node.name, $0) }
                }, uniquingKeysWith: { $1 })
            let slices = caches.endpointSlices.values("service:\(key)")
            return await session.perform(
                EndpointSlicePlan.changes(service, pods: pods, slices: slices, zones: zones, now: session.now()))
        }
    }

    /// Whether nothing changed that endpoints show.
    static func areAlike(_ old: PodView?, _ new: PodView?) -> Bool {
        guard let old, let new else { return false }
        return old.uid == new.uid && old.labels == new.labels && old.isReady == new.isReady
            && old.addresses == new.addresses
            && old.isBeingDeleted == new.isBeingDeleted && old.phase == new.phase && old.nodeName == new.nodeName
    }
}
