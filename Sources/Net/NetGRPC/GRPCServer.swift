// A gRPC listener: HTTP/2 over TLS (ALPN h2) or plain TCP or a Unix socket. Stops with GOAWAY. Connections that speak
// something else are handed to `otherProtocol`, when there is one. It must never keep a connection whose TLS handshake
// does not end, or that says nothing.
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import NetPKI
import Synchronization

/// What went over a server's connections.
package final class GRPCTraffic: Sendable {
    package let receivedBytes = Atomic<Int>(0)
    package let sentBytes = Atomic<Int>(0)
    package init() {}
}

/// Settings of a `GRPCServer`.
package struct GRPCServerConfiguration: Sendable {
    /// Counts what clients send and are sent, frames included.
    package var traffic: GRPCTraffic?
    package enum Address: Sendable { case tcp(host: String, port: Int), unix(path: String) }

    package var address: Address
    package var tls: ServerTLS?
    package var messageBytesMax = 16 << 20
    package var windowBytes = 1 << 20
    package var streamsMax = 10_000
    package var connectionsMax = 10_000
    /// Of the answers of one connection that wait for its client: above, new calls and large answers are refused.
    package var waitingBytesMax = 256 << 20
    /// A finished call whose client takes nothing of the rest for so long is given up.
    package var answerStall: TimeAmount = .seconds(30)
    package var controlFramesMax = 1_000_000
    /// For the TLS handshake, and in plain text for the first bytes.
    package var handshakeTimeout: TimeAmount = .seconds(10)
    /// Sets up the pipeline of a connection that does not speak HTTP/2; nil: it is closed.
    package var otherProtocol: OtherProtocol?
    /// Answers requests over HTTP/2 that are not gRPC; nil: they are refused with 415.
    package var plainRequest: (@Sendable (PlainRequest) -> Void)?
    /// Told who was refused and why: handshakes that failed, bytes that are no HTTP/2.
    package var refused: @Sendable (_ address: String, _ why: String) -> Void = { _, _ in }
    package typealias OtherProtocol = @Sendable (any Channel, ClientCertificate?) throws -> Void

    package init(address: Address, tls: ServerTLS? = nil) {
        self.address = address
        self.tls = tls
    }
}

