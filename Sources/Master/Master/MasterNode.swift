// One master: the replica, the API server over it, and the loops that act where the leader is. Starts them in order and stops them in
// the reverse order; leadership is handed over before anything ends.
import API
import APIServer
import Cloud
import Controllers
import KVCore
import KVEtcd
import KVReplica
import Logging
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI
import Raft
import Scheduler
import Synchronization

package final class MasterNode: Sendable {
    private let configuration: MasterConfiguration
    private let identity: ClusterIdentity
    private let replica: Replica
    private let server: APIServer
    private let http: HTTPServer
    private let etcd: EtcdServer?
    private let controllers: ControllerGroup
    private let scheduler: SchedulerLoop
    private let bootstrap: BootstrapDuty
    private let cloud: CloudControllers?
    private let logger: Logger

    /// Reads the identity and opens the data; nothing listens yet.
    package init(_ configuration: MasterConfiguration, group: any EventLoopGroup, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        identity = try ClusterIdentity(directory: configuration.identityDirectory)
        replica = try Replica(Self.replicaConfiguration(configuration, identity, logger))
        let schema = SchemaTable()
        let metrics = MetricsRegistry()
        var settings = APIServerConfiguration(name: configuration.name)
        let kubelet = try identity.kubeletClientCertificate()
        settings.kubelet = KubeletAccess(
            tls: try ClientTLS(trustRootsPEM: identity.clusterCA.certificatePEM, identity: try TLSIdentity(kubelet)))
        var policies = PolicyConfiguration(
            serviceAccountKey: identity.serviceAccountKey,
            issuer: "https://kubernetes.default.svc.\(configuration.clusterDomain)")
        policies.notReadyTolerationSeconds = configuration.notReadyTolerationSeconds
        policies.unreachableTolerationSeconds = configuration.unreachableTolerationSeconds
        let policy = Policy(policies)
        server = APIServer(
            settings, store: replica, schema: schema, policy: policy.server, metrics: metrics, group: group,
            logger: logger)
        StoreMetrics(metrics).follow(replica)
        http = try Self.httpServer(
            configuration, identity,
            MasterService(server: server, replica: replica, authority: identity.clusterCA.certificatePEM), group, logger
        )
        etcd = try Self.etcdServer(configuration, identity, replica, group, logger)
        let reader = server.client()
        controllers = ControllerGroup(client: reader, options: Self.controllerOptions(configuration, identity, schema))
        scheduler = SchedulerLoop(client: reader, options: SchedulerOptions(identity: configuration.name))
        bootstrap = BootstrapDuty(configuration: configuration, logger: logger)
        cloud = try Self.cloud(configuration, client: reader)
    }

    /// Opens the replica, then the API; returns when requests are taken.
    package func start() async throws {
        try await replica.start()
        server.start()
        let port = try await http.start()
        if let etcd { _ = try await etcd.start() }
        logger.info("master started", metadata: ["name": "\(configuration.name)", "port": "\(port)"])
        controllers.start()
        scheduler.start()
        cloud?.start()
        replica.onLeadership { [self] leadership in
            switch leadership {
            case .leading(let fence): lead(fence)
            case .following: follow()
            }
        }
    }

    /// Hands leadership over, lets requests under way end, closes the data.
    package func stop() async {
        server.drain()
        follow()
        do {
            if replica.status.role == .leader { try await replica.transferLeadership(to: nil) }
        } catch {
            logger.warning("leadership was not handed over: \(error)")
        }
        await http.stop(grace: .seconds(2))
        await etcd?.stop(grace: .seconds(1))
        controllers.stop()
        scheduler.stop()
        cloud?.stop()
        await replica.stop()
    }

    private func lead(_ fence: Term) {
        logger.info("leading", metadata: ["term": "\(fence.rawValue)"])
        let client = server.client(fence: fence)
        controllers.activate(client: client)
        scheduler.activate(client: client)
        cloud?.activate(client: client)
        bootstrap.activate(client: client, masters: { [replica] in replica.status.members.map(\.host) })
    }

    private func follow() {
        controllers.deactivate()
        scheduler.deactivate()
        cloud?.deactivate()
        bootstrap.deactivate()
    }

    // MARK: - Settings of the parts

    private static func replicaConfiguration(
        _ configuration: MasterConfiguration, _ identity: ClusterIdentity, _ logger: Logger
    ) throws -> ReplicaConfiguration {
        guard let me = configuration.peers.first(where: { $0.name == configuration.name }) else {
            throw MasterError("--initial-cluster does not name this master, \(configuration.name)")
        }
        let certificate = try identity.peerCertificate(
            name: configuration.name, addresses: [configuration.advertiseAddress])
        let tls = PeerTLS(
            certificatePEM: certificate.certificatePEM, keyPEM: certificate.keyPEM,
            authorityPEM: identity.storeCA.certificatePEM)
        return ReplicaConfiguration(
            dataDirectory: "\(configuration.dataDirectory)/store", id: me.id, name: me.name,
            clusterID: fnv64(configuration.clusterToken),
            initialPeers: configuration.peers, listenHost: configuration.listenHost, listenPort: configuration.peerPort,
            tls: tls, logger: logger)
    }

    private static func httpServer(
        _ configuration: MasterConfiguration, _ identity: ClusterIdentity, _ service: MasterService,
        _ group: any EventLoopGroup, _ logger: Logger
    ) throws -> HTTPServer {
        let serving = try identity.servingCertificate(
            name: configuration.name, addresses: [configuration.advertiseAddress],
            serviceAddress: configuration.serviceAddress,
            clusterDomain: configuration.clusterDomain)
        let tls = try ServerTLS(identity: try TLSIdentity(serving), clientCAPEM: identity.clusterCA.certificatePEM)
        var http = HTTPServerConfiguration(host: configuration.listenHost, port: configuration.apiPort, tls: tls)
        http.errorResponder = APIServer.answer(to:)
        return HTTPServer(configuration: http, service: service, group: group, logger: logger)
    }

    /// Outside clients may read everything and write everything but the API's own objects.
    private static func etcdServer(
        _ configuration: MasterConfiguration, _ identity: ClusterIdentity, _ replica: Replica,
        _ group: any EventLoopGroup, _ logger: Logger
    ) throws -> EtcdServer? {
        guard configuration.etcdPort != 0 else { return nil }
        let certificate = try identity.peerCertificate(
            name: configuration.name, addresses: [configuration.advertiseAddress])
        let tls = try ServerTLS(
            identity: try TLSIdentity(certificate), clientCAPEM: identity.storeCA.certificatePEM, policy: .required)
        var settings = EtcdConfiguration(clusterID: replica.configuration.clusterID)
        settings.readOnlyPrefix = Key("/registry/")
        let port = configuration.etcdPort
        settings.clientURLs = { ["https://\($0.host):\(port)"] }
        return EtcdServer(
            replica, settings, host: configuration.listenHost, port: port, tls: tls, group: group, logger: logger)
    }

    private static func cloud(
        _ configuration: MasterConfiguration, client: any ObjectClient
    ) throws -> CloudControllers? {
        guard let addresses = configuration.cloudAddresses else { return nil }
        guard let provider = StaticPoolProvider(pool: addresses) else {
            throw MasterError("an address of the load balancers' pool cannot be read: \(addresses)")
        }
        return CloudControllers(client: client, provider: provider, identity: configuration.name)
    }

    private static func controllerOptions(
        _ configuration: MasterConfiguration, _ identity: ClusterIdentity, _ schema: SchemaTable
    ) -> ControllerOptions {
        let served = schema.served.map {
            ServedResource($0.resource, kind: $0.kind.kind, isNamespaced: $0.isNamespaced, verbs: Set($0.verbs))
        }
        var options = ControllerOptions(
            identity: configuration.name, rootCA: identity.clusterCA.certificatePEM, served: served,
            authority: SigningAuthority.make(identity.clusterCA))
        options.podRange = PodRange(configuration.podNetwork, nodePrefix: configuration.nodePrefix)
        options.nodeLifecycle.monitorPeriodMilliseconds = configuration.nodeMonitorPeriodMilliseconds
        options.nodeLifecycle.gracePeriodMilliseconds = configuration.nodeMonitorGraceMilliseconds
        return options
    }
}

/// A setting that cannot be.
package struct MasterError: Error, CustomStringConvertible {
    package var description: String
    init(_ description: String) { self.description = description }
}
