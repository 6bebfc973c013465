// What the proxy knows: services and their endpoints in a compact form, read from Service and EndpointSlice trees. Pure values.
import API

/// A protocol that can be forwarded.
package enum TransportProtocol: String, Hashable, Comparable, Sendable {
    case tcp, udp, sctp
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    init?(kubernetes name: String) { self.init(rawValue: name.lowercased()) }
}

/// One port of a service, ready to be turned into rules.
package struct ServicePort: Hashable, Sendable {
    package var namespace: String
    package var service: String
    package var portName: String
    package var proto: TransportProtocol
    package var port: UInt16
    package var nodePort: UInt16
    /// Cluster IPs, external IPs and load-balancer IPs.
    package var clusterAddresses: [String]
    package var externalAddresses: [String]
    package var keepsExternalLocal: Bool
    package var keepsInternalLocal: Bool
    /// Seconds of ClientIP affinity; 0 = none.
    package var affinitySeconds: UInt32

    package var id: String { "\(namespace)/\(service)/\(portName)/\(proto.rawValue)" }
}

/// One address and port behind a service port.
package struct ProxyEndpoint: Hashable, Comparable, Sendable {
    package var address: String
    package var port: UInt16
    package var isReady: Bool
    package var isServing: Bool
    package var isTerminating: Bool
    package var isLocal: Bool

    package init(address: String, port: UInt16, isReady: Bool, isServing: Bool, isTerminating: Bool, isLocal: Bool) {
        self.address = address
        self.port = port
        self.isReady = isReady
        self.isServing = isServing
        self.isTerminating = isTerminating
        self.isLocal = isLocal
    }

    package static func < (left: Self, right: Self) -> Bool { (left.address, left.port) < (right.address, right.port) }
}

/// Everything, keyed for incremental change.
package struct ServiceState: Sendable {
    private let node: String
    /// Service addresses that the node answers itself; they get no rules.
    private let localAddresses: Set<String>
    private var services: [String: [ServicePort]] = [:]
    private var slices: [String: [String: [String: [ProxyEndpoint]]]] = [:]

    package init(node: String, localAddresses: Set<String> = []) {
        self.node = node
        self.localAddresses = localAddresses
    }

    package mutating func set(service: JSON) {
        services["\(service.namespace)/\(service.name)"] = Self.ports(of: service, without: localAddresses)
    }

    package mutating func remove(service: JSON) { services["\(service.namespace)/\(service.name)"] = nil }

    package mutating func set(slice: JSON) {
        guard let service = slice.labels["kubernetes.io/service-name"], slice["addressType"]?.string == "IPv4" else {
            return
        }
        slices["\(slice.namespace)/\(service)", default: [:]][slice.name] = endpoints(of: slice)
    }

    package mutating func remove(slice: JSON) {
        guard let service = slice.labels["kubernetes.io/service-name"] else { return }
        slices["\(slice.namespace)/\(service)"]?[slice.name] = nil
    }

    /// Every service port with the endpoints that take its traffic.
    package var bindings: [(port: ServicePort, endpoints: [ProxyEndpoint])] {
        services.sorted { $0.key < $1.key }.flatMap { key, ports in
            ports.map { port in (port, endpoints(key, "\(port.portName)/\(port.proto.rawValue)")) }
        }
    }

    private func endpoints(_ service: String, _ port: String) -> [ProxyEndpoint] {
        let all = (slices[service] ?? [:]).sorted { $0.key < $1.key }.flatMap { $0.value[port] ?? [] }
        var seen: Set<String> = []
        return all.sorted().filter { seen.insert("\($0.address):\($0.port)").inserted }
    }

    /// Ready ones; when there is none, those that still serve while they terminate (KEP-1669).
    package static func usable(_ endpoints: [ProxyEndpoint], localOnly: Bool) -> [ProxyEndpoint] {
        let reachable = localOnly ? endpoints.filter(\.isLocal) : endpoints
        let ready = reachable.filter(\.isReady)
        return ready.isEmpty ? reachable.filter { $0.isServing && $0.isTerminating } : ready
    }

    private static func ports(of service: JSON, without local: Set<String>) -> [ServicePort] {
        guard let spec = service["spec"], spec["type"]?.string != "ExternalName" else { return [] }
        let clusterIPs = spec["clusterIPs"]?.elements.compactMap(\.string) ?? [spec["clusterIP"]?.string ?? ""]
        let cluster = clusterIPs.filter { isIPv4($0) && !local.contains($0) }
        guard clusterIPs.contains(where: isIPv4), !cluster.isEmpty else { return [] }
        let balancer = (service["status", "loadBalancer", "ingress"]?.elements ?? []).compactMap { $0["ip"]?.string }
        let external = ((spec["externalIPs"]?.elements ?? []).compactMap(\.string) + balancer).filter(isIPv4)
        let affinity =
            spec["sessionAffinity"]?.string == "ClientIP"
            ? spec["sessionAffinityConfig", "clientIP", "timeoutSeconds"]?.int ?? 10800 : 0
        return (spec["ports"]?.elements ?? []).compactMap { port in
            guard let proto = TransportProtocol(kubernetes: port["protocol"]?.string ?? "TCP") else { return nil }
            return ServicePort(
                namespace: service.namespace, service: service.name, portName: port["name"]?.string ?? "", proto: proto,
                port: UInt16(clamping: port["port"]?.int ?? 0), nodePort: UInt16(clamping: port["nodePort"]?.int ?? 0),
                clusterAddresses: cluster,
                externalAddresses: external, keepsExternalLocal: spec["externalTrafficPolicy"]?.string == "Local",
                keepsInternalLocal: spec["internalTrafficPolicy"]?.string == "Local",
                affinitySeconds: UInt32(clamping: affinity))
        }
    }

    /// By "portName/protocol".
    private func endpoints(of slice: JSON) -> [String: [ProxyEndpoint]] {
        var found: [String: [ProxyEndpoint]] = [:]
        for port in slice["ports"]?.elements ?? [] {
            guard let number = port["port"]?.int,
                let proto = TransportProtocol(kubernetes: port["protocol"]?.string ?? "TCP")
            else { continue }
            let key = "\(port["name"]?.string ?? "")/\(proto.rawValue)"
            for endpoint in slice["endpoints"]?.elements ?? [] {
                let ready = endpoint["conditions", "ready"]?.bool ?? true
                for address in endpoint["addresses"]?.elements.compactMap(\.string).prefix(1) ?? []
                where Self.isIPv4(address) {
                    found[key, default: []].append(
                        ProxyEndpoint(
                            address: address, port: UInt16(clamping: number), isReady: ready,
                            isServing: endpoint["conditions", "serving"]?.bool ?? ready,
                            isTerminating: endpoint["conditions", "terminating"]?.bool ?? false,
                            isLocal: endpoint["nodeName"]?.string == node))
                }
            }
        }
        return found
    }

    /// Addresses go into rules as text: nothing but digits and dots may pass.
    static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { $0.allSatisfy(\.isNumber) && UInt8($0) != nil }
    }
}
