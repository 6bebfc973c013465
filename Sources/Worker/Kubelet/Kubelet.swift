// The node agent: starts its parts, joins them and stops them. What runs on the node outlives it: stopping the kubelet
// stops no container, and a kubelet that starts finds and keeps what runs.
import API
import Logging
import NIOCore
import NetHTTP
import NetPKI

package final class Kubelet: Sendable {
    private let configuration: KubeletConfiguration
    private let executor: PodExecutor
    private let loop: KubeletLoop
    private let agent: NodeAgent
    private let housekeeping: Housekeeping
    private let source: PodSource
    private let server: HTTPServer?
    private let prober: ProbeExecutor
    private let events: RuntimeEvents
    private let logger: Logger
    /// Metrics of this kubelet; the worker may add its own.
    package let metrics: MetricsRegistry

    /// `events` lets the kubelet see the end of a container at once; `onPodCIDRs` is called whenever the API names
    /// (other) address ranges for this node's pods, `onHostPorts` whenever other ports of the node lead to pods.
    package init(
        configuration: KubeletConfiguration, client: any ObjectClient, runtime: any ContainerRuntime,
        group: any EventLoopGroup,
        logger: Logger, metrics: MetricsRegistry = MetricsRegistry(), events: RuntimeEvents? = nil,
        onPodCIDRs: @escaping @Sendable ([String]) -> Void = { _ in },
        onHostPorts: @escaping @Sendable ([HostPort]) -> Void = { _ in }
    ) throws(PKIError) {
        // On a connection of its own: the stream lives as long as the kubelet.
        let connection = RuntimeClient.connect(endpoint: configuration.runtimeEndpoint, group: group)
        self.events = events ?? RuntimeEvents(channel: connection.channel, logger: logger)
        self.configuration = configuration
        self.logger = logger
        self.metrics = metrics
        let facts = MachineFacts.read(rootDirectory: configuration.rootDirectory)
        prober = try ProbeExecutor(runtime: runtime, group: group, logger: logger)
        let executor = PodExecutor(
            configuration: configuration, machine: facts, runtime: runtime, client: client, prober: prober,
            logger: logger)
        let loop = KubeletLoop(
            executor: executor, relistEvery: configuration.relistEvery, logger: logger, onHostPorts: onHostPorts)
        self.executor = executor
        self.loop = loop
        agent = NodeAgent(
            configuration: configuration, facts: facts, client: client, runtime: runtime,
            lookedAt: { loop.lookedAt },
            events: executor.events, logger: logger, onPodCIDRs: onPodCIDRs)
        KubeletMetrics.register(in: metrics, loop: loop, nodeName: configuration.nodeName)
        housekeeping = Housekeeping(executor: executor, loop: loop, logger: logger)
        source = PodSource(client: client, nodeName: configuration.nodeName, logger: logger) { loop.tell($0) }
        server = configuration.serverTLS.map { tls in
            let http = HTTPServerConfiguration(host: configuration.listenHost, port: configuration.port, tls: tls)
            let service = KubeletService(executor: executor, loop: loop, metrics: metrics, group: group, logger: logger)
            return HTTPServer(configuration: http, service: service, group: group, logger: logger)
        }
    }

    /// Runs until the task is cancelled or `stop` is called. Throws when the server's port is not to be had.
    package func run() async throws {
        try Files.makeDirectory(configuration.rootDirectory, mode: 0o750)
        if let server { _ = try await server.start() }
        logger.info("kubelet started", metadata: ["node": "\(configuration.nodeName)"])
        await withTaskGroup(of: Void.self) { group in
            for part in [source.run, agent.run, housekeeping.run] as [@Sendable () async -> Void] {
                group.addTask { await part() }
            }
            group.addTask { [loop, events] in await events.run { loop.look() } }
            // The loop ends on `stop` or with this task; then everything else does.
            await loop.run()
            group.cancelAll()
        }
        await server?.stop(grace: .seconds(1))
        await prober.shutdown()
    }

    /// Ends `run`; containers keep running.
    package func stop() { loop.stop() }

    /// Looks at the runtime at once (something outside says that it changed).
    package func poke() { loop.look() }
}
