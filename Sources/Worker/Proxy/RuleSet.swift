// Service state as an nftables rule set: chains by name with their rules, and elements of maps and sets. A value; two of them make a
// script that turns one into the other, so that a change of one service touches only its own chains and elements.

package struct RuleSet: Hashable, Sendable {
    package static let table = "tern-proxy"
    /// The bit of the packet mark that asks for masquerading; kube-proxy's.
    static let masqueradeMark = "0x4000"

    /// Rules of chains that belong to services and endpoints.
    package private(set) var chains: [String: [String]] = [:]
    /// `address . protocol . port` → verdict.
    package private(set) var serviceElements: [String: String] = [:]
    /// `protocol . port` → verdict.
    package private(set) var nodePortElements: [String: String] = [:]
    /// `address . protocol . port` of service ports that nobody stands behind.
    package private(set) var emptyElements: Set<String> = []
    package private(set) var emptyNodePorts: Set<String> = []
    /// Affinity sets by name: their timeouts in seconds.
    package private(set) var affinitySets: [String: UInt32] = [:]

    package init() {}

    package init(_ state: ServiceState, podNetwork: String) {
        for (port, endpoints) in state.bindings { add(port, endpoints, podNetwork) }
    }

    private mutating func add(_ port: ServicePort, _ endpoints: [ProxyEndpoint], _ podNetwork: String) {
        let internalEndpoints = ServiceState.usable(endpoints, localOnly: port.keepsInternalLocal)
        let externalEndpoints = ServiceState.usable(endpoints, localOnly: port.keepsExternalLocal)
        let keys = port.clusterAddresses.map { "\($0) . \(port.proto.rawValue) . \(port.port)" }
        let externalKeys = port.externalAddresses.map { "\($0) . \(port.proto.rawValue) . \(port.port)" }
        let name = "\(port.proto.rawValue)-\(Self.digest(port.id))"
        if internalEndpoints.isEmpty {
            emptyElements.formUnion(keys)
        } else {
            let chain = "svc-\(name)"
            let fromOutside = "ip saddr != \(podNetwork) jump mark-masquerade"
            chains[chain] = [fromOutside] + spread(port, internalEndpoints, affinity: "aff-\(name)")
            for key in keys { serviceElements[key] = "goto \(chain)" }
        }
        guard port.nodePort != 0 || !externalKeys.isEmpty else { return }
        let nodeKey = "\(port.proto.rawValue) . \(port.nodePort)"
        if externalEndpoints.isEmpty {
            emptyElements.formUnion(externalKeys)
            if port.nodePort != 0 { emptyNodePorts.insert(nodeKey) }
            return
        }
        let chain = "ext-\(name)"
        let mark = port.keepsExternalLocal ? "ip saddr \(podNetwork) jump mark-masquerade" : "jump mark-masquerade"
        chains[chain] = [mark] + spread(port, externalEndpoints, affinity: "afe-\(name)")
        for key in externalKeys { serviceElements[key] = "goto \(chain)" }
        if port.nodePort != 0 { nodePortElements[nodeKey] = "goto \(chain)" }
    }

    /// Rules that send each new connection to one of the endpoints at random, or to the one the client had before.
    private mutating func spread(_ port: ServicePort, _ endpoints: [ProxyEndpoint], affinity: String) -> [String] {
        var targets: [String] = []
        var rules: [String] = []
        for endpoint in endpoints {
            let id = Self.digest("\(endpoint.address):\(endpoint.port)/\(port.proto.rawValue)")
            let translate = "meta l4proto \(port.proto.rawValue) dnat to \(endpoint.address):\(endpoint.port)"
            let hairpin = "ip saddr \(endpoint.address) jump mark-masquerade"
            if port.affinitySeconds == 0 {
                let chain = "ep-\(id)"
                chains[chain] = [hairpin, translate]
                targets.append(chain)
            } else {
                let set = "\(affinity)-\(id)"
                let chain = "\(affinity)-ep-\(id)"
                affinitySets[set] = port.affinitySeconds
                chains[chain] = [hairpin, "update @\(set) { ip saddr timeout \(port.affinitySeconds)s }", translate]
                rules.append("ip saddr @\(set) goto \(chain)")
                targets.append(chain)
            }
        }
        if targets.count == 1 { return rules + ["goto \(targets[0])"] }
        let map = targets.enumerated().map { "\($0.offset) : goto \($0.element)" }.joined(separator: ", ")
        return rules + ["numgen random mod \(targets.count) vmap { \(map) }"]
    }

    /// 64 bits of FNV-1a in hexadecimal: chain names are bounded, ids of services are not.
    static func digest(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
