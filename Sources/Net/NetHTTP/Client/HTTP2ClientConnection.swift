// One HTTP/2 connection of a client: many calls at once, a PING while calls are open so that a dead peer is found in
// seconds, GOAWAY obeyed. The stream handlers move one call each. It must never open a stream after GOAWAY.
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// The pool's handle.
final class HTTP2ClientConnection: ClientConnection {
    let channel: any Channel
    private let multiplexer: NIOHTTP2Handler.StreamMultiplexer
    private let handler: NIOLoopBound<HTTP2ClientHandler>

    /// On the channel's event loop.
    init(channel: any Channel, owner: any ClientConnectionOwner, configuration: HTTPClientConfiguration) throws {
        self.channel = channel
        let pipeline = channel.pipeline.syncOperations
        let (http2, stream) = Self.settings(configuration)
        multiplexer = try pipeline.configureHTTP2Pipeline(
            mode: .client, connectionConfiguration: http2, streamConfiguration: stream
        ) { pushed in pushed.close() }
        let made = HTTP2ClientHandler(owner: owner, configuration: configuration)
        handler = NIOLoopBound(made, eventLoop: channel.eventLoop)
        try pipeline.addHandler(made)
        made.connection = self
    }

    private static func settings(
        _ configuration: HTTPClientConfiguration
    ) -> (NIOHTTP2Handler.ConnectionConfiguration, NIOHTTP2Handler.StreamConfiguration) {
        var http2 = NIOHTTP2Handler.ConnectionConfiguration()
        http2.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0),
            HTTP2Setting(parameter: .maxHeaderListSize, value: configuration.headerBytesMax),
            HTTP2Setting(parameter: .initialWindowSize, value: 256 << 10)
        ]
        http2.targetWindowSize = 4 << 20
        http2.controlFrameRateLimit.maximumCount = 100_000
        http2.maximumSequentialEmptyDataFrames = 16
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.targetWindowSize = 256 << 10
        stream.streamResetFrameRateLimit.maximumCount = 20_000
        return (http2, stream)
    }

    func execute(_ call: ClientCall) {
        channel.eventLoop.execute { self.open(call) }
    }

    private func open(_ call: ClientCall) {
        let handler = handler.value
        guard handler.begins() else { return handler.refuse(call) }
        let opened = channel.eventLoop.makePromise(of: (any Channel).self)
        multiplexer.createStreamChannel(promise: opened) { stream in
            stream.eventLoop.makeCompletedFuture {
                let made = HTTP2ClientStreamHandler(call: call, connection: self)
                try stream.pipeline.syncOperations.addHandler(made)
            }
        }
        opened.futureResult.whenComplete { result in
            switch result {
            case .success(let stream): stream.closeFuture.whenComplete { _ in self.handler.value.ended() }
            case .failure: self.handler.value.refuse(call, counted: true)
            }
        }
    }

    /// The stream handler reports a call that failed before its response began.
    func failed(_ call: ClientCall, _ error: HTTPClientError, wasSent: Bool) {
        handler.value.owner?.failed(call, error, wasSent: wasSent)
    }

    func close() { channel.close(promise: nil) }
}

/// Root frames, PING and bookkeeping of one connection.
final class HTTP2ClientHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    weak var connection: HTTP2ClientConnection?
    private(set) weak var owner: (any ClientConnectionOwner)?
    private let configuration: HTTPClientConfiguration
    private var context: ChannelHandlerContext?
    private var streams = 0
    private var isRetired = false
    private var idleTimer: PhaseTimer?
    private var pingTimer: PhaseTimer?
    private var awaitsPing = false

    init(owner: any ClientConnectionOwner, configuration: HTTPClientConfiguration) {
        self.owner = owner
        self.configuration = configuration
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let channel = context.channel
        idleTimer = PhaseTimer(eventLoop: context.eventLoop) { [weak self] in
            self?.retire()
            channel.close(promise: nil)
        }
        pingTimer = PhaseTimer(eventLoop: context.eventLoop) { [weak self] in self?.pingDue() }
        idleTimer?.start(configuration.idleTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        retire()
        stopTimers()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        retire()
        stopTimers()
        context.fireChannelInactive()
    }

    private func stopTimers() {
        idleTimer?.stop()
        pingTimer?.stop()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data).payload {
        case .goAway: retire()
        case .settings(.settings(let settings)):
            if let most = settings.last(where: { $0.parameter == .maxConcurrentStreams }), let connection {
                owner?.learned(connection, streamsMax: most.value)
            }
        case .ping(_, let ack) where ack:
            awaitsPing = false
            if streams > 0 { pingTimer?.start(configuration.pingInterval) } else { pingTimer?.pause() }
        default: break
        }
    }

    /// A stream is about to be opened. False when the connection takes none.
    func begins() -> Bool {
        guard !isRetired, let context, context.channel.isActive else { return false }
        streams += 1
        idleTimer?.pause()
        if streams == 1 && !awaitsPing { pingTimer?.start(configuration.pingInterval) }
        return true
    }

    func ended() {
        streams -= 1
        if streams == 0 {
            if !awaitsPing { pingTimer?.pause() }
            if isRetired { context?.close(promise: nil) } else { idleTimer?.start(configuration.idleTimeout) }
        }
        if !isRetired, let connection { owner?.released(connection) }
    }

    func refuse(_ call: ClientCall, counted: Bool = false) {
        if counted { ended() }
        owner?.failed(call, .closed("the connection takes no more requests"), wasSent: false)
    }

    private func pingDue() {
        guard let context else { return }
        guard !awaitsPing else { return closeAtOnce(context) }
        awaitsPing = true
        let frame = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 7), ack: false))
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
        pingTimer?.start(configuration.pingTimeout)
    }

    /// No new calls; those under way go on.
    private func retire() {
        guard !isRetired else { return }
        isRetired = true
        if let connection { owner?.retired(connection) }
        if streams == 0 { context?.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }
}
