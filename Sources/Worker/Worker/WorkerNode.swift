// One worker: balancer, container runtime, kubelet, proxy, network and DNS in one process. It stops no container when it stops:
// what runs on the node goes on, and the next start finds it.
import API
import APIClient
import DNSServer
import Glibc
import Kubelet
import Logging
import NIOCore
import NetBalancer
import NetHTTP
import NetPKI
import Network

package final class WorkerNode: Sendable {
    private let configuration: WorkerConfiguration
    private let group: any EventLoopGroup
    private let logger: Logger
    private let balancer: Balancer
    private let client: RESTClient
    private let clientTLS: ClientTLS
    private let servingTLS: ServerTLS
    private let services: ServiceAgent
    private let network: NetworkAgent
    private let dns: DNSService
    private let hostPorts: HostPortAgent

    /// Reads the certificates; nothing is started yet.
    package init(_ configuration: WorkerConfiguration, group: any EventLoopGroup, logger: Logger) throws {
        self.configuration = configuration
        self.group = group
        self.logger = logger
        let authority = try PEMFile.read(configuration.files.authority)
        let tls = try ClientTLS(trustRootsPEM: authority, identity: try configuration.files.clientIdentity())
        clientTLS = tls
        servingTLS = try ServerTLS(identity: try configuration.files.servingIdentity(), clientCAPEM: authority)
        let prober = HTTPClient(configuration: HTTPClientConfiguration(tls: tls), group: group, logger: logger)
        balancer = Balancer(
            backends: configuration.masters, listenGroup: group, probe: MasterProbe(prober).check(_:within:),
            logger: logger)
        client = try RESTClient(
            RESTClientConfiguration(servers: ["https://127.0.0.1:\(configuration.balancerPort)"], tls: tls),
            group: group, logger: logger)
        guard let zone = Zone(domain: configuration.clusterDomain) else {
            throw WorkerError("no domain: \(configuration.clusterDomain)")
        }
        let shared = SharedZone(zone)
        let local: Set<String> = [configuration.serviceAddress, configuration.dnsAddress]
        services = ServiceAgent(
            client: client, node: configuration.name, localAddresses: local, podNetwork: configuration.podNetwork,
            zone: shared, logger: logger)
        network = NetworkAgent(configuration: configuration, client: client, logger: logger)
        hostPorts = HostPortAgent(logger: logger)
        dns = DNSService(
            configuration: DNSConfiguration(
                host: configuration.dnsAddress, domain: configuration.clusterDomain,
                upstreams: try Self.upstreams(local)),
            zone: shared, group: group, logger: logger)
    }

    /// Runs until the task is cancelled or a part cannot go on.
    package func run() async throws {
        try LocalAddresses.add([configuration.serviceAddress, configuration.dnsAddress])
        _ = try await balancer.listen(host: "127.0.0.1", port: configuration.balancerPort)
        _ = try await balancer.listen(host: configuration.serviceAddress, port: 443)
        try await dns.start()
        let containerd = ownRuntime()
        let child = try containerd?.ensureRunning()
        let kubelet = try await makeKubelet()
        let health = try await startProxyHealth()
        logger.info("worker started", metadata: ["name": "\(configuration.name)"])
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await kubelet.run() }
                group.addTask { await self.network.run() }
                group.addTask { await self.hostPorts.run() }
                if configuration.rotatesCertificates { group.addTask { await self.rotation.run() } }
                group.addTask { try await self.services.run() }
                if let containerd { group.addTask { await containerd.keepRunning(child, logger: self.logger) } }
                try await group.next()
                group.cancelAll()
            }
        } catch is CancellationError {
            logger.info("worker stopped")
        }
        await health.stop(grace: .seconds(1))
        await dns.stop()
        await balancer.stop()
    }

    private var rotation: CertificateRotation {
        CertificateRotation(
            node: configuration.name, address: configuration.nodeAddress, files: configuration.files, client: client,
            clientTLS: clientTLS, servingTLS: servingTLS, logger: logger)
    }

    /// Our containerd, unless the operator named another runtime.
    private func ownRuntime() -> Containerd? {
        guard configuration.runtimeEndpoint == nil else { return nil }
        var environment = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        if let proxy = configuration.egressProxy {
            for name in ["HTTP_PROXY", "HTTPS_PROXY"] { environment[name] = proxy }
            environment["NO_PROXY"] = configuration.egressDirect ?? ""
        }
        return Containerd(
            dataDirectory: configuration.dataDirectory, logFile: "\(configuration.dataDirectory)/containerd.log",
            environment: environment)
    }

    private func makeKubelet() async throws -> Kubelet {
        let endpoint = configuration.runtimeEndpoint ?? "unix://\(Containerd.socket)"
        var settings = KubeletConfiguration(nodeName: configuration.name, nodeIPs: [configuration.nodeAddress])
        settings.runtimeEndpoint = endpoint
        settings.clusterDNS = [configuration.dnsAddress]
        settings.clusterDomain = configuration.clusterDomain
        settings.sandboxImage = PauseImage.reference
        settings.port = configuration.kubeletPort
        settings.leaseSeconds = configuration.leaseSeconds
        settings.serverTLS = servingTLS
        let runtime = RuntimeClient.connect(endpoint: endpoint, group: group).client
        let (network, hostPorts) = (network, hostPorts)
        return try Kubelet(
            configuration: settings, client: client, runtime: runtime, group: group, logger: logger,
            onPodCIDRs: { network.setPodRanges($0) }, onHostPorts: { hostPorts.set($0) })
    }

    /// `/healthz` of the proxy: 200 once the rules have agreed with the services.
    private func startProxyHealth() async throws -> HTTPServer {
        let services = services
        let service = HTTPClosureService { request, response in
            let isHealthy = services.lastSync != nil
            let known = ["/healthz", "/livez", "/readyz"].contains(request.path)
            let body = ByteBuffer(
                string: known ? (isHealthy ? "ok" : "the rules are not in place yet") : "404 page not found\n")
            response.send(
                status: known ? (isHealthy ? 200 : 503) : 404, headers: [("content-type", "text/plain; charset=utf-8")],
                body: body)
        }
        let server = HTTPServer(
            configuration: HTTPServerConfiguration(host: "0.0.0.0", port: configuration.proxyHealthPort),
            service: service, group: group, logger: logger)
        _ = try await server.start()
        return server
    }

    /// The machine's own DNS servers, without ourselves.
    private static func upstreams(_ local: Set<String>) throws -> [String] {
        guard Files.exists("/etc/resolv.conf") else { return [] }
        return try Files.text("/etc/resolv.conf").split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count > 1, words[0] == "nameserver", !local.contains(String(words[1])) else { return nil }
            return String(words[1])
        }
    }
}
