// The few kernel objects that the overlay needs, each as one function over netlink: idempotent, in the caller's network namespace.
import CLinux
import Glibc

/// An IPv4 network, `10.244.1.0/24`.
package struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    package var bytes: [UInt8]
    package var prefixLength: UInt8

    package init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let bytes = Self.address(String(parts[0])), let length = UInt8(parts[1]), length <= 32
        else { return nil }
        self.bytes = bytes
        prefixLength = length
    }

    /// The four bytes of a dotted address; nil for anything else.
    package static func address(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { UInt8($0) }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    package var addressText: String { bytes.map(String.init).joined(separator: ".") }
    package var description: String { "\(addressText)/\(prefixLength)" }
}

/// A kernel route through a gateway on one device.
struct LinkRoute: Hashable {
    var destination: IPv4Network
    var gateway: [UInt8]
}

struct Links {
    let socket: NetlinkSocket

    init() throws(NetlinkError) { socket = try NetlinkSocket() }

    /// The index of a device; nil when there is none.
    func index(of name: String) -> UInt32? {
        let index = if_nametoindex(name)
        return index == 0 ? nil : index
    }

    /// The device that carries an address, and its MTU.
    func device(carrying address: [UInt8]) throws(NetlinkError) -> (index: UInt32, mtu: UInt32)? {
        var request = NetlinkRequest(type: Int(RTM_GETADDR), flags: Int(NLM_F_DUMP))
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        request.append(structure: header)
        for reply in try socket.dump(request, "list addresses") {
            guard reply.payload.count >= MemoryLayout<ifaddrmsg>.size else { continue }
            let message = reply.payload.withUnsafeBytes { $0.loadUnaligned(as: ifaddrmsg.self) }
            if reply.attributes(after: MemoryLayout<ifaddrmsg>.size)[UInt16(IFA_LOCAL)] == address {
                return (message.ifa_index, try mtu(of: message.ifa_index))
            }
        }
        return nil
    }

    private func mtu(of index: UInt32) throws(NetlinkError) -> UInt32 {
        var request = NetlinkRequest(type: Int(RTM_GETLINK), flags: 0)
        var header = ifinfomsg()
        header.ifi_index = Int32(index)
        request.append(structure: header)
        let size = MemoryLayout<ifinfomsg>.size
        for reply in try socket.dump(request, "read link \(index)") {
            if let bytes = reply.attributes(after: size)[UInt16(IFLA_MTU)], bytes.count == 4 {
                return bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
            }
        }
        return 1500
    }

    func addVXLAN(
        _ name: String, id: UInt32, device: UInt32, local: [UInt8], port: UInt16, mac: [UInt8], mtu: UInt32
    ) throws(NetlinkError) {
        var request = NetlinkRequest(type: Int(RTM_NEWLINK), flags: Int(NLM_F_CREATE) | Int(NLM_F_EXCL))
        request.append(structure: ifinfomsg())
        request.attribute(Int(IFLA_IFNAME), text: name)
        request.attribute(Int(IFLA_ADDRESS), mac)
        request.attribute(Int(IFLA_MTU), mtu)
        request.nest(Int(IFLA_LINKINFO)) { info in
            info.attribute(Int(IFLA_INFO_KIND), text: "vxlan")
            info.nest(Int(IFLA_INFO_DATA)) { data in
                data.attribute(Int(IFLA_VXLAN_ID), id)
                data.attribute(Int(IFLA_VXLAN_LINK), device)
                data.attribute(Int(IFLA_VXLAN_LOCAL), local)
                data.attribute(Int(IFLA_VXLAN_PORT), [UInt8(port >> 8), UInt8(port & 0xff)])
                data.attribute(Int(IFLA_VXLAN_LEARNING), UInt8(0))
            }
        }
        try socket.execute(request, "add vxlan \(name)", ignoring: [EEXIST])
    }

    func setUp(_ index: UInt32) throws(NetlinkError) {
        var request = NetlinkRequest(type: Int(RTM_NEWLINK), flags: 0)
        var header = ifinfomsg()
        header.ifi_index = Int32(index)
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        request.append(structure: header)
        try socket.execute(request, "set link \(index) up")
    }

    func delete(link index: UInt32) throws(NetlinkError) {
        var request = NetlinkRequest(type: Int(RTM_DELLINK), flags: 0)
        var header = ifinfomsg()
        header.ifi_index = Int32(index)
        request.append(structure: header)
        try socket.execute(request, "delete link \(index)", ignoring: [ENODEV])
    }

