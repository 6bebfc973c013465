// The connection on which this replica speaks to one peer: dialled, kept, and dialled again with back-off. It decides
// nothing; it tells the transport's owner when a peer's process seems to be gone (reset, and the new connection
// refused).
import Glibc
import KVCore
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NetPKI
import Raft
import Synchronization

/// Confined to the event loop; unchecked because NIO's closures are `Sendable`.
final class PeerLink: @unchecked Sendable {
    static let backoffMillisecondsMax: Int64 = 500
    /// A connection that ends sooner was not accepted by the other side.
    static let shortLifeMilliseconds: Int64 = 100
    let member: Member
    private let configuration: ReplicaConfiguration
    private let eventLoop: any EventLoop
    private let tls: ClientTLS?
    private let tally: PeerTally
    private let events: PeerTransportEvents
    private var channel: (any Channel)?
    private var isDialling = false
    private var isClosed = false
    private var isDirty = false
    /// There was a connection before this dial.
    private var wasConnected = false
    private var backoffMilliseconds: Int64 = 10
    private var connectedAt: Int64 = 0
    /// Why there is no connection, as it was logged last.
    private var told: String?

    init(
        _ member: Member, _ configuration: ReplicaConfiguration, _ eventLoop: any EventLoop, _ tls: ClientTLS?,
        _ tally: PeerTally, _ events: PeerTransportEvents
    ) {
        self.member = member
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.tls = tls
        self.tally = tally
        self.events = events
    }

    /// What else is known of a member does not matter here: a new connection loses what was under way on the old one.
    func leads(to other: Member) -> Bool { other.host == member.host && other.port == member.port }

    func dial() {
        guard !isClosed, !isDialling, channel == nil else { return }
        isDialling = true
        let marks = ChannelOptions.Types.WriteBufferWaterMark(low: 1 << 20, high: PeerProtocol.queueBytesMax)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.seconds(1))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: 5000)
            .channelOption(.writeBufferWaterMark, value: marks)
            .channelInitializer { [self] channel in channel.eventLoop.makeCompletedFuture { try setUp(channel) } }
            .connect(host: member.host, port: member.port)
            .whenComplete { [self] result in dialled(result) }
    }

    private func setUp(_ channel: any Channel) throws {
        let reader = FrameReader(
            onFrame: { [self] bytes in try heard(bytes) }, onBatchEnd: {}, onEnd: { [self] error in ended(error) })
        reader.frameBytesMax = PeerProtocol.helloBytesMax
        if let tls { try channel.pipeline.syncOperations.addHandler(tls.makeHandler(host: member.host)) }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    /// All that the other side ever says here is that this cluster is at its end.
    private func heard(_ bytes: [UInt8]) throws {
        let notice = try SupersededNotice(decoding: bytes)
        guard notice.old == configuration.clusterID, !isClosed else { throw PeerProtocolError.malformed }
        events.superseded(member.id, notice.new)
    }

    private func dialled(_ result: Result<any Channel, any Error>) {
        isDialling = false
        switch result {
        case .success(let channel):
            if isClosed { return channel.close(promise: nil) }
            guard channel.isActive else { return dialLater() }
            self.channel = channel
            tally.isConnected.store(true, ordering: .relaxed)
            wasConnected = true
            connectedAt = Clock.milliseconds()
            put(PeerHello(cluster: configuration.clusterID, from: configuration.id, to: member.id).encode(), channel)
            channel.flush()
            events.connected(member.id)
        case .failure(let error):
            if wasConnected, PeerLink.isRefusal(error) {
                wasConnected = false
                events.connectionLost(member.id)
            }
            dialLater()
        }
    }

    private func dialLater() {
        let wait = backoffMilliseconds
        backoffMilliseconds = min(wait * 2, Self.backoffMillisecondsMax)
        eventLoop.scheduleTask(in: .milliseconds(wait)) { [self] in dial() }
    }

    /// The other side ended the connection: a new one tells whether it still lives. One that ended soon was refused by
    /// the protocol.
    private func ended(_ error: (any Error)?) {
        guard let old = channel, !old.isActive else { return }
        channel = nil
        tally.isConnected.store(false, ordering: .relaxed)
        events.dropped(member.id)
        let isShort = Clock.milliseconds() - connectedAt <= Self.shortLifeMilliseconds
        if isShort || PeerLink.isRefusedByTLS(error) {
            tell(error.map { "\($0)" } ?? "it ended the connection at once")
        } else {
            told = nil
        }
        guard !isShort else { return dialLater() }
        backoffMilliseconds = 10
        dial()
    }

    /// Not that a process died.
    static func isRefusedByTLS(_ error: (any Error)?) -> Bool {
        switch error {
        case let failed as NIOSSLError: failed != .uncleanShutdown
        case is BoringSSLError: true
        default: false
        }
    }

    /// Once for each reason: it is dialled again and again.
    private func tell(_ reason: String) {
        guard reason != told, !isClosed else { return }
        told = reason
        configuration.logger.notice(
            "no connection with a member",
            metadata: [
                "member": "\(member.id)", "name": "\(member.name)", "address": "\(member.host):\(member.port)",
                "why": "\(reason)"
            ])
    }

    static func isRefusal(_ error: any Error) -> Bool {
        if let failed = error as? NIOConnectionError {
            return !failed.connectionErrors.isEmpty && failed.connectionErrors.allSatisfy { isRefusal($0.error) }
        }
        guard let failed = error as? IOError else { return false }
        return failed.errnoCode == ECONNREFUSED || failed.errnoCode == ECONNRESET
    }

    /// False when it was dropped.
    func write(_ message: PeerMessage) -> Bool {
        guard let channel, channel.isWritable else {
            tally.sentFailures.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        put(message.encode(), channel)
        isDirty = true
        return true
    }

    private func put(_ bytes: [UInt8], _ channel: any Channel) {
        var buffer = channel.allocator.buffer(capacity: bytes.count + 4)
        buffer.writeInteger(UInt32(truncatingIfNeeded: bytes.count))
        buffer.writeBytes(bytes)
        tally.sentBytes.wrappingAdd(UInt64(buffer.readableBytes), ordering: .relaxed)
        channel.write(buffer, promise: nil)
    }

    /// What the kernel knows of the connection's round trip.
    func measure() {
        guard let provider = channel as? any SocketOptionProvider else { return }
        provider.getTCPInfo().whenSuccess { [tally] facts in
            tally.roundTrips.observe(Double(facts.tcpi_rtt) / 1e6)
        }
    }

    func flush() {
        guard isDirty else { return }
        isDirty = false
        channel?.flush()
    }

    func close() {
        isClosed = true
        tally.isConnected.store(false, ordering: .relaxed)
        channel?.close(promise: nil)
        channel = nil
    }
}
