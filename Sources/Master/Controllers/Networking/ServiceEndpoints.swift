// Which pods stand behind a service, and at which of their ports. Endpoints and EndpointSlices are both written from
// this.

import API

/// A port of an endpoint.
struct EndpointPort: Sendable, Hashable {
    var name: String
    var number: Int64
    var transport: String
    var appProtocol: String

    static func before(_ left: EndpointPort, _ right: EndpointPort) -> Bool {
        (left.name, left.number, left.transport) < (right.name, right.number, right.transport)
    }

    var tree: JSON {
        var tree: JSON = ["port": .int(number), "protocol": .string(transport)]
        tree["name"] = .string(name)
        if !appProtocol.isEmpty { tree["appProtocol"] = .string(appProtocol) }
        return tree
    }
}

/// A pod behind a service.
struct ServiceBackend: Sendable {
    var pod: PodView
    var address: String
    var ports: [EndpointPort]
}

/// A service and the pods that its selector finds.
struct ServiceEndpoints: Sendable {
    let service: JSON
    let publishesNotReady: Bool
    let isHeadless: Bool
    let backends: [ServiceBackend]

    /// nil for services without a selector: others write their endpoints.
    init?(_ service: JSON, pods: [PodView]) {
        let selector = service["spec", "selector"]?.stringMap ?? [:]
        guard !selector.isEmpty, service["spec", "type"]?.string != "ExternalName" else { return nil }
        self.service = service
        publishesNotReady = service["spec", "publishNotReadyAddresses"]?.bool ?? false
        isHeadless = service["spec", "clusterIP"]?.string == "None"
        let isV6 = service["spec", "ipFamilies"]?[0]?.string == "IPv6"
        let ports = service["spec", "ports"]?.elements ?? []
        backends = pods.compactMap { pod in
            guard selector.allSatisfy({ pod.labels[$0.key] == $0.value }), !pod.isFinished, !pod.nodeName.isEmpty,
                let address = pod.addresses.first(where: { $0.contains(":") == isV6 })
            else { return nil }
            return ServiceBackend(
                pod: pod, address: address,
                ports: ports.compactMap { Self.resolve($0, pod) }.sorted(by: EndpointPort.before))
        }
    }

    /// A target port by number, by the name of a container's port, or the service's own.
    private static func resolve(_ port: JSON, _ pod: PodView) -> EndpointPort? {
        let transport = port["protocol"]?.string ?? "TCP"
        let target = port["targetPort"]
        var number = target?.int ?? (target?.string).flatMap { Int64($0) }
        if number == nil, let name = target?.string {
            guard let found = pod.ports.first(where: { $0.name == name && $0.transport == transport }) else {
                return nil
            }
            number = found.number
        }
        return EndpointPort(
            name: port["name"]?.string ?? "", number: number ?? port.number("port"), transport: transport,
            appProtocol: port["appProtocol"]?.string ?? "")
    }
}

extension ServiceBackend {
    var reference: JSON {
        ["kind": "Pod", "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid)]
    }

    /// The name by which DNS knows the pod, when it belongs to this service's subdomain.
    func hostname(in service: JSON) -> String? {
        !pod.hostname.isEmpty && pod.subdomain == service.name ? pod.hostname : nil
    }
}
