// Connections between replicas, all on the replica's event loop: each peer dials every other one and sends on the
// connection it dialled, so a peer has one connection for what it says and one for what it hears. Nothing is queued for
// a peer that is not connected: Raft repeats what matters. A connection that was reset and cannot be dialled again is
// reported at once: that process is gone.
import KVCore
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NetPKI
import Raft
import Synchronization

/// What the transport tells its owner, on the event loop.
struct PeerTransportEvents {
    var received: (PeerMessage, PeerID) -> Void
    /// Everything that came with one read was delivered.
    var batchEnded: () -> Void
    var dropped: (PeerID) -> Void
    var connected: (PeerID) -> Void
    var connectionLost: (PeerID) -> Void
    /// Everybody that is known, for who joins.
    var directory: () -> PeerDirectory
    /// Whether a member has voted or kept anything, as far as is known here.
    var tookPart: (PeerID) -> Bool
    /// Whether somebody is not known as a member here.
    var isStranger: (PeerID) -> Bool
    /// A member was recovered as another cluster, which has this number: this one is no more.
    var superseded: (PeerID, UInt64) -> Void
}

/// Unchecked: everything but `init` runs on the event loop.
final class PeerTransport: @unchecked Sendable {
    static let inboundMax = 256
    private let configuration: ReplicaConfiguration
    private let eventLoop: any EventLoop
    private let clientTLS: ClientTLS?
    private let serverTLS: ServerTLS?
    private let figures: ReplicaFigures
    private let events: PeerTransportEvents
    private var links: [PeerID: PeerLink] = [:]
    private var inbound: [ObjectIdentifier: any Channel] = [:]
    private var server: (any Channel)?
    private var isClosed = false

    init(
        _ configuration: ReplicaConfiguration, _ eventLoop: any EventLoop, _ figures: ReplicaFigures,
        _ events: PeerTransportEvents
    ) throws {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.figures = figures
        self.events = events
        guard let tls = configuration.tls else {
            (clientTLS, serverTLS) = (nil, nil)
            return
        }
        let identity = try TLSIdentity(certificatePEM: tls.certificatePEM, keyPEM: tls.keyPEM)
        clientTLS = try ClientTLS(
            trustRootsPEM: tls.authorityPEM, identity: identity, alpn: [], rules: tls.rules)
        serverTLS = try ServerTLS(
            identity: identity, clientCAPEM: tls.authorityPEM, policy: .required, alpn: [], rules: tls.rules)
    }

