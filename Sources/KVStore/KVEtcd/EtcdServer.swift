// The listeners of a member: for clients gRPC over HTTP/2, and on the same port HTTP/1.1 for probes and `/metrics`;
// for monitoring alone, where it is wanted, plain HTTP without data. It also tells the other members how clients reach
// this one. It must never serve before its replica was started.
import KVCore
import KVReplica
import Logging
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI
import Raft
import Synchronization

/// An address to listen on. `tls` nil: plain text; its protocols should be `h2` and `http/1.1`.
package struct EtcdListener: Sendable {
    package var host: String
    package var port: Int
    package var tls: ServerTLS?

    package init(host: String, port: Int, tls: ServerTLS?) {
        self.host = host
        self.port = port
        self.tls = tls
    }
}

/// Serves one replica to etcd's clients.
package final class EtcdServer: Sendable {
    private let clients: [GRPCServer]
    private let monitors: [HTTPServer]
    /// What came in on a client port and speaks HTTP/1.1.
    private let plain: HTTPServer
    private let replica: Replica
    private let advertised: [String]

    /// One address for clients; without TLS for loopback only.
    package convenience init(
        _ replica: Replica, _ configuration: EtcdConfiguration, host: String, port: Int, tls: ServerTLS?,
        group: any EventLoopGroup, logger: Logger
    ) {
        self.init(
            replica, configuration, clients: [EtcdListener(host: host, port: port, tls: tls)], monitors: [],
            group: group, logger: logger)
    }

    /// `monitors` serve probes and metrics and nothing else.
    package init(
        _ replica: Replica, _ configuration: EtcdConfiguration, clients: [EtcdListener], monitors: [EtcdListener],
        group: any EventLoopGroup, logger: Logger
    ) {
        self.replica = replica
        advertised = configuration.advertisedURLs
        let registry = MetricsRegistry()
        ProcessMetrics.register(registry)
        StoreMetrics(registry).follow(replica, version: configuration.version)
        let web = EtcdWeb(replica, version: configuration.version, metrics: registry)
        let answers = HTTPClosureService { request, response in
            web.answer(method: request.method, target: request.target) { answer in
                response.send(
                    status: answer.status, headers: [("content-type", answer.contentType)],
                    body: ByteBuffer(string: answer.body))
            }
        }
        let plain = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0), service: answers, group: group,
            logger: logger)
        self.plain = plain
        self.monitors = monitors.map { listener in
            HTTPServer(
                configuration: HTTPServerConfiguration(host: listener.host, port: listener.port, tls: listener.tls),
                service: answers, group: group, logger: logger)
        }
        let service = EtcdService(replica, configuration, metrics: registry)
        let traffic = GRPCTraffic()
        Self.follow(traffic, registry)
        self.clients = clients.map { listener in
            var settings = GRPCServerConfiguration(
                address: .tcp(host: listener.host, port: listener.port), tls: listener.tls)
            settings.traffic = traffic
            settings.messageBytesMax = configuration.messageBytesMax
            settings.streamsMax = configuration.streamsMax
            settings.otherProtocol = { channel, certificate in try plain.adopt(channel, certificate: certificate) }
            settings.refused = { address, why in
                logger.info("client refused", metadata: ["address": "\(address)", "why": "\(why)"])
            }
            settings.plainRequest = { request in
                web.answer(method: request.method, target: request.target, request.answer)
            }
            return GRPCServer(configuration: settings, service: service, group: group)
        }
    }

    private static func follow(_ traffic: GRPCTraffic, _ registry: MetricsRegistry) {
        let received = registry.counter(
            "etcd_network_client_grpc_received_bytes_total", help: "Bytes received from gRPC clients, frames included.")
        let sent = registry.counter(
            "etcd_network_client_grpc_sent_bytes_total", help: "Bytes sent to gRPC clients, frames included.")
        registry.onCollect {
            received.set(Double(traffic.receivedBytes.load(ordering: .relaxed)))
            sent.set(Double(traffic.sentBytes.load(ordering: .relaxed)))
        }
    }

    /// Binds and serves; answers the bound ports for clients.
    @discardableResult
    package func start() async throws -> [Int] {
        var ports: [Int] = []
        for server in clients { ports.append(try await server.start()) }
        for server in monitors { _ = try await server.start() }
        if !advertised.isEmpty || replica.status.isWitness {
            Task { [replica, advertised] in await replica.settleIn(clientURLs: advertised) }
        }
        return ports
    }

    package func stop(grace: TimeAmount) async {
        await plain.stop(grace: .milliseconds(10))
        for server in monitors { await server.stop(grace: .milliseconds(10)) }
        await withTaskGroup { stopping in
            for server in clients { stopping.addTask { await server.stop(grace: grace) } }
        }
    }
}
