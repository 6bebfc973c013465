// The overlay between nodes: which peers there are (pure), and the kernel made to agree (VXLAN device, neighbours, forwarding, routes).
// Flannel-like: a /24 a node; the tunnel endpoint's MAC follows from the pod network, so that nothing needs to be exchanged.
// It touches only its own device and the routes over it.
import API
import CLinux
import Glibc
import Logging

/// A node as the overlay sees it.
package struct OverlayPeer: Hashable, Sendable {
    package var node: String
    package var podNetwork: IPv4Network
    package var address: [UInt8]

    /// Nil while the node has no pod network or no address.
    package init?(_ node: JSON) {
        guard let cidr = node["spec", "podCIDR"]?.string, let network = IPv4Network(cidr) else { return nil }
        let addresses = node["status", "addresses"]?.elements ?? []
        guard let text = addresses.first(where: { $0["type"]?.string == "InternalIP" })?["address"]?.string,
            let address = IPv4Network.address(text)
        else { return nil }
        self.node = node.name
        podNetwork = network
        self.address = address
    }

    package init(node: String, podNetwork: IPv4Network, address: [UInt8]) {
        self.node = node
        self.podNetwork = podNetwork
        self.address = address
    }

    /// Locally administered, unique by pod network.
    package var mac: [UInt8] { [0x02, 0x74] + podNetwork.bytes }
}

/// What has to change so that the kernel knows exactly `desired`.
package struct OverlayChange: Hashable, Sendable {
    package var remove: [OverlayPeer]
    package var add: [OverlayPeer]

    package init(remove: [OverlayPeer], add: [OverlayPeer]) {
        self.remove = remove
        self.add = add
    }

    /// Peers that share a pod network with an earlier one (by name) are left out: routing to either would be a guess.
    package static func plan(current: Set<OverlayPeer>, desired: [OverlayPeer], except me: String) -> OverlayChange {
        var networks: Set<IPv4Network> = []
        let wanted = Set(
            desired.sorted { $0.node < $1.node }.filter { $0.node != me && networks.insert($0.podNetwork).inserted })
        return OverlayChange(
            remove: current.subtracting(wanted).sorted { $0.node < $1.node },
            add: wanted.subtracting(current).sorted { $0.node < $1.node })
    }
}

/// How packets travel between nodes.
package enum OverlayBackend: String, Sendable { case vxlan, hostGateway = "host-gw" }

/// The kernel side. Owned by one task; not thread-safe.
package final class Overlay {
    package static let device = "tern.1"
    package static let vxlanID: UInt32 = 1
    package static let vxlanPort: UInt16 = 8472
    static let vxlanOverheadBytes: UInt32 = 50

    private let links: Links
    private let me: OverlayPeer
    private let backend: OverlayBackend
    private let index: UInt32
    private var current: Set<OverlayPeer> = []
    /// What pods' interfaces should use.
    package let mtu: UInt32

    /// Makes the device for this node; routes of an earlier run that nobody wants any more go with the first `reconcile`.
    package init(me: OverlayPeer, backend: OverlayBackend) throws(NetlinkError) {
        self.me = me
        self.backend = backend
        links = try Links()
        guard let uplink = try links.device(carrying: me.address) else {
            throw NetlinkError(
                request:
                    "find the device with the node's address \(me.address.map(String.init).joined(separator: "."))",
                errno: ENODEV)
        }
        switch backend {
        case .hostGateway:
            index = uplink.index
            mtu = uplink.mtu
        case .vxlan:
            mtu = uplink.mtu - Self.vxlanOverheadBytes
            try links.addVXLAN(
                Self.device, id: Self.vxlanID, device: uplink.index, local: me.address, port: Self.vxlanPort,
                mac: me.mac, mtu: mtu)
            guard let made = links.index(of: Self.device) else {
                throw NetlinkError(request: "find \(Self.device)", errno: ENODEV)
            }
            index = made
            try links.addAddress(me.podNetwork.bytes, prefixLength: 32, to: index)
            try links.setUp(index)
            for route in try links.routes(on: index) { try links.removeRoute(route, on: index) }
        }
    }

    /// Makes the kernel know exactly these nodes.
    package func reconcile(_ nodes: [OverlayPeer]) throws(NetlinkError) {
        let change = OverlayChange.plan(current: current, desired: nodes, except: me.node)
        for peer in change.remove {
            try remove(peer)
            current.remove(peer)
        }
        for peer in change.add {
            try add(peer)
            current.insert(peer)
        }
    }

    private func add(_ peer: OverlayPeer) throws(NetlinkError) {
        switch backend {
        case .hostGateway:
            try links.setRoute(LinkRoute(destination: peer.podNetwork, gateway: peer.address), on: index, onlink: false)
        case .vxlan:
            try links.setForwarding(mac: peer.mac, to: peer.address, on: index)
            try links.setNeighbour(peer.podNetwork.bytes, mac: peer.mac, on: index)
            try links.setRoute(
                LinkRoute(destination: peer.podNetwork, gateway: peer.podNetwork.bytes), on: index, onlink: true)
        }
    }

    private func remove(_ peer: OverlayPeer) throws(NetlinkError) {
        switch backend {
        case .hostGateway:
            try links.removeRoute(LinkRoute(destination: peer.podNetwork, gateway: peer.address), on: index)
        case .vxlan:
            try links.removeRoute(LinkRoute(destination: peer.podNetwork, gateway: peer.podNetwork.bytes), on: index)
            try links.removeNeighbour(peer.podNetwork.bytes, mac: peer.mac, on: index)
            try links.removeForwarding(mac: peer.mac, to: peer.address, on: index)
        }
    }
}

/// Puts service addresses that the node itself answers (the API's, the DNS server's) on the loopback device.
package enum LocalAddresses {
    package static func add(_ addresses: [String]) throws(NetlinkError) {
        let links = try Links()
        guard let loopback = links.index(of: "lo") else { throw NetlinkError(request: "find lo", errno: ENODEV) }
        for address in addresses.compactMap(IPv4Network.address) {
            try links.addAddress(address, prefixLength: 32, to: loopback)
        }
    }

    package static func remove(_ addresses: [String]) throws(NetlinkError) {
        let links = try Links()
        guard let loopback = links.index(of: "lo") else { return }
        for address in addresses.compactMap(IPv4Network.address) {
            try links.removeAddress(address, prefixLength: 32, from: loopback)
        }
    }
}

/// The CNI configuration that the container runtime reads: point-to-point links, so that every packet of a pod passes the node's
/// own routing and service rules.
package enum CNIConfiguration {
    package static let fileName = "10-tern.conflist"

    package static func text(podNetwork: IPv4Network, mtu: UInt32, dataDirectory: String) -> String {
        """
        {
          "cniVersion": "0.4.0",
          "name": "tern",
          "plugins": [
            {
              "type": "ptp",
              "mtu": \(mtu),
              "ipMasq": false,
              "ipam": {
                "type": "host-local",
                "dataDir": "\(dataDirectory)",
                "ranges": [[{"subnet": "\(podNetwork)"}]],
                "routes": [{"dst": "0.0.0.0/0"}]
              }
            }
          ]
        }

        """
    }
}
