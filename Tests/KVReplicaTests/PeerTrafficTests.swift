// What a replica says when it refuses a peer or is refused, and what becomes of frames that were really sent, when
// somebody who listened sends them again.
import Glibc
import KVCore
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetPKI
import Raft
import Synchronization
import TestSupport
import Testing

/// Passes connections on to a port and keeps what its callers say, connection by connection.
final class Listener: Sendable {
    private final class Pipe: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let heard: @Sendable ([UInt8]) -> Void
        private let other = Mutex<(any Channel)?>(nil)

        init(_ heard: @escaping @Sendable ([UInt8]) -> Void) { self.heard = heard }
        func lead(to channel: any Channel) { other.withLock { $0 = channel } }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            heard(Array(buffer.readableBytesView))
            other.withLock { $0 }?.writeAndFlush(buffer, promise: nil)
        }
        func channelInactive(context: ChannelHandlerContext) { other.withLock { $0 }?.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let said = Mutex<[[UInt8]]>([])
    private let open = Mutex<[any Channel]>([])
    private let accepted = Mutex<[any Channel]>([])

    /// What each caller said, as far as it came.
    var callers: [[UInt8]] { said.withLock { $0 } }

    func listen(on port: Int, for target: Int) async throws {
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { [self] caller in accept(caller, target) }
            .bind(host: "127.0.0.1", port: port).get()
        open.withLock { $0.append(server) }
    }

    private func accept(_ caller: any Channel, _ target: Int) -> EventLoopFuture<Void> {
        let number = said.withLock { said in
            said.append([])
            return said.count - 1
        }
        accepted.withLock { $0.append(caller) }
        let inward = Pipe { [self] bytes in said.withLock { $0[number] += bytes } }
        let outward = Pipe { _ in }
        outward.lead(to: caller)
        return ClientBootstrap(group: caller.eventLoop)
            .channelInitializer { $0.pipeline.addHandler(outward) }
            .connect(host: "127.0.0.1", port: target)
            .flatMap { channel in
                inward.lead(to: channel)
                return caller.pipeline.addHandler(inward).flatMap { caller.setOption(.autoRead, value: true) }
            }
    }

    /// Ends all connections that were accepted, by a reset; new ones are accepted as before.
    func reset() async throws {
        for caller in accepted.withLock({ $0 }) where caller.isActive {
            let socket = try #require(caller as? any SocketOptionProvider)
            try await socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
            try await caller.close()
        }
    }

    func end() async throws {
        for server in open.withLock({ $0 }) { try await server.close() }
        try await group.shutdownGracefully()
    }

    /// Says all of it again, on a connection of its own; returns when the other side has hung up, because of what was
    /// said or because that was all.
    func repeatTo(_ port: Int, _ bytes: [UInt8]) async throws {
        let channel = try await ClientBootstrap(group: group).connect(host: "127.0.0.1", port: port).get()
        channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
        }
        try await channel.closeFuture.get()
    }
}

