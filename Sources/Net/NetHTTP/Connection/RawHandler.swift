// The channel side of a `RawConnection`: moves bytes between the pipeline and the owner's callbacks, reads only while
// the owner wants input. Confined to its event loop. It must never decide anything about the bytes.
import NIOCore
import NIOSSL

final class RawHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long `close` waits for what was sent before.
    static let closeGrace = TimeAmount.seconds(5)

    private(set) var connection: RawConnection?
    private var context: ChannelHandlerContext?
    private var hasRead = false
    private var isEnding = false

    /// Adds a handler to the end of the pipeline and returns the connection it serves. On the event loop.
    static func install(on channel: any Channel) throws -> RawConnection {
        let handler = RawHandler()
        let address = channel.remoteAddress.map(describe) ?? ""
        let connection = RawConnection(eventLoop: channel.eventLoop, handler: handler, remoteAddress: address)
        handler.connection = connection
        try channel.pipeline.syncOperations.addHandler(handler)
        if let options = channel.syncOptions {
            try options.setOption(ChannelOptions.allowRemoteHalfClosure, value: true)
        }
        return connection
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        connection?.closed()
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection?.closed()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection?.received(unwrapInboundIn(data))
    }

    func read(context: ChannelHandlerContext) {
        if connection?.wantsInput ?? true { context.read() } else { hasRead = true }
    }

    func readIfNeeded() {
        guard hasRead, let context else { return }
        hasRead = false
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent { connection?.inputClosed() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func perform(_ operations: [RawOperation]) {
        guard let context else { return }
        var bytes = 0
        for operation in operations where !isEnding {
            switch operation {
            case .data(let buffer):
                bytes &+= buffer.readableBytes
                context.write(wrapOutboundOut(buffer), promise: nil)
            case .shutdownOutput: shutdownOutput(context)
            case .close: closeGracefully(context)
            case .abort:
                isEnding = true
                closeAtOnce(context)
            }
        }
        flush(context, bytes)
    }

    /// An empty write behind the batch tells when the socket took all of it.
    private func flush(_ context: ChannelHandlerContext, _ bytes: Int) {
        guard bytes > 0, let connection else { return context.flush() }
        let done = context.eventLoop.makePromise(of: Void.self)
        done.futureResult.whenComplete { _ in connection.accepted(bytes) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: done)
    }

    private func shutdownOutput(_ context: ChannelHandlerContext) {
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenSuccess { channel.close(mode: .output, promise: nil) }
    }

    private func closeGracefully(_ context: ChannelHandlerContext) {
        isEnding = true
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
        let forced = context.eventLoop.scheduleTask(in: Self.closeGrace) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in forced.cancel() }
    }
}

/// Closes without the TLS closing handshake, for peers that are dead or not worth waiting for.
func closeAtOnce(_ context: ChannelHandlerContext) {
    let pipeline = context.pipeline.syncOperations
    do {
        try pipeline.context(handlerType: NIOSSLClientHandler.self).close(promise: nil)
    } catch {
        do { try pipeline.context(handlerType: NIOSSLServerHandler.self).close(promise: nil) } catch {
            context.close(promise: nil)
        }
    }
}

/// `address:port` of a peer, or the path of a Unix socket.
func describe(_ address: SocketAddress) -> String {
    guard let host = address.ipAddress, let port = address.port else { return address.pathname ?? "" }
    return host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
}
