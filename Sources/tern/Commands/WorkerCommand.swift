// `tern worker` and `tern gateway`: one worker of a cluster, and the development cluster's gateway, in the foreground.
import ArgumentParser
import Glibc
import Logging
import NIOPosix
import NetBalancer
import Network
import Worker

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Run a worker: kubelet, proxy, overlay network, DNS.")
    @Option(help: "The node's name.")
    var name: String
    @Option(help: "Where the data are kept; certificates in its folder pki.")
    var dataDir: String
    @Option(help: "The node's address.")
    var nodeIp: String
    @Option(name: [.customLong("masters"), .customLong("server")], help: "The masters: host:port,host:port,...")
    var masters: String
    @Option(help: "A bootstrap token (tern token create): the node asks for its certificates when it has none.")
    var token: String?
    @Option(help: "With --token: sha256:<hash of the cluster authority's certificate>, as tern token create prints it.")
    var caCertHash: String?
    @Flag(help: "Ask for the certificates, then end.")
    var joinOnly = false
    @Flag(inversion: .prefixedNo, help: "Replace certificates before they end.")
    var rotateCertificates = true
    @Option(
        help:
            "The cluster's identity directory: the node's certificate is issued from it when the data directory has none."
    )
    var identityDir: String?
    @Option(help: "A container runtime's socket; without one the worker runs a containerd of its own.")
    var containerRuntimeEndpoint: String?
    @Option(help: "The address of the Service kubernetes.")
    var serviceAddress = "10.96.0.1"
    @Option(help: "The address of the Service kube-dns.")
    var clusterDns = "10.96.0.10"
    @Option(help: "The cluster's DNS domain.")
    var clusterDomain = "cluster.local"
    @Option(help: "The range of pod addresses.")
    var clusterCidr = "10.244.0.0/16"
    @Option(help: "vxlan or host-gw.")
    var overlay = "vxlan"
    @Option(help: "Seconds after which the node's lease ends.")
    var nodeLeaseDurationSeconds = 8
    @OptionGroup var log: LogArguments

    func run() async throws {
        Signals.block()
        ProcessMemory.limitHeaps()
        let backends = masters.split(separator: ",").map { Backend(String($0)) }
        guard !backends.isEmpty, !backends.contains(nil) else {
            throw ValidationError("--masters is malformed: \(masters)")
        }
        if let identityDir {
            try NodeCertificate.ensure(
                name: name, address: nodeIp, dataDirectory: dataDir, identityDirectory: identityDir)
        }
        guard let backend = OverlayBackend(rawValue: overlay) else {
            throw ValidationError("--overlay is vxlan or host-gw, not \(overlay)")
        }
        var configuration = WorkerConfiguration(
            name: name, nodeAddress: nodeIp, dataDirectory: dataDir, masters: backends.compactMap(\.self))
        configuration.runtimeEndpoint = containerRuntimeEndpoint
        configuration.serviceAddress = serviceAddress
        configuration.dnsAddress = clusterDns
        configuration.clusterDomain = clusterDomain
        configuration.podNetwork = clusterCidr
        configuration.overlay = backend
        configuration.leaseSeconds = Int64(nodeLeaseDurationSeconds)
        configuration.egressProxy = getenv("TERN_EGRESS_PROXY").map { String(cString: $0) }
        configuration.egressDirect = getenv("TERN_EGRESS_DIRECT").map { String(cString: $0) }
        configuration.rotatesCertificates = rotateCertificates
        let logger = try log.logger("tern.worker")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        try await join(configuration, group, logger)
        if joinOnly { Glibc.exit(0) }
        ProcessMemory.keepSmall(trimsHeaps: true)
        let worker = try WorkerNode(configuration, group: group, logger: logger)
        let running = Task { try await worker.run() }
        Task {
            await Signals.wait()
            running.cancel()
        }
        try await running.value
        Glibc.exit(0)
    }

    private func join(
        _ configuration: WorkerConfiguration, _ group: MultiThreadedEventLoopGroup, _ logger: Logger
    ) async throws {
        guard let token else { return }
        guard NodeJoin.isToken(token) else { throw ValidationError("--token has the form abcdef.0123456789abcdef") }
        guard let caCertHash, caCertHash.hasPrefix("sha256:") else {
            throw ValidationError(
                "--token needs --ca-cert-hash sha256:...: without it anybody could pose as the cluster")
        }
        try await NodeJoin(
            node: name, address: nodeIp, servers: configuration.masters, token: token, authorityHash: caCertHash,
            files: configuration.files
        ).run(group: group, logger: logger)
    }
}

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway", abstract: "The development cluster's gateway.", shouldDisplay: false)
    @Option var clone: String
    @Option var port: Int
    @OptionGroup var log: LogArguments

    func run() async throws {
        Signals.block()
        ProcessMemory.limitHeaps()
        ProcessMemory.keepSmall(trimsHeaps: true)
        try await GatewayServer(layout: Layout(clone: clone), port: port, logger: try log.logger("tern.gateway")).run()
    }
}
