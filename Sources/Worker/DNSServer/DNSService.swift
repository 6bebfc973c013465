// Answers DNS over UDP and TCP: the cluster's zone from memory, everything else from the upstream servers. One event loop owns all.
// Limits: queries waiting for upstream, TCP connections' idle time, message sizes. A malformed packet is dropped or refused.
import API
import Logging
import NIOCore
import NIOPosix
import NetDNS
import Synchronization

/// Where the server listens and whom it asks.
package struct DNSConfiguration: Sendable {
    package var host: String
    package var port: Int
    package var domain: String
    /// IPv4 addresses of servers for every other name.
    package var upstreams: [String]

    package init(host: String, port: Int = 53, domain: String = "cluster.local", upstreams: [String]) {
        self.host = host
        self.port = port
        self.domain = domain
        self.upstreams = upstreams
    }
}

/// The zone, shared between the watches that feed it and the loop that answers.
package final class SharedZone: Sendable {
    private let zone: Mutex<(Zone, Int)>

    package init(_ zone: Zone) { self.zone = Mutex((zone, 0)) }

    package func change(_ body: (inout Zone) -> Void) { zone.withLock { body(&$0.0) } }

    package func answer(_ question: DNSQuestion) -> ZoneAnswer {
        zone.withLock {
            $0.1 &+= 1
            return $0.0.answer(question, rotateBy: $0.1 & 0xffff)
        }
    }

    package func apply(service: JSON, isPresent: Bool) {
        if isPresent, let record = ServiceRecord(service) {
            change { $0.set(record) }
        } else {
            change { $0.remove(service: service.name, namespace: service.namespace) }
        }
    }

    package func apply(slice: JSON, isPresent: Bool) {
        guard let record = SliceRecord(slice) else { return }
        let key = "\(slice.namespace)/\(slice.name)"
        change {
            isPresent
                ? $0.set(slice: record, key: key)
                : $0.remove(sliceKey: key, service: record.service, namespace: record.namespace)
        }
    }
}

package final class DNSService: Sendable {
    private let configuration: DNSConfiguration
    private let zone: SharedZone
    private let group: any EventLoopGroup
    private let forwardGroup: any EventLoopGroup
    private let logger: Logger
    private let channels = Mutex<[any Channel]>([])

    /// Questions to upstream servers leave through `forwardGroup`, whose threads may live in another network namespace.
    package init(
        configuration: DNSConfiguration, zone: SharedZone, group: any EventLoopGroup,
        forwardGroup: (any EventLoopGroup)? = nil, logger: Logger
    ) {
        self.configuration = configuration
        self.zone = zone
        self.group = group
        self.forwardGroup = forwardGroup ?? group
        self.logger = logger
    }

    /// Listens on UDP and TCP; throws when the address cannot be bound.
    package func start() async throws {
        let loop = group.next()
        let forwarder = DNSForwarder(upstreams: configuration.upstreams, loop: forwardGroup.next(), logger: logger)
        try await forwarder.start()
        let resolver = DNSResolver(zone: zone, forwarder: forwarder)
        let (host, port) = (configuration.host, configuration.port)
        // On the loop's thread, since a socket belongs to the network namespace of the thread that makes it.
        let udp = try await loop.flatSubmit { Self.bindDatagrams(loop, resolver, host, port) }.get()
        channels.withLock { $0.append(udp) }
        let bound = udp.localAddress?.port ?? port
        let tcp = try await loop.flatSubmit { Self.bindStreams(loop, resolver, host, bound) }.get()
        channels.withLock { $0 += [tcp] + forwarder.channels }
    }

    private static func bindDatagrams(
        _ loop: any EventLoop, _ resolver: DNSResolver, _ host: String, _ port: Int
    ) -> EventLoopFuture<any Channel> {
        DatagramBootstrap(group: loop)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DNSDatagramHandler(resolver))
                }
            }
            .bind(host: host, port: port)
    }

    private static func bindStreams(
        _ loop: any EventLoop, _ resolver: DNSResolver, _ host: String, _ port: Int
    ) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        IdleStateHandler(allTimeout: .seconds(10)), DNSStreamHandler(resolver)
                    ])
                }
            }
            .bind(host: host, port: port)
    }

    /// The UDP port that is bound.
    package var port: Int? { channels.withLock { $0.first?.localAddress?.port } }

    package func stop() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open {
            do { try await channel.close() } catch { logger.debug("dns: closing: \(error)") }
        }
    }
}

/// One question: from the zone, or from upstream.
final class DNSResolver: Sendable {
    private let zone: SharedZone
    private let forwarder: DNSForwarder

    init(zone: SharedZone, forwarder: DNSForwarder) {
        self.zone = zone
        self.forwarder = forwarder
    }

    /// Calls `reply` once with the answer's bytes, now or later on the same loop; not at all for what is no query.
    func resolve(_ bytes: [UInt8], overTCP: Bool, _ reply: @escaping @Sendable ([UInt8]) -> Void) {
        let query: DNSQuery
        do {
            query = try DNSQuery(decoding: bytes)
        } catch {
            if bytes.count >= 12, bytes[2] & 0x80 == 0 { reply(Self.formatError(bytes)) }
            return
        }
        guard !query.isResponse else { return }
        let bytesMax = overTCP ? 65535 : query.udpBytesMax
        guard query.opcode == 0, query.question.class == 1 else {
            reply(
                DNSResponse(code: DNSCode.notImplemented, isAuthoritative: false).encoded(
                    for: query, bytesMax: bytesMax))
            return
        }
        switch zone.answer(query.question) {
        case .answer(let response): reply(response.encoded(for: query, bytesMax: bytesMax))
        case .notInZone:
            forwarder.forward(bytes, query) { answer in
                reply(
                    answer
                        ?? DNSResponse(code: DNSCode.serverFailure, isAuthoritative: false).encoded(
                            for: query, bytesMax: bytesMax))
            }
        }
    }

    /// The header alone, with the error code.
    private static func formatError(_ bytes: [UInt8]) -> [UInt8] {
        [bytes[0], bytes[1], 0x80, DNSCode.formatError, 0, 0, 0, 0, 0, 0, 0, 0]
    }
}

final class DNSDatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let resolver: DNSResolver

    init(_ resolver: DNSResolver) { self.resolver = resolver }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let channel = context.channel
        let remote = envelope.remoteAddress
        resolver.resolve(Array(envelope.data.readableBytesView), overTCP: false) { answer in
            channel.writeAndFlush(
                AddressedEnvelope(remoteAddress: remote, data: ByteBuffer(bytes: answer)), promise: nil)
        }
    }
}

/// Messages over TCP have a length of two bytes before them (RFC 1035 §4.2.2).
final class DNSStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let resolver: DNSResolver
    private var pending = ByteBuffer()

    init(_ resolver: DNSResolver) { self.resolver = resolver }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        pending.writeBuffer(&bytes)
        let channel = context.channel
        while let length = pending.getInteger(at: pending.readerIndex, as: UInt16.self),
            pending.readableBytes >= 2 + Int(length)
        {
            pending.moveReaderIndex(forwardBy: 2)
            let message = pending.readBytes(length: Int(length)) ?? []
            resolver.resolve(message, overTCP: true) { answer in
                var out = ByteBuffer()
                out.writeInteger(UInt16(clamping: answer.count))
                out.writeBytes(answer)
                channel.writeAndFlush(out, promise: nil)
            }
        }
        pending.discardReadBytes()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
