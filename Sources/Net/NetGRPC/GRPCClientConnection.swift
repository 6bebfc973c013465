// One HTTP/2 connection of a gRPC channel: dialled, pinged while calls are open, retired at GOAWAY. Confined to its
// event loop behind a handle. It must never be closed by a server's many pings: the control frame limit is raised.
import NIOCore
import NIOHTTP2
import NIOPosix
import NIOSSL
import NIOTLS
import NetPKI
import Synchronization

/// A live connection.
final class GRPCClientConnection: Sendable {
    let channel: any Channel
    let multiplexer: NIOHTTP2Handler.StreamMultiplexer
    private let retired = Atomic<Bool>(false)

    init(channel: any Channel, multiplexer: NIOHTTP2Handler.StreamMultiplexer) {
        self.channel = channel
        self.multiplexer = multiplexer
    }

    var isUsable: Bool { channel.isActive && !retired.load(ordering: .acquiring) }
    func retire() { retired.store(true, ordering: .releasing) }

    /// Dials; completes on the event loop.
    static func dial(
        _ target: GRPCTarget, _ configuration: GRPCChannelConfiguration, _ loop: any EventLoop
    ) -> EventLoopFuture<GRPCClientConnection> {
        let ready = loop.makePromise(of: GRPCClientConnection.self)
        var bootstrap = ClientBootstrap(group: loop).connectTimeout(configuration.connectTimeout)
        if let resolver = configuration.resolver { bootstrap = bootstrap.resolver(resolver(loop)) }
        var tls: (ClientTLS, String)?
        if case .tcp(let host, _, let settings) = target {
            bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
            if let settings { tls = (settings, host) }
        }
        bootstrap = bootstrap.channelInitializer { [tls] channel in
            channel.eventLoop.makeCompletedFuture {
                // Without TLS it is made before it is connected, so that it speaks first, and told of afterwards.
                guard let (settings, host) = tls else { return try install(on: channel, configuration) }
                try channel.pipeline.syncOperations.addHandler(try settings.makeHandler(host: host, alpn: ["h2"]))
                try channel.pipeline.syncOperations.addHandler(Negotiation(ready, configuration))
            }
        }
        let isSecure = tls != nil
        connect(bootstrap, target).whenComplete { result in
            switch result {
            case .failure(let error): ready.fail(error)
            case .success(let channel):
                // A name may have several addresses, and each try has a connection of its own.
                if !isSecure { ready.completeWith(Result { try installed(on: channel) }) }
                let late = loop.scheduleTask(in: configuration.connectTimeout) {
                    ready.fail(GRPCStatus(.unavailable, "TLS handshake timed out"))
                }
                ready.futureResult.whenComplete { result in
                    late.cancel()
                    if case .failure = result { channel.close(promise: nil) }
                }
            }
        }
        return ready.futureResult
    }

    private static func connect(_ bootstrap: ClientBootstrap, _ target: GRPCTarget) -> EventLoopFuture<any Channel> {
        switch target {
        case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port, _): bootstrap.connect(host: host, port: port)
        }
    }

    fileprivate static func install(
        on channel: any Channel, _ configuration: GRPCChannelConfiguration
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        let (http2, stream) = grpcHTTP2Settings(
            windowBytes: configuration.windowBytes, controlFramesMax: configuration.controlFramesMax)
        let multiplexer = try pipeline.configureHTTP2Pipeline(
            mode: .client, connectionConfiguration: http2, streamConfiguration: stream
        ) { $0.close() }
        let connection = GRPCClientConnection(channel: channel, multiplexer: multiplexer)
        try pipeline.addHandler(GRPCPinger(connection: connection, configuration: configuration))
    }

    fileprivate static func installed(on channel: any Channel) throws -> GRPCClientConnection {
        try channel.pipeline.syncOperations.handler(type: GRPCPinger.self).connection
    }

    /// Opens a stream for the call; a failure says that the server has not seen it.
    func open(_ call: GRPCCall, _ make: @escaping @Sendable () -> GRPCClientStreamHandler) {
        let opened = channel.eventLoop.makePromise(of: (any Channel).self)
        multiplexer.createStreamChannel(promise: opened) { stream in
            stream.eventLoop.makeCompletedFuture { try stream.pipeline.syncOperations.addHandler(make()) }
        }
        opened.futureResult.whenFailure { error in
            call.ended(.failure(GRPCStatus(.unavailable, "opening a stream: \(error)", mayHaveRun: false)))
        }
        opened.futureResult.whenSuccess { stream in
            self.channel.pipeline.fireUserInboundEventTriggered(GRPCPinger.Opened())
            stream.closeFuture.whenComplete { _ in
                self.channel.pipeline.fireUserInboundEventTriggered(GRPCPinger.Closed())
            }
        }
    }

    private final class Negotiation: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = NIOAny
        private let ready: EventLoopPromise<GRPCClientConnection>
        private let configuration: GRPCChannelConfiguration

        init(_ ready: EventLoopPromise<GRPCClientConnection>, _ configuration: GRPCChannelConfiguration) {
            self.ready = ready
            self.configuration = configuration
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else {
                return context.fireUserInboundEventTriggered(event)
            }
            guard negotiated == "h2" else {
                return ready.fail(GRPCStatus(.unavailable, "the server does not speak HTTP/2", mayHaveRun: false))
            }
            do {
                try GRPCClientConnection.install(on: context.channel, configuration)
                ready.succeed(try GRPCClientConnection.installed(on: context.channel))
                context.pipeline.syncOperations.removeHandler(self, promise: nil)
            } catch {
                ready.fail(error)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            ready.fail(error)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            ready.fail(ChannelError.eof)
            context.fireChannelInactive()
        }
    }
}

