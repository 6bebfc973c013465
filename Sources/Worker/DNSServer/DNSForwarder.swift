// Asks upstream servers over UDP what is not in the zone. Every question gets a fresh random id, so that an answer that was not asked
// for is dropped; the servers are tried in order; the number of waiting questions is bounded. Confined to one event loop.
import Logging
import NIOCore
import NIOPosix
import NetDNS
import Synchronization

final class DNSForwarder: Sendable {
    static let waitingMax = 4096
    static let attemptSeconds: Int64 = 2

    private struct Waiting: Sendable {
        var originalID: UInt16
        var question: DNSQuestion
        var bytes: [UInt8]
        var server: Int
        var reply: @Sendable ([UInt8]?) -> Void
        var timer: Scheduled<Void>?
    }

    private let servers: [SocketAddress]
    private let loop: any EventLoop
    private let logger: Logger
    private let state = Mutex<(waiting: [UInt16: Waiting], channel: (any Channel)?)>(([:], nil))

    init(upstreams: [String], loop: any EventLoop, logger: Logger) {
        self.loop = loop
        self.logger = logger
        servers = upstreams.compactMap { text in
            do { return try SocketAddress(ipAddress: text, port: 53) } catch {
                logger.warning("dns: upstream \(text) is no address: \(error)")
                return nil
            }
        }
    }

    var channels: [any Channel] { state.withLock { $0.channel.map { [$0] } ?? [] } }

    func start() async throws {
        guard !servers.isEmpty else { return }
        let channel = try await loop.flatSubmit { [self] in
            DatagramBootstrap(group: loop)
                .channelInitializer { [self] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(UpstreamHandler(self))
                    }
                }
                .bind(host: "0.0.0.0", port: 0)
        }.get()
        state.withLock { $0.channel = channel }
    }

    /// `reply` gets nil when nobody answered.
    func forward(_ bytes: [UInt8], _ query: DNSQuery, _ reply: @escaping @Sendable ([UInt8]?) -> Void) {
        let id: UInt16? = state.withLock { state in
            guard state.channel != nil, state.waiting.count < Self.waitingMax else { return nil }
            var id = UInt16.random(in: 0 ... .max)
            while state.waiting[id] != nil { id = UInt16.random(in: 0 ... .max) }
            state.waiting[id] = Waiting(
                originalID: query.id, question: query.question, bytes: bytes, server: 0, reply: reply)
            return id
        }
        guard let id else { return reply(nil) }
        send(id)
    }

    private func send(_ id: UInt16) {
        let (waiting, channel) = state.withLock { ($0.waiting[id], $0.channel) }
        guard let waiting, let channel else { return }
        guard waiting.server < servers.count else {
            state.withLock { _ = $0.waiting.removeValue(forKey: id) }
            return waiting.reply(nil)
        }
        var bytes = waiting.bytes
        bytes[0] = UInt8(id >> 8)
        bytes[1] = UInt8(id & 0xff)
        channel.writeAndFlush(
            AddressedEnvelope(remoteAddress: servers[waiting.server], data: ByteBuffer(bytes: bytes)), promise: nil)
        let timer = loop.scheduleTask(in: .seconds(Self.attemptSeconds)) { [self] in
            state.withLock { $0.waiting[id]?.server += 1 }
            send(id)
        }
        state.withLock { $0.waiting[id]?.timer = timer }
    }

    func received(_ bytes: [UInt8], from address: SocketAddress) {
        guard bytes.count >= 12, servers.contains(address) else { return }
        let id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        guard let waiting = state.withLock({ $0.waiting.removeValue(forKey: id) }) else { return }
        waiting.timer?.cancel()
        var answer = bytes
        answer[0] = UInt8(waiting.originalID >> 8)
        answer[1] = UInt8(waiting.originalID & 0xff)
        waiting.reply(answer)
    }
}

private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let forwarder: DNSForwarder

    init(_ forwarder: DNSForwarder) { self.forwarder = forwarder }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        forwarder.received(Array(envelope.data.readableBytesView), from: envelope.remoteAddress)
    }
}
