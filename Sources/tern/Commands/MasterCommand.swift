// `tern master`: one master of a cluster, in the foreground.
import ArgumentParser
import CLinux
import Glibc
import Logging
import Master
import NIOPosix
import Worker

struct LogArguments: ParsableArguments {
    @Option(help: "trace, debug, info, notice, warning, error, critical.")
    var logLevel = "info"

    func logger(_ label: String) throws -> Logger {
        guard let level = Logger.Level(rawValue: logLevel) else {
            throw ValidationError("no such log level: \(logLevel)")
        }
        var logger = Logger(label: label, factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = level
        return logger
    }
}

struct MasterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "master", abstract: "Run a master: replicated store, API server, scheduler, controllers.")
    @Option(help: "This master's name, as in --initial-cluster.")
    var name: String
    @Option(help: "Where the data are kept.")
    var dataDir: String
    @Option(
        help:
            "The cluster's identity: certificate authorities and the service-account key. Made when it is empty. [default: <data-dir>/pki]"
    )
    var pkiDir: String?
    @Option(help: "The address by which others reach this master.")
    var advertiseAddress: String
    @Option(help: "The members of a new cluster: m1=https://10.0.0.1:2380,m2=...")
    var initialCluster: String
    @Option(help: "Keeps clusters apart.")
    var initialClusterToken = "tern"
    @Option(help: "The address to listen on.")
    var bindAddress = "0.0.0.0"
    @Option(help: "The API's port.")
    var securePort = 6443
    @Option(help: "The address of the Service kubernetes.")
    var serviceAddress = "10.96.0.1"
    @Option(help: "The address of the Service kube-dns.")
    var clusterDns = "10.96.0.10"
    @Option(help: "The cluster's DNS domain.")
    var clusterDomain = "cluster.local"
    @Option(help: "The range of pod addresses.")
    var clusterCidr = "10.244.0.0/16"
    @Option(help: "Bits of a node's pod range.")
    var nodeCidrMaskSize = 24
    @Option(help: "Seconds between looks at the nodes.")
    var nodeMonitorPeriod = 1
    @Option(help: "Seconds without a sign of life after which a node is not ready.")
    var nodeMonitorGracePeriod = 8
    @Option(help: "Seconds that pods tolerate a node that is not ready, unless they say otherwise.")
    var defaultNotReadyTolerationSeconds = 10
    @Option(help: "Seconds that pods tolerate a node that cannot be reached, unless they say otherwise.")
    var defaultUnreachableTolerationSeconds = 10
    @Option(help: "none, or static: load balancers get addresses from --load-balancer-addresses.")
    var cloudProvider = CloudProviderName.none
    @Option(
        help: "With --cloud-provider static: addresses, ranges a-b and CIDRs that the network leads to the workers.")
    var loadBalancerAddresses = ""
    @OptionGroup var log: LogArguments

    enum CloudProviderName: String, ExpressibleByArgument, CaseIterable { case none, `static` }

    func validate() throws {
        guard cloudProvider != .static || !loadBalancerAddresses.isEmpty else {
            throw ValidationError("--cloud-provider static needs --load-balancer-addresses")
        }
    }

    func run() async throws {
        Signals.block()
        tern_tune_allocator()
        guard let members = InitialMember.parse(initialCluster) else {
            throw ValidationError("--initial-cluster is malformed: \(initialCluster)")
        }
        guard let me = members.first(where: { $0.name == name }) else {
            throw ValidationError("--initial-cluster does not name \(name)")
        }
        let pki = pkiDir ?? "\(dataDir)/pki"
        for folder in [dataDir, "\(dataDir)/store", pki] { try Files.makeDirectory(folder, mode: 0o700) }
        var configuration = MasterConfiguration(
            name: name, dataDirectory: dataDir, identityDirectory: pki, advertiseAddress: advertiseAddress,
            initialCluster: members)
        configuration.clusterToken = initialClusterToken
        configuration.listenHost = bindAddress
        configuration.apiPort = securePort
        configuration.peerPort = me.port
        configuration.serviceAddress = serviceAddress
        configuration.dnsAddress = clusterDns
        configuration.clusterDomain = clusterDomain
        configuration.podNetwork = clusterCidr
        configuration.nodePrefix = nodeCidrMaskSize
        configuration.nodeMonitorPeriodMilliseconds = Int64(nodeMonitorPeriod) * 1000
        configuration.nodeMonitorGraceMilliseconds = Int64(nodeMonitorGracePeriod) * 1000
        configuration.notReadyTolerationSeconds = Int64(defaultNotReadyTolerationSeconds)
        configuration.unreachableTolerationSeconds = Int64(defaultUnreachableTolerationSeconds)
        if cloudProvider == .static {
            configuration.cloudAddresses = loadBalancerAddresses.split(separator: ",").map(String.init)
        }
        let logger = try log.logger("tern.master")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let master = try MasterNode(configuration, group: group, logger: logger)
        try await master.start()
        ProcessMemory.keepSmall(trimsHeaps: false)
        await Signals.wait()
        logger.info("stopping")
        await master.stop()
        Glibc.exit(0)
    }
}
