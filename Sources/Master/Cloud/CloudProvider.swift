// The border to a cloud: what the cloud controllers ask of a provider. A provider answers and acts; it never touches
// the API server.

import API

/// What a provider knows of a node's machine.
package struct CloudInstance: Sendable, Hashable {
    package var providerID: String
    package var instanceType: String
    package var zone: String
    package var region: String
    /// Type (`InternalIP`, `ExternalIP`, `Hostname`) and value.
    package var addresses: [Address]
    package var isShutDown: Bool

    package struct Address: Sendable, Hashable {
        package var type: String
        package var address: String
        package init(type: String, address: String) {
            self.type = type
            self.address = address
        }
    }

    package init(
        providerID: String, instanceType: String = "", zone: String = "", region: String = "",
        addresses: [Address] = [], isShutDown: Bool = false
    ) {
        self.providerID = providerID
        self.instanceType = instanceType
        self.zone = zone
        self.region = region
        self.addresses = addresses
        self.isShutDown = isShutDown
    }
}

/// Whether a machine exists.
package enum CloudAnswer: Sendable, Hashable {
    case found(CloudInstance)
    case gone
    /// The provider has nothing to say about this node.
    case notMine
}

/// A route of a node's pod range.
package struct CloudRoute: Sendable, Hashable {
    package var node: String
    package var range: String
    package init(node: String, range: String) {
        self.node = node
        self.range = range
    }
}

package struct CloudError: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// A cloud. Every call may be repeated: effects outside the store are not fenced and must be idempotent.
package protocol CloudProvider: Sendable {
    var name: String { get }
    func instance(node: String, providerID: String) async throws(CloudError) -> CloudAnswer
    /// Makes or keeps the balancer of a service; gives its addresses, nil when the provider does no balancing.
    /// `taken`: the addresses of all services, by `namespace/name`.
    func ensureLoadBalancer(
        _ service: JSON, nodes: [String], taken: [String: [String]]
    ) async throws(CloudError)
        -> [String]?
    func deleteLoadBalancer(namespace: String, name: String, uid: String) async throws(CloudError)
    /// false: the provider sets no routes.
    func ensureRoutes(_ routes: [CloudRoute]) async throws(CloudError) -> Bool
}

/// A provider for machines without a cloud: load balancers get addresses from a configured pool, which the network must
/// already lead to the workers. Disabled unless a pool is given.
package struct StaticPoolProvider: CloudProvider {
    package static let addressesMax = 4096
    private let pool: [String]

    package var name: String { "static" }

    /// `pool`: single IPv4 addresses, ranges `a-b` and CIDRs; nil when one of them cannot be read.
    package init?(pool: [String]) {
        var all: [String] = []
        for text in pool {
            guard let addresses = Self.expand(text) else { return nil }
            all += addresses
            if all.count >= Self.addressesMax { break }
        }
        self.pool = Array(all.prefix(Self.addressesMax))
    }

    static func expand(_ text: String) -> [String]? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        if ends.count == 2 {
            guard let first = IPAddress(ends[0])?.v4, let last = IPAddress(ends[1])?.v4, first <= last else {
                return nil
            }
            return
                (first...min(last, first &+ UInt32(addressesMax - 1) < first ? last : first &+ UInt32(addressesMax - 1)))
                .map { IPAddress(v4: $0).description }
        }
        if let range = CIDR(text) {
            return (0..<min(range.size, UInt64(addressesMax))).compactMap { range.address(at: $0)?.description }
        }
        return IPAddress(text).map { [$0.description] }
    }

    /// Every machine is there as long as its node is; one that is another provider's is left alone.
    package func instance(node: String, providerID: String) async throws(CloudError) -> CloudAnswer {
        let own = "static://\(node)"
        return providerID.isEmpty || providerID == own ? .found(CloudInstance(providerID: own)) : .notMine
    }

    package func ensureLoadBalancer(
        _ service: JSON, nodes: [String], taken: [String: [String]]
    )
        async throws(CloudError) -> [String]?
    {
        let key = "\(service.namespace)/\(service.name)"
        return [try Self.choose(service, key, pool, taken)]
    }

    /// The address it has, the one it asks for, or the first free one. Pure.
    static func choose(
        _ service: JSON, _ key: String, _ pool: [String], _ taken: [String: [String]]
    ) throws(CloudError)
        -> String
    {
        let others = Set(taken.filter { $0.key != key }.values.flatMap { $0 })
        let wished = service["spec", "loadBalancerIP"]?.string ?? ""
        if !wished.isEmpty {
            guard pool.contains(wished) else { throw CloudError("address \(wished) is not in the pool") }
            guard !others.contains(wished) else { throw CloudError("address \(wished) is taken") }
            return wished
        }
        if let kept = taken[key]?.first, pool.contains(kept), !others.contains(kept) { return kept }
        guard let free = pool.first(where: { !others.contains($0) }) else {
            throw CloudError("no free address in the pool")
        }
        return free
    }

    package func deleteLoadBalancer(namespace: String, name: String, uid: String) async throws(CloudError) {}

    package func ensureRoutes(_ routes: [CloudRoute]) async throws(CloudError) -> Bool { false }
}
