// The EndpointSlices of a service. What a slice holds already stays in it, so that a change of one pod rewrites one
// slice; new endpoints fill the room that is left before a new slice is made. Pure.

import API

package enum EndpointSlicePlan {
    /// `--max-endpoints-per-slice`.
    package static let endpointsMax = 100
    private static let serviceName = "kubernetes.io/service-name"
    private static let managedBy = "endpointslice.kubernetes.io/managed-by"
    private static let manager = "endpointslice-controller.k8s.io"
    private static let headless = "service.kubernetes.io/headless"
    private static let trigger = "endpoints.kubernetes.io/last-change-trigger-time"

    /// `slices`: those with the service's name; `zones`: by node name.
    package static func changes(
        _ service: JSON?, pods: [PodView], slices: [JSON], zones: [String: String], now: Int64
    )
        -> [Change]
    {
        let own = slices.filter { $0.labels[managedBy] == manager && !$0.isBeingDeleted }
        guard let service, !service.isBeingDeleted, let wanted = ServiceEndpoints(service, pods: pods) else {
            guard service == nil || service?.isBeingDeleted == true else { return [] }
            return own.map { .delete(.endpointSlices, Target($0), DeleteOptions(uid: $0.uid)) }
        }
        var groups = Dictionary(
            grouping: wanted.backends.filter { !$0.ports.isEmpty || wanted.isHeadless }, by: \.ports)
        if groups.isEmpty { groups = [[]: []] }
        let family = service["spec", "ipFamilies"]?[0]?.string == "IPv6" ? "IPv6" : "IPv4"
        var changes: [Change] = []
        var used: Set<String> = []
        for (ports, backends) in groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key, by: EndpointPort.before) }
        ) {
            let portTrees = JSON.array(ports.map(\.tree))
            let same = own.filter { samePorts($0["ports"], portTrees) && $0["addressType"]?.string == family }
            used.formUnion(same.map(\.uid))
            let endpoints = backends.map { endpoint($0, wanted, zones) }.sorted { address($0) < address($1) }
            changes += fill(same, endpoints) { existing, list in
                slice(service, existing, family, portTrees, list, wanted.isHeadless, now)
            }
        }
        changes += own.filter { !used.contains($0.uid) }.map {
            .delete(.endpointSlices, Target($0), DeleteOptions(uid: $0.uid))
        }
        return changes
    }

    private static func samePorts(_ old: JSON?, _ new: JSON) -> Bool {
        func canonical(_ list: JSON) -> Set<JSON> {
            Set(
                list.elements.map { port in
                    var port = port.essential
                    if port["name"]?.string == "" { port["name"] = nil }
                    return port
                })
        }
        return canonical(old ?? []) == canonical(new)
    }

    private static func address(_ endpoint: JSON) -> String { endpoint["addresses"]?[0]?.string ?? "" }

    private static func endpoint(
        _ backend: ServiceBackend, _ wanted: ServiceEndpoints, _ zones: [String: String]
    )
        -> JSON
    {
        let pod = backend.pod
        let ready = wanted.publishesNotReady || (pod.isReady && !pod.isBeingDeleted)
        var endpoint: JSON = [
            "addresses": [.string(backend.address)],
            "conditions": [
                "ready": .bool(ready), "serving": .bool(pod.isReady), "terminating": .bool(pod.isBeingDeleted)
            ]
        ]
        if let hostname = backend.hostname(in: wanted.service) { endpoint["hostname"] = .string(hostname) }
        endpoint["targetRef"] = backend.reference
        endpoint["nodeName"] = .string(pod.nodeName)
        if let zone = zones[pod.nodeName] { endpoint["zone"] = .string(zone) }
        return endpoint
    }

    /// Spreads endpoints over the slices there are and those to be made.
    private static func fill(_ slices: [JSON], _ endpoints: [JSON], _ make: (JSON?, [JSON]) -> JSON) -> [Change] {
        var rest = Dictionary(endpoints.map { (identity($0), $0) }, uniquingKeysWith: { $1 })
        var contents = slices.sorted { ($0.createdAt, $0.name) < ($1.createdAt, $1.name) }.map { slice in
            (slice, (slice["endpoints"]?.elements ?? []).compactMap { rest.removeValue(forKey: identity($0)) })
        }
        var queue = endpoints.filter { rest[identity($0)] != nil }[...]
        for i in contents.indices where contents[i].1.count < endpointsMax {
            let more = queue.prefix(endpointsMax - contents[i].1.count)
            contents[i].1 += more
            queue = queue.dropFirst(more.count)
        }
        var changes: [Change] = []
        var isFirst = true
        for (slice, list) in contents {
            if list.isEmpty && !(isFirst && endpoints.isEmpty) {
                changes.append(.delete(.endpointSlices, Target(slice), DeleteOptions(uid: slice.uid)))
                continue
            }
            isFirst = false
            let new = make(slice, list)
            if differs(slice, new) { changes.append(.update(.endpointSlices, new)) }
        }
        while !queue.isEmpty || (contents.isEmpty && isFirst) {
            isFirst = false
            changes.append(.create(.endpointSlices, make(nil, Array(queue.prefix(endpointsMax)))))
            queue = queue.dropFirst(endpointsMax)
        }
        return changes
    }

    private static func identity(_ endpoint: JSON) -> String {
        "\(endpoint["targetRef", "uid"]?.string ?? "") \(address(endpoint))"
    }

    private static func differs(_ old: JSON, _ new: JSON) -> Bool {
        (old["endpoints"] ?? []).essential != (new["endpoints"] ?? []).essential || old.labels != new.labels
    }

    private static func slice(
        _ service: JSON, _ existing: JSON?, _ family: String, _ ports: JSON, _ endpoints: [JSON], _ isHeadless: Bool,
        _ now: Int64
    ) -> JSON {
        var labels = service.labels
        labels[serviceName] = service.name
        labels[managedBy] = manager
        if isHeadless { labels[headless] = "" }
        var slice: JSON =
            existing ?? [
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": [
                    "generateName": .string("\(service.name)-"), "namespace": .string(service.namespace),
                    "ownerReferences": [service.controllerReference(GroupVersionKind("", "v1", "Service"))]
                ],
                "addressType": .string(family)
            ]
        slice["metadata", "labels"] = JSON(labels)
        slice["metadata", "annotations", trigger] = .string(Timestamp.seconds(now))
        slice["endpoints"] = .array(endpoints)
        slice["ports"] = ports
        return slice
    }
}
