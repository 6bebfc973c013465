// The Endpoints object of a service: addresses grouped by the ports that they have, ready and not ready. Pure.

import API

package enum EndpointsPlan {
    static let addressesMax = 1000
    private static let managed = "endpoints.kubernetes.io/managed-by"
    private static let trigger = "endpoints.kubernetes.io/last-change-trigger-time"
    private static let overCapacity = "endpoints.kubernetes.io/over-capacity"
    private static let headless = "service.kubernetes.io/headless"

    /// `service` is nil when it is gone; `existing` is the Endpoints object of the same name.
    package static func changes(_ service: JSON?, pods: [PodView], existing: JSON?, now: Int64) -> [Change] {
        guard let service, !service.isBeingDeleted else {
            guard let existing, existing.labels[managed] != nil else { return [] }
            return [.delete(.endpoints, Target(existing), DeleteOptions(uid: existing.uid))]
        }
        guard let wanted = ServiceEndpoints(service, pods: pods) else { return [] }
        let (subsets, isCut) = subsets(wanted)
        var labels = service.labels
        labels[managed] = "endpoint-controller"
        if wanted.isHeadless { labels[headless] = "" }
        var annotations = service.annotations
        annotations["kubectl.kubernetes.io/last-applied-configuration"] = nil
        if isCut { annotations[overCapacity] = "truncated" }
        guard var object = existing else {
            annotations[trigger] = Timestamp.seconds(now)
            return [.create(.endpoints, make(service, labels, annotations, subsets))]
        }
        var before = object.annotations
        before[trigger] = nil
        if object.labels == labels && before == annotations && equal(object["subsets"], subsets) { return [] }
        annotations[trigger] = Timestamp.seconds(now)
        object["metadata", "labels"] = JSON(labels)
        object["metadata", "annotations"] = JSON(annotations)
        object["subsets"] = subsets
        return [.update(.endpoints, object)]
    }

    private static func equal(_ old: JSON?, _ new: JSON) -> Bool { (old ?? []).essential == new.essential }

    private static func make(
        _ service: JSON, _ labels: [String: String], _ annotations: [String: String], _ subsets: JSON
    ) -> JSON {
        [
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": [
                "name": .string(service.name), "namespace": .string(service.namespace), "labels": JSON(labels),
                "annotations": JSON(annotations)
            ],
            "subsets": subsets
        ]
    }

    /// The subsets, and whether some addresses had to be left out.
    private static func subsets(_ wanted: ServiceEndpoints) -> (JSON, Bool) {
        let backends = wanted.backends.filter { wanted.publishesNotReady || !$0.pod.isBeingDeleted }
        let kept = backends.sorted { ($0.pod.isReady ? 0 : 1, $0.pod.key) < ($1.pod.isReady ? 0 : 1, $1.pod.key) }
            .prefix(addressesMax)
        let groups = Dictionary(grouping: kept, by: \.ports)
        let ordered = groups.sorted { left, right in
            left.key.lexicographicallyPrecedes(right.key, by: EndpointPort.before)
        }
        let subsets = ordered.compactMap { ports, backends -> JSON? in
            if ports.isEmpty && !wanted.isHeadless { return nil }
            var subset: JSON = [:]
            let ready = backends.filter { $0.pod.isReady || wanted.publishesNotReady }
            let waiting = backends.filter { !($0.pod.isReady || wanted.publishesNotReady) }
            if !ready.isEmpty { subset["addresses"] = addresses(ready, wanted.service) }
            if !waiting.isEmpty { subset["notReadyAddresses"] = addresses(waiting, wanted.service) }
            if !ports.isEmpty {
                subset["ports"] = .array(
                    ports.map { port in
                        var tree = port.tree
                        if port.name.isEmpty { tree["name"] = nil }
                        return tree
                    })
            }
            return subset
        }
        return (.array(subsets), kept.count < backends.count)
    }

    private static func addresses(_ backends: [ServiceBackend], _ service: JSON) -> JSON {
        .array(
            backends.sorted { ($0.address, $0.pod.uid) < ($1.address, $1.pod.uid) }.map { backend in
                var address: JSON = ["ip": .string(backend.address)]
                if let hostname = backend.hostname(in: service) { address["hostname"] = .string(hostname) }
                address["nodeName"] = .string(backend.pod.nodeName)
                address["targetRef"] = backend.reference
                return address
            })
    }
}
