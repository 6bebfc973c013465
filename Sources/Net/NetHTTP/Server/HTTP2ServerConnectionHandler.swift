// What concerns a server's HTTP/2 connection as a whole: counts its streams, closes it when idle, says GOAWAY when the
// server stops and closes once the last stream is done. Confined to its event loop.
import NIOCore
import NIOHTTP2

/// Fired into each connection's pipeline when the server stops.
struct ServerStopping: Sendable {}

final class HTTP2ServerConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let idleTimeout: TimeAmount
    private var streams = 0
    private var isStopping = false
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func streamOpened(_ stream: any Channel) {
        streams += 1
        timer?.pause()
        stream.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.streamClosed() }
    }

    private func streamClosed() {
        streams -= 1
        guard streams == 0 else { return }
        if isStopping { context?.close(promise: nil) } else { timer?.start(idleTimeout) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ServerStopping { stop() }
        context.fireUserInboundEventTriggered(event)
    }

    private func stop() {
        guard !isStopping, let context else { return }
        isStopping = true
        timer?.stop()
        let frame = HTTP2Frame(streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
        if streams == 0 { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }
}
