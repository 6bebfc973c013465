// A TCP relay on loopback that can be frozen, for tests of dead peers and of the raw connections themselves.
import NIOCore
import NIOPosix
import NetHTTP

final class Relay: Sendable {
    let port: Int
    private let listener: any Channel

    private init(port: Int, listener: any Channel) {
        self.port = port
        self.listener = listener
    }

    static func start(to target: Int, isFrozen: @escaping @Sendable () -> Bool) async throws -> Relay {
        let listener = try await ServerBootstrap(group: testGroup).childChannelOption(.autoRead, value: true)
            .childChannelInitializer { inbound in
                ClientBootstrap(group: inbound.eventLoop).connect(host: "127.0.0.1", port: target).flatMapThrowing {
                    outbound in
                    try inbound.pipeline.syncOperations.addHandler(Forward(to: outbound, isFrozen: isFrozen))
                    try outbound.pipeline.syncOperations.addHandler(Forward(to: inbound, isFrozen: isFrozen))
                }
            }.bind(host: "127.0.0.1", port: 0).get()
        return Relay(port: listener.localAddress?.port ?? 0, listener: listener)
    }

    func stop() async {
        listener.close(promise: nil)
        await withCheckedContinuation { continuation in listener.closeFuture.whenComplete { _ in continuation.resume() }
        }
    }
}

private final class Forward: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let other: any Channel
    private let isFrozen: @Sendable () -> Bool

    init(to other: any Channel, isFrozen: @escaping @Sendable () -> Bool) {
        self.other = other
        self.isFrozen = isFrozen
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isFrozen() { other.writeAndFlush(unwrapInboundIn(data), promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
