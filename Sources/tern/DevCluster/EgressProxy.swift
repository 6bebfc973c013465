// An HTTP proxy in small for pulls of images from the hosts: CONNECT host:port, then bytes both ways. Nothing else is answered.
// The request head is bounded; a target is resolved and connected in the machine's own network.
import Logging
import NIOCore
import NIOPosix
import NetBalancer

struct EgressProxy {
    static let headBytesMax = 8192
    var listenGroup: any EventLoopGroup
    var connectGroup: any EventLoopGroup
    var logger: Logger

    func listen(host: String, port: Int) async throws {
        let connectGroup = connectGroup
        let listenGroup = listenGroup
        _ = try await listenGroup.next().flatSubmit {
            ServerBootstrap(group: listenGroup)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ConnectHandler(connectGroup))
                    }
                }
                .bind(host: host, port: port)
        }.get()
    }
}

/// Reads the CONNECT request, then gives the connection to a splice.
private final class ConnectHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let connectGroup: any EventLoopGroup
    private var head = ByteBuffer()
    private var isDone = false

    init(_ connectGroup: any EventLoopGroup) { self.connectGroup = connectGroup }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard !isDone else { return }
        head.writeBuffer(&bytes)
        let text = String(buffer: head)
        guard text.contains("\r\n\r\n") else {
            if head.readableBytes > EgressProxy.headBytesMax { refuse(context, "431 Request Header Fields Too Large") }
            return
        }
        isDone = true
        let words = text.split(separator: "\r\n").first?.split(separator: " ") ?? []
        guard words.count == 3, words[0] == "CONNECT", let target = Backend(String(words[1])) else {
            return refuse(context, "405 Method Not Allowed")
        }
        context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
        connect(context.channel, to: target)
    }

    private func connect(_ client: any Channel, to target: Backend) {
        let loop = connectGroup.next()
        loop.execute {
            ClientBootstrap(group: loop)
                .connectTimeout(.seconds(10)).channelOption(.autoRead, value: false).channelOption(
                    .allowRemoteHalfClosure, value: true
                )
                .connect(host: target.host, port: target.port)
                .whenComplete { result in
                    switch result {
                    case .success(let server):
                        client.writeAndFlush(
                            ByteBuffer(string: "HTTP/1.1 200 Connection established\r\n\r\n"), promise: nil)
                        client.pipeline.handler(type: ConnectHandler.self).flatMap {
                            client.pipeline.syncOperations.removeHandler($0)
                        }
                        .whenComplete { _ in splice(client, server) }
                    case .failure:
                        client.writeAndFlush(
                            ByteBuffer(string: "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"), promise: nil)
                        client.close(promise: nil)
                    }
                }
        }
    }

    private func refuse(_ context: ChannelHandlerContext, _ status: String) {
        isDone = true
        context.writeAndFlush(
            wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 \(status)\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")),
            promise: nil)
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
