// Makes one connection: name, TCP or Unix socket, TLS handshake with ALPN, all within one time limit. It must never
// leave a channel open when it reports a failure.
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import NetPKI

/// Where and how to dial; connections of equal keys are interchangeable.
struct DialKey: Hashable, Sendable {
    let endpoint: HTTPEndpoint
    let tls: ClientTLS?
    /// Offer HTTP/1.1 only.
    let http1Only: Bool

    static func == (a: DialKey, b: DialKey) -> Bool {
        a.endpoint == b.endpoint && a.tls === b.tls && a.http1Only == b.http1Only
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(endpoint)
        hasher.combine(tls.map { ObjectIdentifier($0) })
        hasher.combine(http1Only)
    }
}

struct Dialer: Sendable {
    let group: any EventLoopGroup
    let timeout: TimeAmount

    /// Completes on the channel's event loop with the channel and the agreed protocol ("h2", "http/1.1" or nil).
    /// `configure` runs on the loop before any byte of the peer is delivered.
    func dial(
        _ key: DialKey, configure: @escaping @Sendable (any Channel, String?) throws -> Void,
        completion: @escaping @Sendable (Result<any Channel, HTTPClientError>) -> Void
    ) {
        let loop = group.next()
        let handshake = loop.makePromise(of: Void.self)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: key.endpoint.unixPath == nil ? 1 : 0)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try prepare(channel, key, handshake, configure)
                }
            }
        let connecting = connect(
            key.endpoint.unixPath == nil ? bootstrap : unixBootstrap(loop, key, handshake, configure), key.endpoint)
        connecting.whenComplete { result in
            switch result {
            case .failure(let error):
                handshake.fail(error)
                completion(.failure(.connect("\(key.endpoint.unixPath ?? key.endpoint.authority): \(brief(error))")))
            case .success(let channel):
                SocketKeepAlive.enable(on: channel)
                finish(channel, handshake, key, completion)
            }
        }
    }

    /// A Unix socket knows no TCP options.
    private func unixBootstrap(
        _ loop: any EventLoop, _ key: DialKey, _ handshake: EventLoopPromise<Void>,
        _ configure: @escaping @Sendable (any Channel, String?) throws -> Void
    ) -> ClientBootstrap {
        ClientBootstrap(group: loop).connectTimeout(timeout).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try prepare(channel, key, handshake, configure) }
        }
    }

    private func connect(_ bootstrap: ClientBootstrap, _ endpoint: HTTPEndpoint) -> EventLoopFuture<any Channel> {
        if let path = endpoint.unixPath { return bootstrap.connect(unixDomainSocketPath: path) }
        return bootstrap.connect(host: endpoint.host, port: endpoint.port)
    }

    private func prepare(
        _ channel: any Channel, _ key: DialKey, _ handshake: EventLoopPromise<Void>,
        _ configure: @escaping @Sendable (any Channel, String?) throws -> Void
    ) throws {
        guard key.endpoint.isSecure, let tls = key.tls else {
            try configure(channel, nil)
            return handshake.succeed(())
        }
        let handler = try tls.makeHandler(host: key.endpoint.host, alpn: key.http1Only ? ["http/1.1"] : nil)
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.pipeline.syncOperations.addHandler(ClientNegotiation(handshake: handshake, configure: configure))
    }

    private func finish(
        _ channel: any Channel, _ handshake: EventLoopPromise<Void>, _ key: DialKey,
        _ completion: @escaping @Sendable (Result<any Channel, HTTPClientError>) -> Void
    ) {
        let late = channel.eventLoop.scheduleTask(in: timeout) {
            handshake.fail(HTTPClientError.timeout("TLS handshake"))
        }
        handshake.futureResult.whenComplete { result in
            late.cancel()
            switch result {
            case .success: completion(.success(channel))
            case .failure(let error):
                channel.close(promise: nil)
                completion(.failure(.tls("\(key.endpoint.authority): \(brief(error))")))
            }
        }
    }
}

/// The part of a NIO error that helps a reader.
func brief(_ error: any Error) -> String {
    if let failure = error as? NIOConnectionError {
        if let first = failure.connectionErrors.first { return brief(first.error) }
        return "cannot resolve \(failure.host)"
    }
    if let io = error as? IOError { return io.description }
    return "\(error)"
}

/// Waits for the client's TLS handshake and installs what comes behind it.
private final class ClientNegotiation: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    private let handshake: EventLoopPromise<Void>
    private let configure: @Sendable (any Channel, String?) throws -> Void

    init(handshake: EventLoopPromise<Void>, configure: @escaping @Sendable (any Channel, String?) throws -> Void) {
        self.handshake = handshake
        self.configure = configure
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            try configure(context.channel, negotiated)
            handshake.succeed(())
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            handshake.fail(error)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        handshake.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        handshake.fail(HTTPClientError.closed("during the TLS handshake"))
        context.fireChannelInactive()
    }
}
