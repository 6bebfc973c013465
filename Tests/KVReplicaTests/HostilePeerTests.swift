// What a stranger on the peer port can do: garbage, frames without end, the name of another cluster, silence, the messages of
// yesterday. Each is refused, and the cluster goes on under the same leader in the same term.
import Glibc
import KVCore
import KVReplica
import Raft
import Testing

/// A plain connection to a peer port.
private final class Stranger {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let descriptor = descriptor
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw TestFailure("cannot connect: errno \(errno)") }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func say(_ bytes: [UInt8]) { send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    func frame(_ bytes: [UInt8]) {
        let count = UInt32(truncatingIfNeeded: bytes.count)
        say([UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + bytes)
    }

    func hello(cluster: UInt64 = 7, from: UInt64, to: UInt64) {
        var writer = ByteWriter()
        for word in [0x7465_726e_6b76_0001, 1, cluster, from, to] { writer.put(fixed: word) }
        frame(writer.bytes)
    }

    /// Whether the other side has ended the connection; waits for it.
    var isEnded: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }
}

@Suite(.serialized) struct HostilePeerTests {
    /// A cluster whose every peer is visited; afterwards it must lead and write as before.
    private func undisturbed(_ visit: (Cluster, _ peer: UInt64, _ port: Int) throws -> Void) async throws {
        let cluster = Cluster(3, isSteady: true) { $0.helloMilliseconds = 60_000 }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        _ = try await leader.propose(put("a", "before"))
        let term = leader.status.term
        // All of them hear it, and are loyal to it.
        for replica in cluster.replicas { try await replica.barrier() }
        for address in cluster.addresses { try visit(cluster, address.id.rawValue, address.port) }
        _ = try await leader.propose(put("a", "after"))
        #expect(leader.status.role == .leader)
        for replica in cluster.replicas {
            try await replica.barrier()
            #expect(replica.status.term == term)
            #expect(replica.view().get(Key("a"))?.value == Array("after".utf8))
        }
        await cluster.end()
    }

    @Test func `garbage ends the connection`() async throws {
        var random = SystemRandomNumberGenerator()
        try await undisturbed { _, _, port in
            for length in [4, 20, 44, 200, 70_000] {
                let stranger = try Stranger(port: port)
                // At least the length of a hello, so that there is something to refuse.
                stranger.say(
                    [0, 0, 0, 40] + (0..<max(40, length)).map { _ in UInt8.random(in: 0...255, using: &random) })
                #expect(stranger.isEnded)
            }
        }
    }

    @Test func `a long frame is refused by its length, before anything of it is kept`() async throws {
        try await undisturbed { _, _, port in
            for length: [UInt8] in [[0xff, 0xff, 0xff, 0xff], [0x02, 0, 0, 0], [0, 0, 0, 65]] {
                let stranger = try Stranger(port: port)
                stranger.say(length)
                #expect(stranger.isEnded)
            }
        }
    }

    @Test func `a peer of another cluster, for somebody else, or with our own name is refused`() async throws {
        try await undisturbed { _, peer, port in
            for (cluster, from, to) in [(8, 2, peer), (7, 2, peer + 1), (7, peer, peer)] as [(UInt64, UInt64, UInt64)] {
                let stranger = try Stranger(port: port)
                stranger.hello(cluster: cluster, from: from, to: to)
                #expect(stranger.isEnded)
            }
        }
    }

    @Test func `a malformed message after the hello ends the connection`() async throws {
        var random = SystemRandomNumberGenerator()
        try await undisturbed { _, peer, port in
            let stranger = try Stranger(port: port)
            stranger.hello(from: peer % 3 + 1, to: peer)
            stranger.frame([250] + (0..<60).map { _ in UInt8.random(in: 0...255, using: &random) })
            #expect(stranger.isEnded)
        }
    }

    @Test func `messages of yesterday change nothing`() async throws {
        try await undisturbed { cluster, peer, port in
            let from = PeerID(peer % 3 + 1)
            let to = PeerID(peer)
            let stranger = try Stranger(port: port)
            stranger.hello(from: from.rawValue, to: peer)
            let old = Term(0)
            let bodies: [Message.Body] = [
                .vote(last: EntryID(index: LogIndex(1), term: old), isTransfer: false), .voteResponse(granted: true),
                .preVoteResponse(granted: true), .heartbeat(commit: LogIndex(1), round: 1),
                .heartbeatResponse(round: 99), .commit(LogIndex(9))
            ]
            for _ in 0..<50 {
                for body in bodies {
                    stranger.frame(PeerMessage.raft(Message(from: from, to: to, term: old, body)).encode())
                }
            }
            // It was all read: what comes behind it ends the connection.
            stranger.frame([250])
            #expect(stranger.isEnded)
        }
    }

    @Test func `somebody who is no member and says that he leads, with another past, is not followed and ends nobody`()
        async throws
    {
        try await undisturbed { cluster, peer, port in
            let stranger = try Stranger(port: port)
            stranger.hello(from: 99, to: peer)
            let term = Term(1000)
            func say(_ body: Message.Body) {
                stranger.frame(PeerMessage.raft(Message(from: PeerID(99), to: PeerID(peer), term: term, body)).encode())
            }
            let entry = Entry(term: term, index: LogIndex(1), kind: .empty)
            say(.append(.init(previous: .zero, entries: [entry], commit: LogIndex(1))))
            say(.heartbeat(commit: LogIndex(1), round: 1))
            say(.commit(LogIndex(1)))
            let wishes: [PeerMessage] = [
                .change(.remove(PeerID(peer % 3 + 1))), .change(.transfer(nil)), .growthRefused(true), .diskLow(true),
                .stateVerdict(LogIndex(1), hash: 1), .stateWanted
            ]
            for wish in wishes { stranger.frame(wish.encode()) }
            stranger.frame([250])
            #expect(stranger.isEnded)
            for replica in cluster.replicas { #expect(replica.members().count == 3) }
        }
    }

    @Test func `connections that say nothing take nobody's place`() async throws {
        let cluster = Cluster(3) { $0.helloMilliseconds = 300 }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let follower = try #require(cluster.replicas.first { $0 !== leader }).configuration.id
        let port = leader.configuration.listenPort
        let silent = try (0..<400).map { _ in try Stranger(port: port) }
        await cluster.halt(follower)
        _ = try await leader.propose(put("a", "meanwhile"))
        try await cluster.start(follower)
        let back = try #require(cluster[follower])
        try await eventually("the follower is heard again") {
            do { try await back.barrier() } catch { return false }
            return back.view().get(Key("a"))?.value == Array("meanwhile".utf8)
        }
        #expect(silent.count == 400)
        await cluster.end()
    }

    @Test func `strangers that came and went leave nothing behind`() async throws {
        // This process in memory, in bytes.
        func used() throws -> Int {
            var text = [UInt8](repeating: 0, count: 200)
            let descriptor = open("/proc/self/statm", O_RDONLY)
            defer { close(descriptor) }
            let count = read(descriptor, &text, text.count)
            let words = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
            guard words.count > 1, let pages = Int(words[1]) else { throw TestFailure("no size") }
            return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
        try await undisturbed { _, peer, port in
            guard peer == 1 else { return }
            func visit(_ count: Int) throws {
                for _ in 0..<count {
                    let stranger = try Stranger(port: port)
                    stranger.hello(cluster: 8, from: 2, to: 1)
                    #expect(stranger.isEnded)
                }
            }
            try visit(1000)
            let before = try used()
            try visit(8000)
            let perStranger = (try used() - before) / 8000
            #expect(perStranger < 500, "bytes of each that came and went")
        }
    }
}
