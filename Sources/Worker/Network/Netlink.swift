// Route netlink in small: builds requests (links, addresses, neighbours, forwarding entries, routes), sends them, reads the answers.
// The socket is synchronous and belongs to its caller. Replies are checked for length; an error code becomes a thrown error.
import CLinux
import Glibc

/// What the kernel refused, and which request it was.
package struct NetlinkError: Error, Sendable, Hashable, CustomStringConvertible {
    package var request: String
    package var errno: Int32
    package var description: String { "\(request): \(String(cString: strerror(errno)))" }
}

/// The bytes of one netlink request, with attributes appended.
struct NetlinkRequest {
    var type: UInt16
    var flags: UInt16
    private(set) var payload: [UInt8] = []

    init(type: Int, flags: Int) {
        self.type = UInt16(type)
        self.flags = UInt16(flags) | UInt16(NLM_F_REQUEST) | UInt16(NLM_F_ACK)
    }

    mutating func append<T>(structure: T) { withUnsafeBytes(of: structure) { payload += $0 } }

    mutating func attribute(_ type: Int, _ bytes: [UInt8]) {
        let length = UInt16(4 + bytes.count)
        withUnsafeBytes(of: length) { payload += $0 }
        withUnsafeBytes(of: UInt16(type)) { payload += $0 }
        payload += bytes
        payload += [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }

    mutating func attribute(_ type: Int, _ value: UInt32) { attribute(type, withUnsafeBytes(of: value) { Array($0) }) }
    mutating func attribute(_ type: Int, _ value: UInt8) { attribute(type, [value]) }
    mutating func attribute(_ type: Int, text: String) { attribute(type, Array(text.utf8) + [0]) }

    mutating func nest(_ type: Int, _ body: (inout NetlinkRequest) -> Void) {
        var inner = NetlinkRequest(type: 0, flags: 0)
        body(&inner)
        attribute(type, inner.payload)
    }

    func message(sequence: UInt32) -> [UInt8] {
        var header = nlmsghdr()
        header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + payload.count)
        header.nlmsg_type = type
        header.nlmsg_flags = flags
        header.nlmsg_seq = sequence
        return withUnsafeBytes(of: header) { Array($0) } + payload
    }
}

/// One received message.
struct NetlinkReply {
    var type: UInt16
    var payload: [UInt8]

    /// The attributes that follow a fixed structure of `offset` bytes.
    func attributes(after offset: Int) -> [UInt16: [UInt8]] {
        var found: [UInt16: [UInt8]] = [:]
        var at = offset
        while at + 4 <= payload.count {
            let length = Int(payload[at]) | Int(payload[at + 1]) << 8
            let type = (UInt16(payload[at + 2]) | UInt16(payload[at + 3]) << 8) & 0x3fff
            guard length >= 4, at + length <= payload.count else { break }
            found[type] = Array(payload[at + 4..<at + length])
            at += (length + 3) & ~3
        }
        return found
    }
}

final class NetlinkSocket {
    private let descriptor: Int32
    private var sequence: UInt32 = 0

    init() throws(NetlinkError) {
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(NETLINK_ROUTE))
        guard descriptor >= 0 else { throw NetlinkError(request: "netlink socket", errno: errno) }
        var timeout = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Sends a request and waits for its acknowledgement. Error codes in `ignoring` count as success.
    func execute(_ request: NetlinkRequest, _ what: String, ignoring: [Int32] = []) throws(NetlinkError) {
        _ = try exchange(request, what, ignoring: ignoring)
    }

    /// Sends a dump request and returns what came.
    func dump(_ request: NetlinkRequest, _ what: String) throws(NetlinkError) -> [NetlinkReply] {
        try exchange(request, what, ignoring: [])
    }

    private func exchange(
        _ request: NetlinkRequest, _ what: String, ignoring: [Int32]
    ) throws(NetlinkError) -> [NetlinkReply] {
        sequence &+= 1
        let bytes = request.message(sequence: sequence)
        guard send(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw NetlinkError(request: what, errno: errno)
        }
        var replies: [NetlinkReply] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw NetlinkError(request: what, errno: count == 0 ? EIO : errno) }
            if try consume(Array(buffer[..<count]), into: &replies, what, ignoring) { return replies }
        }
    }

    /// True when the answer is complete.
    private func consume(
        _ bytes: [UInt8], into replies: inout [NetlinkReply], _ what: String, _ ignoring: [Int32]
    ) throws(NetlinkError) -> Bool {
        var at = 0
        let headerBytes = MemoryLayout<nlmsghdr>.size
        while at + headerBytes <= bytes.count {
            let header = bytes[at...].withUnsafeBytes { $0.loadUnaligned(as: nlmsghdr.self) }
            let length = Int(header.nlmsg_len)
            guard length >= headerBytes, at + length <= bytes.count else {
                throw NetlinkError(request: what, errno: EBADMSG)
            }
            let payload = Array(bytes[at + headerBytes..<at + length])
            at += (length + 3) & ~3
            guard header.nlmsg_seq == sequence else { continue }
            if header.nlmsg_type == UInt16(NLMSG_DONE) { return true }
            if header.nlmsg_type == UInt16(NLMSG_ERROR) {
                guard payload.count >= 4 else { throw NetlinkError(request: what, errno: EBADMSG) }
                let code = -payload.withUnsafeBytes { $0.loadUnaligned(as: Int32.self) }
                guard code == 0 || ignoring.contains(code) else { throw NetlinkError(request: what, errno: code) }
                return true
            }
            replies.append(NetlinkReply(type: header.nlmsg_type, payload: payload))
        }
        return false
    }
}