/// Serves one `GRPCService`.
package final class GRPCServer: Sendable {
    /// Of one connection, above which its client is not read until it takes what it asked for.
    static let unsentBytesMax = 1 << 20
    /// A client that says nothing is asked by the kernel whether it is still there: first after so long, then as often
    /// as this, and given up after so many questions without an answer.
    private static let keepAliveSeconds: (idle: Int, interval: Int, probes: Int) = (30, 10, 3)

    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isStopped = false
    }

    private let configuration: GRPCServerConfiguration
    private let service: any GRPCService
    private let group: any EventLoopGroup
    private let state = Mutex(State())

    package init(configuration: GRPCServerConfiguration, service: any GRPCService, group: any EventLoopGroup) {
        self.configuration = configuration
        self.service = service
        self.group = group
    }

    /// Binds and serves; returns the bound port (0 for a Unix socket).
    package func start() async throws -> Int {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: Self.unsentBytesMax))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard self.admit(channel) else { throw ChannelError.ioOnClosedChannel }
                    try self.configure(channel)
                }
            }
        let listener: any Channel
        switch configuration.address {
        case .tcp(let host, let port):
            listener = try await keepingAlive(bootstrap).childChannelOption(.tcpOption(.tcp_nodelay), value: 1).bind(
                host: host, port: port
            ).get()
        case .unix(let path):
            listener = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        }
        state.withLock { $0.listener = listener }
        return listener.localAddress?.port ?? 0
    }

    private func keepingAlive(_ bootstrap: ServerBootstrap) -> ServerBootstrap {
        bootstrap
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: Self.keepAliveSeconds.idle)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: Self.keepAliveSeconds.interval)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: Self.keepAliveSeconds.probes)
    }

    private func admit(_ channel: any Channel) -> Bool {
        let id = ObjectIdentifier(channel)
        let isAdmitted = state.withLock { state -> Bool in
            guard !state.isStopped, state.connections.count < configuration.connectionsMax else { return false }
            state.connections[id] = channel
            return true
        }
        if isAdmitted {
            channel.closeFuture.whenComplete { _ in self.state.withLock { _ = $0.connections.removeValue(forKey: id) } }
        }
        return isAdmitted
    }

    private func configure(_ channel: any Channel) throws {
        guard let tls = configuration.tls else { return try configurePlain(channel) }
        let (handler, verdict) = tls.makeHandler()
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.pipeline.syncOperations.addHandler(
            GRPCServerNegotiation(configuration) { [unowned handler] channel, negotiated in
                tls.completeVerdict(verdict, handler)
                if negotiated == "h2" { return try self.install(on: channel, certificate: verdict.certificate) }
                try self.installOther(on: channel, certificate: verdict.certificate)
            })
    }

    private func configurePlain(_ channel: any Channel) throws {
        guard configuration.otherProtocol != nil else { return try install(on: channel, certificate: nil) }
        try channel.pipeline.syncOperations.addHandler(
            PrefaceSniffer(timeout: configuration.handshakeTimeout) { channel, isHTTP2 in
                if isHTTP2 { return try self.install(on: channel, certificate: nil) }
                try self.installOther(on: channel, certificate: nil)
            })
    }

    private func installOther(on channel: any Channel, certificate: ClientCertificate?) throws {
        guard let other = configuration.otherProtocol else { throw ChannelError.ioOnClosedChannel }
        try other(channel, certificate)
    }

    private func install(on channel: any Channel, certificate: ClientCertificate?) throws {
        try channel.pipeline.syncOperations.addHandler(GRPCServerConnection(configuration, service, certificate))
    }

    /// One connection's own part, for a channel without a socket.
    package static func handler(
        _ configuration: GRPCServerConfiguration, _ service: any GRPCService
    ) -> any ChannelHandler { GRPCServerConnection(configuration, service, nil) }

    /// Refuses new connections, says GOAWAY, lets calls end for `grace`, then closes what is left.
    package func stop(grace: TimeAmount) async {
        let (listener, connections) = state.withLock { state in
            state.isStopped = true
            return (state.listener, Array(state.connections.values))
        }
        if let listener { await closeQuietly(listener) }
        for channel in connections { channel.pipeline.fireUserInboundEventTriggered(GRPCServerConnection.Stopping()) }
        let deadline = NIODeadline.now() + grace
        while connectionCount > 0 && NIODeadline.now() < deadline { await pause(.milliseconds(10)) }
        let left = state.withLock { Array($0.connections.values) }
        // All at once: each may wait for the other side's last word.
        for channel in left { channel.close(promise: nil) }
        for channel in left { await closeQuietly(channel) }
    }

    private var connectionCount: Int { state.withLock { $0.connections.count } }

    private func pause(_ time: TimeAmount) async {
        let done = group.next().scheduleTask(in: time) {}
        await withCheckedContinuation { continuation in done.futureResult.whenComplete { _ in continuation.resume() } }
    }

    private func closeQuietly(_ channel: any Channel) async {
        channel.close(promise: nil)
        await withCheckedContinuation { continuation in channel.closeFuture.whenComplete { _ in continuation.resume() }
        }
    }
}

/// Waits for the end of the TLS handshake.
private final class GRPCServerNegotiation: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    private let configuration: GRPCServerConfiguration
    private let ready: (any Channel, String?) throws -> Void
    private var late: Scheduled<Void>?

    init(_ configuration: GRPCServerConfiguration, ready: @escaping (any Channel, String?) throws -> Void) {
        self.configuration = configuration
        self.ready = ready
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        late = context.eventLoop.scheduleTask(in: configuration.handshakeTimeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { late?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            try ready(context.channel, negotiated)
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        configuration.refused(address(of: context.channel), "handshake: \(error)")
        context.close(promise: nil)
    }
}

/// For logs.
func address(of channel: (any Channel)?) -> String { channel?.remoteAddress.map { "\($0)" } ?? "unknown" }