/// HTTP/2 settings that both sides use.
func grpcHTTP2Settings(
    windowBytes: Int, controlFramesMax: Int, streamsMax: Int? = nil
) -> (NIOHTTP2Handler.ConnectionConfiguration, NIOHTTP2Handler.StreamConfiguration) {
    var http2 = NIOHTTP2Handler.ConnectionConfiguration()
    http2.initialSettings = [
        HTTP2Setting(parameter: .maxHeaderListSize, value: 64 << 10),
        HTTP2Setting(parameter: .initialWindowSize, value: windowBytes)
    ]
    if let streamsMax {
        http2.initialSettings.append(HTTP2Setting(parameter: .maxConcurrentStreams, value: streamsMax))
    } else {
        http2.initialSettings.append(HTTP2Setting(parameter: .enablePush, value: 0))
    }
    http2.targetWindowSize = max(windowBytes, 1 << 20) * 4
    http2.controlFrameRateLimit.maximumCount = controlFramesMax
    http2.maximumSequentialEmptyDataFrames = 16
    var stream = NIOHTTP2Handler.StreamConfiguration()
    stream.targetWindowSize = windowBytes
    stream.streamResetFrameRateLimit.maximumCount = 20_000
    stream.outboundBufferSizeHighWatermark = 64 << 10
    stream.outboundBufferSizeLowWatermark = 16 << 10
    return (http2, stream)
}

/// Pings while calls are open and closes the connection when an answer stays away.
final class GRPCPinger: ChannelInboundHandler {
    struct Opened: Sendable {}
    struct Closed: Sendable {}

    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let connection: GRPCClientConnection
    private let configuration: GRPCChannelConfiguration
    private var streams = 0
    private var awaitsAnswer = false
    private var task: Scheduled<Void>?

    init(connection: GRPCClientConnection, configuration: GRPCChannelConfiguration) {
        self.connection = connection
        self.configuration = configuration
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is Opened:
            streams += 1
            if task == nil, let interval = configuration.pingInterval { schedule(context, interval) }
        case is Closed:
            streams -= 1
            if streams == 0 && !connection.isUsable { context.close(promise: nil) }
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    private func schedule(_ context: ChannelHandlerContext, _ time: TimeAmount) {
        task = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.due(context) }
    }

    private func due(_ context: ChannelHandlerContext) {
        task = nil
        if awaitsAnswer { return closeAtOnce(context) }
        guard streams > 0 else { return }
        awaitsAnswer = true
        let frame = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 7), ack: false))
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
        schedule(context, configuration.pingTimeout)
    }

    /// A dead peer answers no TLS closing handshake.
    private func closeAtOnce(_ context: ChannelHandlerContext) {
        do {
            try context.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self).close(promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data).payload {
        case .goAway:
            connection.retire()
            if streams == 0 { context.close(promise: nil) }
        case .ping(_, let ack) where ack:
            awaitsAnswer = false
            task?.cancel()
            task = nil
            if streams > 0, let interval = configuration.pingInterval { schedule(context, interval) }
        default: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.retire()
        task?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        connection.retire()
        context.close(promise: nil)
    }
}
