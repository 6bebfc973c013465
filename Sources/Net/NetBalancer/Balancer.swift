// Spreads TCP connections over servers without looking into them (TLS goes through untouched). A connection that a backend does not
// take is tried at the next one; a backend that fails while others answer loses its connections, so that clients come back
// through a healthy one.
// It must never hold a client's bytes without limit: each direction reads only while the other side takes.
import Logging
import NIOCore
import NIOPosix
import Synchronization

package struct BalancerConfiguration: Sendable {
    package var connectTimeout: TimeAmount = .milliseconds(500)
    /// Between rounds of probes while every backend is active and nobody waits for one.
    package var idleProbeInterval: TimeAmount = .seconds(1)
    /// Between rounds while a backend is failed or recovering.
    package var probeInterval: TimeAmount = .milliseconds(300)
    /// A backend that owes a client's bytes an answer for so long is probed at once.
    package var silenceMax: TimeAmount = .milliseconds(200)
    /// An answer that takes longer is a failed probe.
    package var probeTimeout: TimeAmount = .milliseconds(300)
    /// Failed probes in a row after which a backend counts as failed.
    package var probeFailuresMax = 2
    package var connectionsMax = 10_000

    package init() {}
}

package final class Balancer: Sendable {
    /// Whether a backend is healthy, answered within the time given; decides beside the success of connections.
    package typealias Probe = @Sendable (Backend, TimeAmount) async -> Bool

    /// Where the rounds of probes are.
    enum Round { case none, running, waiting(Scheduled<Void>) }

    struct Session {
        var backend: Backend
        var channel: any Channel
        var silence: Silence
    }

    struct State {
        var table: BackendTable
        var listeners: [any Channel] = []
        var sessions: [ObjectIdentifier: Session] = [:]
        var round = Round.none
        /// A look at the sessions' silence is scheduled.
        var isWatching = false
        var isStopped = false
    }

    let configuration: BalancerConfiguration
    let listenGroup: any EventLoopGroup
    let connectGroup: any EventLoopGroup
    let probe: Probe?
    let state: Mutex<State>
    private let logger: Logger

    /// Connections to backends are made on `connectGroup`, whose threads may live in another network namespace.
    package init(
        backends: [Backend], configuration: BalancerConfiguration = BalancerConfiguration(),
        listenGroup: any EventLoopGroup,
        connectGroup: (any EventLoopGroup)? = nil, probe: Probe? = nil, logger: Logger
    ) {
        self.configuration = configuration
        self.listenGroup = listenGroup
        self.connectGroup = connectGroup ?? listenGroup
        self.probe = probe
        self.logger = logger
        state = Mutex(
            State(table: BackendTable(backends, probeFailuresMax: configuration.probeFailuresMax)))
    }

    /// Listens on one more address; returns the bound port.
    package func listen(host: String, port: Int) async throws -> Int {
        // On the loop's thread, since a socket belongs to the network namespace of the thread that makes it.
        let channel = try await listenGroup.next().flatSubmit { [self] in
            ServerBootstrap(group: listenGroup)
                .serverChannelOption(.backlog, value: 1024)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { [self] client in
                    accept(client)
                    return client.eventLoop.makeSucceededVoidFuture()
                }
                .bind(host: host, port: port)
        }.get()
        state.withLock { $0.listeners.append(channel) }
        startProbing()
        return channel.localAddress?.port ?? port
    }

    package var backends: [(backend: Backend, state: BackendState, connections: Int)] {
        state.withLock { state in
            state.table.backends.map { ($0, state.table.state(of: $0) ?? .failed, state.table.connections(to: $0)) }
        }
    }

    /// Other backends from now on; connections to those that are gone are closed.
    package func replace(_ backends: [Backend]) {
        let gone = state.withLock { $0.table.replace(backends) }
        for backend in gone { closeSessions(of: backend) }
    }

    package func stop() async {
        let channels = state.withLock { state in
            if case .waiting(let next) = state.round { next.cancel() }
            defer {
                state.listeners = []
                state.sessions = [:]
                state.isStopped = true
            }
            return state.listeners + state.sessions.values.map(\.channel)
        }
        for channel in channels { channel.close(promise: nil) }
    }

    // MARK: - Connections

    private func accept(_ client: any Channel) {
        let order: [Backend] = state.withLock { state in
            state.sessions.count < configuration.connectionsMax ? state.table.order() : []
        }
        attempt(client, order[...])
    }

    private func attempt(_ client: any Channel, _ rest: ArraySlice<Backend>) {
        guard let backend = rest.first else {
            client.close(promise: nil)
            return
        }
        let loop = connectGroup.next()
        loop.execute { [self] in
            ClientBootstrap(group: loop)
                .connectTimeout(configuration.connectTimeout)
                .channelOption(.autoRead, value: false)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: backend.host, port: backend.port)
                .whenComplete { [self] result in
                    switch result {
                    case .success(let server): join(client, server, backend)
                    case .failure(let error):
                        noteFailure(backend, error)
                        attempt(client, rest.dropFirst())
                    }
                }
        }
    }

    private func join(_ client: any Channel, _ server: any Channel, _ backend: Backend) {
        let id = ObjectIdentifier(server)
        let silence = Silence()
        state.withLock { state in
            state.sessions[id] = Session(backend: backend, channel: server, silence: silence)
            state.table.opened(backend)
        }
        server.closeFuture.whenComplete { [self] _ in
            state.withLock { state in
                if state.sessions.removeValue(forKey: id) != nil { state.table.closed(backend) }
            }
        }
        splice(
            client, server, onRead: { [self] in if silence.asked() { watchSilence() } }, onAnswer: silence.answered)
    }

    private func noteFailure(_ backend: Backend, _ error: any Error) {
        let causes = (error as? NIOConnectionError)?.connectionErrors.map(\.error) ?? [error]
        if causes.contains(where: { $0 is IOError }) {
            giveUp(state.withLock { $0.table.refused(backend) })
        } else {
            state.withLock { $0.table.doubted(backend) }
            startRound()
        }
    }

    func giveUp(_ backends: [Backend]) {
        for backend in backends {
            logger.info("backend failed", metadata: ["backend": "\(backend)"])
            closeSessions(of: backend)
        }
    }

    private func closeSessions(of backend: Backend) {
        let channels = state.withLock { $0.sessions.values.filter { $0.backend == backend }.map(\.channel) }
        for channel in channels { channel.close(promise: nil) }
    }
}

