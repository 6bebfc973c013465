// What concerns a server's HTTP/2 connection as a whole: counts its streams, closes it when idle, says GOAWAY when the
// server stops and closes once the last stream is done. Confined to its event loop.
import NIOCore
import NIOHTTP2

/// Fired into each connection's pipeline when the server stops.
struct ServerStopping: Sendable {}

final class HTTP2ServerConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    /// How long the answer to the last PING may take.
    static let drainTime = TimeAmount.seconds(1)

    private let idleTimeout: TimeAmount
    private var streams = 0
    private var isStopping = false
    /// The client has seen GOAWAY: it opens no more streams.
    private var isDrained = false
    private var timer: PhaseTimer?
    private var context: ChannelHandlerContext?

    init(idleTimeout: TimeAmount) { self.idleTimeout = idleTimeout }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        timer = PhaseTimer(eventLoop: context.eventLoop) { [weak self] in self?.stop() }
        timer?.start(idleTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.stop()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.stop()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isStopping, case .ping(_, ack: true) = unwrapInboundIn(data).payload { drained() }
    }

    func streamOpened(_ stream: any Channel) {
        streams += 1
        timer?.pause()
        stream.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.streamClosed() }
    }

    private func streamClosed() {
        streams -= 1
        guard streams == 0 else { return }
        if !isStopping { timer?.start(idleTimeout) } else if isDrained { context?.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ServerStopping { stop() }
        context.fireUserInboundEventTriggered(event)
    }

    /// GOAWAY for all later streams, then a PING: what the client sent before it saw GOAWAY has arrived when the
    /// answer does.
    private func stop() {
        guard !isStopping, let context else { return }
        isStopping = true
        timer?.stop()
        let goAway = HTTP2Frame(
            streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        context.write(wrapOutboundOut(goAway), promise: nil)
        let ping = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 1), ack: false))
        context.writeAndFlush(wrapOutboundOut(ping), promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.drainTime) { [weak self] in self?.drained() }
    }

    private func drained() {
        isDrained = true
        if streams == 0 { context?.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }
}
