// In plain text HTTP/2 and HTTP/1.1 share a port: the first bytes tell them apart. What was read is handed on to the
// handlers that are installed then. It must never wait for ever, or read more than it needs.
import NIOCore

/// Looks at the first bytes of a connection: an HTTP/2 client begins with `PRI * HTTP/2.0`.
final class PrefaceSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    private static let preface = Array("PRI ".utf8)
    private let timeout: TimeAmount
    private let ready: (any Channel, _ isHTTP2: Bool) throws -> Void
    private var late: Scheduled<Void>?
    private var seen = ByteBuffer()
    private var isDecided = false

    init(timeout: TimeAmount, ready: @escaping (any Channel, Bool) throws -> Void) {
        self.timeout = timeout
        self.ready = ready
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        late = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { late?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard !isDecided else { return context.fireChannelRead(wrapInboundOut(bytes)) }
        seen.writeBuffer(&bytes)
        let start = Array(seen.readableBytesView.prefix(Self.preface.count))
        guard Self.preface.starts(with: start) else { return decide(false, context) }
        if start.count == Self.preface.count { decide(true, context) }
    }

    private func decide(_ isHTTP2: Bool, _ context: ChannelHandlerContext) {
        isDecided = true
        late?.cancel()
        do {
            try ready(context.channel, isHTTP2)
            context.fireChannelRead(wrapInboundOut(seen))
            seen = ByteBuffer()
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