@Suite(.serialized) struct PeerTrafficTests {
    @Test func `who is refused on the peer port stands in the log, with the reason`() async throws {
        let book = LogBook()
        let cluster = Cluster(3, isSteady: true) { $0.logger = book.logger }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let port = leader.configuration.listenPort, me = leader.configuration.id
        let listener = Listener()
        func frame(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(bytes.count)] + bytes }
        let other = PeerID(me.rawValue % 3 + 1)
        let cases: [(bytes: [UInt8], words: String)] = [
            (frame(PeerHello(cluster: 8, from: other, to: me).encode()), "of cluster 8 looks for peer"),
            (frame(PeerHello(cluster: 7, from: other, to: other).encode()), "looks for peer \(other)"),
            ([0xff, 0xff, 0xff, 0xff], "a frame of 4294967295 bytes"),
            (frame(Array(repeating: 7, count: 40)), "DecodeError"),
            (frame(PeerHello(cluster: 7, from: other, to: me).encode()) + frame([250, 1]), "DecodeError"),
            (frame(PeerLookup(cluster: 9).encode()), "somebody of another cluster wants to join")
        ]
        for (bytes, words) in cases {
            let before = book.lines(with: "peer connection closed", words).count
            try await listener.repeatTo(port, bytes)
            try await eventually(words) {
                book.lines(with: "peer connection closed", words, "127.0.0.1").count > before
            }
        }
        #expect(leader.status.role == .leader)
        try await listener.end()
        await cluster.end()
    }

    /// Of three members, and one of another authority for the third.
    private func certificates() throws -> (own: [PeerID: PeerTLS], foreign: PeerTLS) {
        let authority = try CertificateAuthority.make(commonName: "store")
        let stranger = try CertificateAuthority.make(commonName: "other")
        func issue(_ id: UInt64, _ issuer: CertificateAuthority) throws -> PeerTLS {
            let issued = try issuer.issue(
                CertificateSpec(commonName: "m\(id)", ipAddresses: ["127.0.0.1"], usages: [.server, .client]))
            return PeerTLS(
                certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM)
        }
        var own: [PeerID: PeerTLS] = [:]
        for id: UInt64 in 1...3 { own[PeerID(id)] = try issue(id, authority) }
        return (own, try issue(3, stranger))
    }

    @Test(arguments: [true, false])
    func `a certificate of another authority is logged by who refuses it and by whose it is`(
        _ isFirstStart: Bool
    ) async throws {
        let began = ContinuousClock.now
        let (own, foreign) = try certificates()
        let books = (0..<3).map { _ in LogBook() }
        let isForeign = Atomic<Bool>(isFirstStart)
        let cluster = Cluster(3, isSteady: true, tls: own) { configuration in
            configuration.logger = books[Int(configuration.id.rawValue) - 1].logger
            if configuration.id == PeerID(3), isForeign.load(ordering: .relaxed) { configuration.tls = foreign }
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        _ = try await leader.propose(put("k", "v"))
        let term = leader.status.term
        if !isFirstStart {
            try await eventually("it took part") { cluster[PeerID(3)]?.view().keyCount == 1 }
            await cluster.halt(PeerID(3))
            isForeign.store(true, ordering: .relaxed)
            try await cluster.start(PeerID(3))
            // It would like to lead, too.
            await cluster[PeerID(3)]?.campaign()
        }
        try await eventually("who refuses it says so") { !books[0].lines(with: "peer connection closed").isEmpty }
        // They say too why they do not take it for whom they look for.
        try await eventually("who dials it says so") { !books[0].lines(with: "no connection", "m3").isEmpty }
        let own3 = isFirstStart ? "waits for others" : "no connection"
        try await eventually("the refused one says so") { !books[2].lines(with: own3, "m1").isEmpty }
        // Not with every attempt.
        try await Task.sleep(for: .milliseconds(1000))
        let most = 3 + Int((ContinuousClock.now - began) / .seconds(5))
        #expect(books[2].lines(with: own3, "m1").count <= most, "\(books[2].lines(with: own3))")
        // Nothing else comes of it.
        _ = try await leader.propose(put("k", "after"))
        for id: UInt64 in 1...2 {
            let replica = try #require(cluster[PeerID(id)])
            try await replica.barrier()
            #expect(replica.status.term == term && replica.status.leader == leader.configuration.id)
        }
        let third = try #require(cluster[PeerID(3)])
        #expect(third.status.leader == nil && third.view().get(Key("k"))?.value != Array("after".utf8))
        await cluster.end()
    }

    @Test func `frames that were really sent change nothing when they are sent again`() async throws {
        let behind = FreePort.take()
        let cluster = Cluster(3, isSteady: true) { if $0.id == PeerID(3) { $0.listenPort = behind } }
        let listener = Listener()
        let third = cluster.addresses[2]
        try await listener.listen(on: third.port, for: behind)
        try await cluster.startAll()
        let first = try await cluster.leader()
        // It leads once, so that it was sent proposals and wishes as well; then somebody else does, in a later term.
        if first.configuration.id != third.id { try await first.transferLeadership(to: third.id) }
        let one = try #require(cluster[PeerID(1)])
        for i in 0..<50 { _ = try await one.propose(put("a", "\(i)")) }
        try await one.addMember(PeerAddress(id: PeerID(9), name: "m9", host: "127.0.0.1", port: FreePort.take()))
        try await one.removeMember(PeerID(9))
        try await one.transferLeadership(to: PeerID(1))
        for i in 0..<50 { _ = try await one.propose(put("a", "later \(i)")) }
        let replica = try #require(cluster[third.id])
        try await replica.barrier()
        let heard = listener.callers.filter { $0.count > 100 }
        #expect(heard.count >= 2)
        let term = one.status.term, before = await replica.stateHash()
        let revision = replica.view().revision
        for bytes in heard { try await listener.repeatTo(behind, bytes) }
        #expect(one.status.role == .leader && one.status.term == term)
        #expect(replica.view().revision == revision && replica.view().get(Key("a"))?.value == Array("later 49".utf8))
        _ = try await one.propose(put("b", "1"))
        try await replica.barrier()
        // A duty of the leader may come between the two looks.
        try await eventually("both have applied the same entries") {
            let (mine, theirs) = (await one.stateHash(), await replica.stateHash())
            guard mine.index == theirs.index else { return false }
            #expect(mine.hash == theirs.hash && theirs.index > before.index)
            return true
        }
        #expect(replica.view().revision == Revision(revision.rawValue + 1))
        #expect(one.status.role == .leader && one.status.term == term)
        #expect(one.members().count == 3)
        await cluster.end()
        try await listener.end()
    }
}