    /// Listens; answers the bound port.
    func listen() -> EventLoopFuture<Int> {
        let bootstrap = ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try setUpInbound(channel) }
            }
        return bootstrap.bind(host: configuration.listenHost, port: configuration.listenPort).map { [self] channel in
            server = channel
            return channel.localAddress?.port ?? 0
        }
    }

    /// Whom to talk to; links to others are closed.
    func update(_ members: [Member]) {
        guard !isClosed else { return }
        for member in members where member.id != configuration.id {
            if links[member.id]?.leads(to: member) == true { continue }
            links[member.id]?.close()
            let link = PeerLink(member, configuration, eventLoop, clientTLS, figures.tally(member.id), events)
            links[member.id] = link
            link.dial()
        }
        for (id, link) in links where !members.contains(where: { $0.id == id }) {
            link.close()
            links.removeValue(forKey: id)
            figures.forget(id)
        }
    }

    func send(_ envelope: Envelope) {
        guard let link = links[envelope.to], link.write(envelope.message) else { return events.dropped(envelope.to) }
    }

    /// One observation of the round trip on each connection.
    func measure() { for link in links.values { link.measure() } }

    func flush() { for link in links.values { link.flush() } }

    func close() {
        isClosed = true
        for link in links.values { link.close() }
        links = [:]
        server?.close(promise: nil)
        for channel in inbound.values { channel.close(promise: nil) }
        inbound = [:]
    }

    /// Tells who is about to join whom it joins, and ends the connection.
    private func answer(_ question: [UInt8], _ channel: any Channel) throws {
        guard try PeerLookup(question: question).cluster == configuration.configuredClusterID else {
            throw PeerProtocolError.notForUs("somebody of another cluster wants to join")
        }
        channel.writeAndFlush(PeerLookup.frame(events.directory().encode())).whenComplete { _ in
            channel.close(promise: nil)
        }
    }

    private func answer(_ inquiry: PeerInquiry, _ channel: any Channel) throws {
        guard inquiry.cluster == configuration.clusterID else {
            throw PeerProtocolError.notForUs("somebody of another cluster asks about itself")
        }
        guard !configuration.raft.isWitness else {
            throw PeerProtocolError.notForUs("a witness does not know who took part")
        }
        let answer = PeerInquiry.answer(events.tookPart(inquiry.member))
        channel.writeAndFlush(PeerLookup.frame(answer)).whenComplete { _ in channel.close(promise: nil) }
    }

    /// Tells a member of the cluster in whose place this one is that it is at its end.
    private func end(_ hello: PeerHello, _ channel: any Channel) {
        configuration.logger.notice(
            "a member of the cluster before the recovery is told to end", metadata: ["peer": "\(hello.from)"])
        let notice = SupersededNotice(old: hello.cluster, new: configuration.clusterID)
        channel.writeAndFlush(PeerLookup.frame(notice.encode())).whenComplete { _ in channel.close(promise: nil) }
    }

    private func refused(_ address: String, _ why: String) {
        configuration.logger.info("peer connection closed", metadata: ["address": "\(address)", "error": "\(why)"])
    }

    private func setUpInbound(_ channel: any Channel) throws {
        let address = channel.remoteAddress.map { "\($0)" } ?? "unknown"
        guard !isClosed, inbound.count < Self.inboundMax else {
            refused(address, "too many connections")
            throw PeerProtocolError.notForUs("too many connections")
        }
        let key = ObjectIdentifier(channel)
        inbound[key] = channel
        // Who does not say who he is does not keep a place.
        let late = eventLoop.scheduleTask(in: .milliseconds(configuration.helloMilliseconds)) {
            channel.close(promise: nil)
        }
        let session = InboundPeer()
        var verdict: PeerVerdict?
        if let serverTLS, let names = configuration.tls?.names {
            let (handler, made) = serverTLS.makeHandler()
            try channel.pipeline.syncOperations.addHandler(handler)
            session.admit = { try Self.admit(made, handler, serverTLS, names) }
            verdict = made
        }
        let reader = FrameReader(
            onFrame: { [self] bytes in try received(bytes, session, channel) },
            onBatchEnd: events.batchEnded,
            onEnd: { [self] error in
                late.cancel()
                // It holds the reader, which holds it.
                session.greeted = {}
                session.admit = {}
                inbound.removeValue(forKey: key)
                if let error { refused(address, verdict?.failure.map { "\(error): \($0)" } ?? "\(error)") }
            })
        reader.frameBytesMax = PeerProtocol.helloBytesMax
        session.greeted = {
            late.cancel()
            reader.frameBytesMax = PeerProtocol.frameBytesMax
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    /// Whoever has a certificate of the authority came so far; see `docs/decisions/0018`.
    private static func admit(
        _ verdict: PeerVerdict, _ handler: NIOSSLServerHandler, _ tls: ServerTLS, _ names: AllowedNames
    ) throws {
        guard !names.isEmpty else { return }
        tls.completeVerdict(verdict, handler)
        guard let certificate = verdict.certificate, names.admit(certificate) else {
            let name = verdict.certificate?.commonName ?? ""
            throw PeerProtocolError.notForUs("the certificate of '\(name)' is not one of a member's")
        }
    }

    private func received(_ bytes: [UInt8], _ session: InboundPeer, _ channel: any Channel) throws {
        if let sender = session.sender {
            // Not before it is known as a member.
            if session.tally == nil, links[sender] != nil { session.tally = figures.tally(sender) }
            session.tally?.receivedBytes.wrappingAdd(UInt64(bytes.count), ordering: .relaxed)
            return events.received(try PeerMessage(decoding: bytes), sender)
        }
        try session.admit()
        if PeerLookup.isQuestion(bytes) { return try answer(bytes, channel) }
        if PeerInquiry.isQuestion(bytes) { return try answer(PeerInquiry(question: bytes), channel) }
        let hello = try PeerHello(decoding: bytes)
        if hello.to == configuration.id, configuration.supersedes.contains(hello.cluster) {
            return end(hello, channel)
        }
        guard hello.cluster == configuration.clusterID, hello.to == configuration.id, hello.from != hello.to else {
            throw PeerProtocolError.notForUs(
                "peer \(hello.from) of cluster \(hello.cluster) looks for peer \(hello.to)")
        }
        session.sender = hello.from
        session.greeted()
        if events.isStranger(hello.from) {
            let address = channel.remoteAddress.map { "\($0)" } ?? "unknown"
            configuration.logger.notice(
                "somebody speaks who is not known as a member",
                metadata: ["address": "\(address)", "peer": "\(hello.from)"])
        }
        // It lives: no need to wait with dialling it.
        links[hello.from]?.dial()
    }
}

/// Who speaks on an incoming connection. Confined to the event loop.
private final class InboundPeer {
    var sender: PeerID?
    var tally: PeerTally?
    /// Called with what is said before the hello was taken; throws when the certificate is not a member's.
    var admit: () throws -> Void = {}
    /// Called once, when the hello was taken.
    var greeted: () -> Void = {}
}
