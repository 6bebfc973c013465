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
    package var probeInterval: TimeAmount = .milliseconds(300)
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

    private struct State {
        var table: BackendTable
        var listeners: [any Channel] = []
        var sessions: [ObjectIdentifier: (backend: Backend, channel: any Channel)] = [:]
        var probing: Task<Void, Never>?
    }

    private let configuration: BalancerConfiguration
    private let listenGroup: any EventLoopGroup
    private let connectGroup: any EventLoopGroup
    private let probe: Probe?
    private let logger: Logger
    private let state: Mutex<State>

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
        let (listeners, sessions, task) = state.withLock { state in
            defer {
                state.listeners = []
                state.sessions = [:]
                state.probing = nil
            }
            return (state.listeners, state.sessions, state.probing)
        }
        task?.cancel()
        for channel in listeners + sessions.values.map(\.channel) { channel.close(promise: nil) }
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
        state.withLock { state in
            state.sessions[id] = (backend, server)
            state.table.opened(backend)
        }
        server.closeFuture.whenComplete { [self] _ in
            state.withLock { state in
                if state.sessions.removeValue(forKey: id) != nil { state.table.closed(backend) }
            }
        }
        splice(client, server)
    }

    private func noteFailure(_ backend: Backend, _ error: any Error) {
        let causes = (error as? NIOConnectionError)?.connectionErrors.map(\.error) ?? [error]
        if causes.contains(where: { $0 is IOError }) {
            giveUp(state.withLock { $0.table.refused(backend) })
        } else {
            state.withLock { $0.table.doubted(backend) }
        }
    }

    private func giveUp(_ backends: [Backend]) {
        for backend in backends {
            logger.info("backend failed", metadata: ["backend": "\(backend)"])
            closeSessions(of: backend)
        }
    }

    private func closeSessions(of backend: Backend) {
        let channels = state.withLock { $0.sessions.values.filter { $0.backend == backend }.map(\.channel) }
        for channel in channels { channel.close(promise: nil) }
    }

    // MARK: - Probes

    private func startProbing() {
        state.withLock { state in
            if state.probing == nil { state.probing = Task { await self.probeForever() } }
        }
    }

    private func probeForever() async {
        while !Task.isCancelled {
            // A doubt is settled at once: a client may be waiting on a master that is frozen.
            let isInDoubt = state.withLock { $0.table.isInDoubt }
            let pause = isInDoubt ? .milliseconds(1) : configuration.probeInterval
            do { try await Task.sleep(for: .nanoseconds(pause.nanoseconds)) } catch { return }
            let backends = state.withLock { $0.table.backends }
            let answers = await withTaskGroup(of: (Backend, Bool).self) { group in
                for backend in backends { group.addTask { (backend, await self.check(backend)) } }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            if !Task.isCancelled { giveUp(state.withLock { $0.table.probed(answers) }) }
        }
    }

    private func check(_ backend: Backend) async -> Bool {
        if let probe { await probe(backend, configuration.probeTimeout) } else { await connects(backend) }
    }

    private func connects(_ backend: Backend) async -> Bool {
        let loop = connectGroup.next()
        do {
            let channel = try await loop.flatSubmit { [configuration] in
                ClientBootstrap(group: loop).connectTimeout(configuration.connectTimeout).connect(
                    host: backend.host, port: backend.port)
            }.get()
            channel.close(promise: nil)
            return true
        } catch {
            return false
        }
    }
}

/// Joins two channels whose `autoRead` is off: bytes, ends and back-pressure go both ways.
package func splice(_ left: any Channel, _ right: any Channel) {
    let first = left.pipeline.addHandler(SpliceHandler(right))
    let second = right.pipeline.addHandler(SpliceHandler(left))
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

    init(_ partner: any Channel) { self.partner = partner }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
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
