// The listener: binds, accepts with a limit, keeps track of its connections so that it can stop gracefully.
// The event loops are the caller's. It must never leave a connection open after `stop`.
import Logging
import NIOCore
import NIOPosix
import NetPKI
import Synchronization

/// Why a server did not start.
package enum HTTPServerStartError: Error, CustomStringConvertible {
    case bind(String)

    package var description: String {
        switch self {
        case .bind(let why): "bind: \(why)"
        }
    }
}

/// Serves HTTP/1.1 and HTTP/2 on one port.
package final class HTTPServer: Sendable {
    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isStopped = false
    }

    private let shared: ServerShared
    private let group: any EventLoopGroup
    private let state = Mutex(State())

    package init(
        configuration: HTTPServerConfiguration, service: any HTTPService, group: any EventLoopGroup,
        logger: Logger = Logger(label: "http")
    ) {
        shared = ServerShared(configuration: configuration, service: service, logger: logger)
        self.group = group
    }

    /// Connections that are open now.
    package var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Binds and serves; returns the bound port.
    package func start() async throws(HTTPServerStartError) -> Int {
        let configuration = shared.configuration
        do {
            let listener = try await bootstrap().bind(host: configuration.host, port: configuration.port).get()
            state.withLock { $0.listener = listener }
            return listener.localAddress?.port ?? configuration.port
        } catch {
            throw .bind("\(configuration.host):\(configuration.port): \(error)")
        }
    }

    private func bootstrap() -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard self.admit(channel) else { throw ChannelError.ioOnClosedChannel }
                    SocketKeepAlive.enable(on: channel)
                    try ServerPipeline.configure(channel, shared: self.shared)
                }
            }
    }

    /// Serves HTTP/1.1 on a connection that another listener accepted, whose TLS (if any) is set up.
    package func adopt(_ channel: any Channel, certificate: ClientCertificate?) throws {
        guard admit(channel) else { throw ChannelError.ioOnClosedChannel }
        let connection = ServerConnection(
            shared: shared, remoteAddress: channel.remoteAddress.map(describe) ?? "", isSecure: certificate != nil)
        connection.clientCertificate = certificate
        try ServerPipeline.addHTTP1(channel.pipeline.syncOperations, connection)
    }

    private func admit(_ channel: any Channel) -> Bool {
        let id = ObjectIdentifier(channel)
        let isAdmitted = state.withLock { state -> Bool in
            guard !state.isStopped, state.connections.count < shared.configuration.connectionsMax else { return false }
            state.connections[id] = channel
            return true
        }
        if isAdmitted {
            channel.closeFuture.whenComplete { _ in self.state.withLock { _ = $0.connections.removeValue(forKey: id) } }
        }
        return isAdmitted
    }

    /// Refuses new connections, sends GOAWAY, lets requests end for `grace`, then closes what is left.
    package func stop(grace: TimeAmount) async {
        let (listener, connections) = state.withLock { state in
            state.isStopped = true
            return (state.listener, Array(state.connections.values))
        }
        if let listener { await closeQuietly(listener) }
        for channel in connections { channel.pipeline.fireUserInboundEventTriggered(ServerStopping()) }
        let deadline = NIODeadline.now() + grace
        while connectionCount > 0 && NIODeadline.now() < deadline {
            await pause(.milliseconds(10))
        }
        let left = state.withLock { Array($0.connections.values) }
        // All at once: each may wait for the other side's last word.
        for channel in left { channel.close(promise: nil) }
        for channel in left { await closeQuietly(channel) }
    }

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

/// Socket options that find a dead peer although nothing is sent: 30 s idle, 3 probes 10 s apart, and no
/// acknowledgement for 30 s of what was sent.
enum SocketKeepAlive {
    static func enable(on channel: any Channel) {
        guard let options = channel.syncOptions, channel.remoteAddress?.protocol != .unix else { return }
        let settings: [(ChannelOptions.Types.SocketOption, SocketOptionValue)] = [
            (.init(level: .socket, name: .so_keepalive), 1),
            (.init(level: .tcp, name: .init(rawValue: 4)), 30),
            (.init(level: .tcp, name: .init(rawValue: 5)), 10),
            (.init(level: .tcp, name: .init(rawValue: 6)), 3),
            (.init(level: .tcp, name: .init(rawValue: 18)), 30_000)
        ]
        for (option, value) in settings {
            do { try options.setOption(option, value: value) } catch { return }
        }
    }
}
