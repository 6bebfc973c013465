// What a provider's answers mean for the objects: nodes get addresses, ids and labels, services their ingress. Pure.

import API

/// One write of the cloud controllers.
package enum CloudChange: Sendable, Hashable {
    case patchNode(name: String, status: Bool, JSON)
    case deleteNode(name: String, uid: String)
    case updateService(JSON)
    case updateServiceStatus(JSON)
}

package enum CloudPlan {
    static let uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
    static let shutdown = "node.cloudprovider.kubernetes.io/shutdown"
    /// Kept on a service until its balancer is gone.
    static let finalizer = "service.kubernetes.io/load-balancer-cleanup"

    package static func node(_ node: JSON, _ answer: CloudAnswer) -> [CloudChange] {
        switch answer {
        case .notMine: return []
        case .gone:
            let isReady = node["status", "conditions"]?.elements.contains {
                $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
            }
            return isReady == true ? [] : [.deleteNode(name: node.name, uid: node.uid)]
        case .found(let instance): return [specification(node, instance), addresses(node, instance)].compactMap { $0 }
        }
    }

    private static func specification(_ node: JSON, _ instance: CloudInstance) -> CloudChange? {
        var labels: JSON = [:]
        for (key, value) in [
            ("node.kubernetes.io/instance-type", instance.instanceType), ("topology.kubernetes.io/zone", instance.zone),
            ("topology.kubernetes.io/region", instance.region)
        ] where !value.isEmpty && node.labels[key] != value { labels[key] = .string(value) }
        let old = node["spec", "taints"]?.elements ?? []
        var taints = old.filter {
            $0["key"]?.string != uninitialized && ($0["key"]?.string != shutdown || instance.isShutDown)
        }
        if instance.isShutDown && !taints.contains(where: { $0["key"]?.string == shutdown }) {
            taints.append(["key": .string(shutdown), "effect": "NoSchedule"])
        }
        var patch: JSON = [:]
        if labels.object?.isEmpty == false { patch["metadata", "labels"] = labels }
        if taints != old { patch["spec", "taints"] = taints.isEmpty ? .null : .array(taints) }
        if (node["spec", "providerID"]?.string ?? "").isEmpty && !instance.providerID.isEmpty {
            patch["spec", "providerID"] = .string(instance.providerID)
        }
        guard patch.object?.isEmpty == false else { return nil }
        patch["metadata", "resourceVersion"] = .string(node.resourceVersion)
        return .patchNode(name: node.name, status: false, patch)
    }

    private static func addresses(_ node: JSON, _ instance: CloudInstance) -> CloudChange? {
        let wanted = JSON.array(instance.addresses.map { ["type": .string($0.type), "address": .string($0.address)] })
        guard !instance.addresses.isEmpty, node["status", "addresses"] != wanted else { return nil }
        return .patchNode(name: node.name, status: true, ["status": ["addresses": wanted]])
    }

    /// Whether a service wants a balancer of this provider.
    package static func wantsBalancer(_ service: JSON) -> Bool {
        service["spec", "type"]?.string == "LoadBalancer" && !service.isBeingDeleted
            && (service["spec", "loadBalancerClass"]?.string ?? "").isEmpty
    }

    /// Who has which address: as the services show it, else as it was given and does not show yet. Services that are gone
    /// have none.
    package static func taken(seen: [String: [String]], given: [String: [String]]) -> [String: [String]] {
        seen.reduce(into: [:]) { taken, entry in
            taken[entry.key] = entry.value.isEmpty ? given[entry.key] ?? [] : entry.value
        }
    }

    package static func addresses(of service: JSON) -> [String] {
        (service["status", "loadBalancer", "ingress"]?.elements ?? []).compactMap { $0["ip"]?.string }
    }

    /// Before the balancer is made: the finalizer that keeps the service until it is gone again.
    package static func claim(_ service: JSON) -> CloudChange? {
        guard !service.finalizers.contains(finalizer) else { return nil }
        var claimed = service
        claimed["metadata", "finalizers"] = .array((service.finalizers + [finalizer]).map(JSON.string))
        return .updateService(claimed)
    }

    package static func assign(_ service: JSON, _ addresses: [String]) -> CloudChange? {
        guard Self.addresses(of: service) != addresses else { return nil }
        var assigned = service
        let ingress: [JSON] = addresses.map { ["ip": .string($0), "ipMode": "VIP"] }
        assigned["status", "loadBalancer"] = ingress.isEmpty ? [:] : ["ingress": .array(ingress)]
        return .updateServiceStatus(assigned)
    }

    /// After the balancer is gone.
    package static func release(_ service: JSON) -> CloudChange? {
        guard service.finalizers.contains(finalizer) else { return nil }
        var released = service
        released["metadata", "finalizers"] = .array(service.finalizers.filter { $0 != finalizer }.map(JSON.string))
        return .updateService(released)
    }
}