    func addAddress(_ address: [UInt8], prefixLength: UInt8, to index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.address(Int(RTM_NEWADDR), flags: Int(NLM_F_CREATE) | Int(NLM_F_REPLACE), address, prefixLength, index),
            "add address",
            ignoring: [EEXIST])
    }

    func removeAddress(_ address: [UInt8], prefixLength: UInt8, from index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.address(Int(RTM_DELADDR), flags: 0, address, prefixLength, index), "remove address",
            ignoring: [EADDRNOTAVAIL])
    }

    private static func address(
        _ type: Int, flags: Int, _ address: [UInt8], _ prefixLength: UInt8, _ index: UInt32
    ) -> NetlinkRequest {
        var request = NetlinkRequest(type: type, flags: flags)
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        header.ifa_prefixlen = prefixLength
        header.ifa_index = index
        request.append(structure: header)
        request.attribute(Int(IFA_LOCAL), address)
        request.attribute(Int(IFA_ADDRESS), address)
        return request
    }

    /// A permanent neighbour (ARP) entry.
    func setNeighbour(_ address: [UInt8], mac: [UInt8], on index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.neighbour(
                Int(RTM_NEWNEIGH), flags: Int(NLM_F_CREATE) | Int(NLM_F_REPLACE), family: AF_INET, index: index,
                address: address, mac: mac),
            "set neighbour")
    }

    /// A forwarding entry of a VXLAN device: the MAC is behind the host `destination`.
    func setForwarding(mac: [UInt8], to destination: [UInt8], on index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.neighbour(
                Int(RTM_NEWNEIGH), flags: Int(NLM_F_CREATE) | Int(NLM_F_REPLACE), family: AF_BRIDGE, index: index,
                address: destination, mac: mac),
            "set forwarding entry")
    }

    func removeNeighbour(_ address: [UInt8], mac: [UInt8], on index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.neighbour(Int(RTM_DELNEIGH), flags: 0, family: AF_INET, index: index, address: address, mac: mac),
            "remove neighbour", ignoring: [ENOENT])
    }

    func removeForwarding(mac: [UInt8], to destination: [UInt8], on index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.neighbour(
                Int(RTM_DELNEIGH), flags: 0, family: AF_BRIDGE, index: index, address: destination, mac: mac),
            "remove forwarding entry",
            ignoring: [ENOENT])
    }

    private static func neighbour(
        _ type: Int, flags: Int, family: Int32, index: UInt32, address: [UInt8], mac: [UInt8]
    ) -> NetlinkRequest {
        var request = NetlinkRequest(type: type, flags: flags)
        var header = ndmsg()
        header.ndm_family = UInt8(family)
        header.ndm_ifindex = Int32(index)
        header.ndm_state = UInt16(NUD_PERMANENT)
        header.ndm_flags = family == AF_BRIDGE ? UInt8(NTF_SELF) : 0
        request.append(structure: header)
        request.attribute(Int(NDA_DST), address)
        request.attribute(Int(NDA_LLADDR), mac)
        return request
    }

    func setRoute(_ route: LinkRoute, on index: UInt32, onlink: Bool) throws(NetlinkError) {
        try socket.execute(
            Self.route(Int(RTM_NEWROUTE), flags: Int(NLM_F_CREATE) | Int(NLM_F_REPLACE), route, index, onlink: onlink),
            "set route \(route.destination)")
    }

    func removeRoute(_ route: LinkRoute, on index: UInt32) throws(NetlinkError) {
        try socket.execute(
            Self.route(Int(RTM_DELROUTE), flags: 0, route, index, onlink: false), "remove route \(route.destination)",
            ignoring: [ESRCH])
    }

    private static func route(
        _ type: Int, flags: Int, _ route: LinkRoute, _ index: UInt32, onlink: Bool
    ) -> NetlinkRequest {
        var request = NetlinkRequest(type: type, flags: flags)
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        header.rtm_dst_len = route.destination.prefixLength
        header.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
        header.rtm_protocol = UInt8(RTPROT_STATIC)
        header.rtm_scope = UInt8(RT_SCOPE_UNIVERSE.rawValue)
        header.rtm_type = UInt8(RTN_UNICAST)
        header.rtm_flags = onlink ? UInt32(RTNH_F_ONLINK) : 0
        request.append(structure: header)
        request.attribute(Int(RTA_DST.rawValue), route.destination.bytes)
        request.attribute(Int(RTA_GATEWAY.rawValue), route.gateway)
        request.attribute(Int(RTA_OIF.rawValue), index)
        return request
    }

    /// The routes over one device that this program set.
    func routes(on index: UInt32) throws(NetlinkError) -> [LinkRoute] {
        var request = NetlinkRequest(type: Int(RTM_GETROUTE), flags: Int(NLM_F_DUMP))
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        request.append(structure: header)
        return try socket.dump(request, "list routes").compactMap { reply in
            let size = MemoryLayout<rtmsg>.size
            guard reply.payload.count >= size else { return nil }
            let message = reply.payload.withUnsafeBytes { $0.loadUnaligned(as: rtmsg.self) }
            let attributes = reply.attributes(after: size)
            guard message.rtm_protocol == UInt8(RTPROT_STATIC),
                attributes[UInt16(RTA_OIF.rawValue)] == withUnsafeBytes(of: index, { Array($0) }),
                let destination = attributes[UInt16(RTA_DST.rawValue)], destination.count == 4,
                let gateway = attributes[UInt16(RTA_GATEWAY.rawValue)], gateway.count == 4,
                var network = IPv4Network("0.0.0.0/\(message.rtm_dst_len)")
            else { return nil }
            network.bytes = destination
            return LinkRoute(destination: network, gateway: gateway)
        }
    }
}