/// Joins two channels whose `autoRead` is off: bytes, ends and back-pressure go both ways. `onRead` is called for bytes from
/// `left`, `onAnswer` for bytes from `right`.
package func splice(
    _ left: any Channel, _ right: any Channel, onRead: (@Sendable () -> Void)? = nil,
    onAnswer: (@Sendable () -> Void)? = nil
) {
    let first = left.pipeline.addHandler(SpliceHandler(right, onRead))
    let second = right.pipeline.addHandler(SpliceHandler(left, onAnswer))
    first.and(second).whenComplete { result in
        if case .failure = result {
            left.close(promise: nil)
            right.close(promise: nil)
            return
        }
        left.setOption(.autoRead, value: true).whenFailure { _ in left.close(promise: nil) }
        right.setOption(.autoRead, value: true).whenFailure { _ in right.close(promise: nil) }
    }
}

/// One direction of a splice; the partner may live on another event loop.
private final class SpliceHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let partner: any Channel
    private let onRead: (@Sendable () -> Void)?

    init(_ partner: any Channel, _ onRead: (@Sendable () -> Void)?) {
        self.partner = partner
        self.onRead = onRead
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        onRead?()
        partner.write(unwrapInboundIn(data), promise: nil)
        if !partner.isWritable { context.channel.setOption(.autoRead, value: false).whenFailure { _ in } }
    }

    func channelReadComplete(context: ChannelHandlerContext) { partner.flush() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner.setOption(.autoRead, value: true).whenFailure { _ in } }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { partner.close(mode: .output, promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        partner.close(promise: nil)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
