// `tern kv`: the replicated store alone, spoken to as etcd v3. It takes etcd's main flags, so that what starts etcd can start it.
import ArgumentParser
import CLinux
import Glibc
import KVCore
import KVEtcd
import KVReplica
import Logging
import Master
import NIOCore
import NIOPosix
import NetPKI
import Raft
import Worker

struct KVCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kv",
        abstract: "Run one member of the replicated store, with etcd's flags and etcd's v3 interface.",
        discussion: """
            A witness is a member that votes and keeps no keys, for a small third machine beside two with data: either \
            of these can then fail and the other goes on. Name it with --initial-witness, the same on every member of \
            a new cluster; add one to a running cluster with 'tern member add --witness'. It never leads, and its \
            client port answers /health, /version, /metrics and endpoint status only. While a member with data is \
            away, new writes are on one disk with data: tern_raft_witness_counts in the leader's /metrics says so.
            """)
    @Option(help: "This member's name.") var name = "default"
    @Option(help: "Where the data are kept. [default: <name>.tern]") var dataDir: String?
    @Option(help: "The addresses for clients, with commas between; http only on loopback.")
    var listenClientUrls = "http://localhost:2379"
    @Option(help: "Addresses that serve probes and metrics and nothing else.") var listenMetricsUrls: String?
    @Option(help: "The address that other clients are told.") var advertiseClientUrls: String?
    @Option(help: "The address for members; http only on loopback.") var listenPeerUrls = "http://localhost:2380"
    @Option(help: "The address that other members are told.") var initialAdvertisePeerUrls: String?
    @Option(help: "The members of a new cluster: a=http://10.0.0.1:2380,b=...") var initialCluster: String?
    @Option(
        help: "The member of --initial-cluster that votes and keeps no keys; the same on every member. [default: none]")
    var initialWitness: String?
    @Option(help: "new or existing.") var initialClusterState = "new"
    @Option(help: "Keeps clusters apart.") var initialClusterToken = "etcd-cluster"
    @Option(help: "Certificate for clients.") var certFile: String?
    @Option(help: "Key for clients.") var keyFile: String?
    @Option(help: "Authority of clients' certificates; with it they must show one.") var trustedCaFile: String?
    @Flag(help: "Clients must show a certificate.") var clientCertAuth = false
    @Option(help: "Certificate for members.") var peerCertFile: String?
    @Option(help: "Key for members.") var peerKeyFile: String?
    @Option(help: "Authority of members' certificates.") var peerTrustedCaFile: String?
    @Flag(help: "Members must show a certificate; they always do with TLS.") var peerClientCertAuth = false
    @Option(help: "Common names, with commas between: members' certificates bear one of them. [default: any]")
    var peerCertAllowedCn: String?
    @Option(help: "Hosts, with commas between: members' certificates are good for one of them. [default: any]")
    var peerCertAllowedHostname: String?
    @Option(help: "Writes are refused above so many bytes of current state. 0: 2 GiB; below 0: never.")
    var quotaBackendBytes: Int64 = 0
    @Option(
        help:
            "With less free on the data's disk, new writes are refused. 0: a twentieth, at most 256 MiB; below 0: never."
    )
    var diskFreeBytesMin = 0
    @Option(help: "How much history is kept unasked: a duration (1h30m), hours (8) or revisions; 0 keeps all.")
    var autoCompactionRetention = "0"
    @Option(help: "What the retention is: periodic (time) or revision (a number of them).")
    var autoCompactionMode = "periodic"
    @Option(help: "basic, or extensive: how long calls took as well.") var metrics = "basic"
    @Option(help: "Operations of a transaction, at most.") var maxTxnOps = EtcdConfiguration.operationsMax
    @Option(help: "Bytes of a request that writes, at most.") var maxRequestBytes = EtcdConfiguration.requestBytesMax
    @Option(help: "Calls of one connection at a time, at most.")
    var maxConcurrentStreams = UInt32(EtcdConfiguration.streamsMax)
    @Option(help: "TLS1.2 or TLS1.3: older is refused, to clients and members. [default: TLS1.2]")
    var tlsMinVersion: String?
    @Option(help: "TLS1.2 or TLS1.3: newer is not offered. [default: TLS1.3]") var tlsMaxVersion: String?
    @Option(help: "The suites of TLS 1.2, with commas between. [default: all with forward secrecy]")
    var cipherSuites: String?
    @Flag(
        help: """
            Answer linearizable reads without asking the others, while these have promised to elect nobody else. On \
            every member or on none. Its price: right only while no member's clock runs a quarter faster than \
            another's and none stands still, and a leader that was killed is missed for 0.15 s and more, not 0.02.
            """)
    var leaseReads = false
    @OptionGroup var log: LogArguments

    func run() async throws {
        Signals.block()
        tern_tune_allocator()
        let logger = try log.logger("tern.kv")
        let clients = try listeners(listenClientUrls, "--listen-client-urls")
        let monitors = try listenMetricsUrls.map { try listeners($0, "--listen-metrics-urls", isPlainAllowed: true) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let replica = try Replica(try await replicaConfiguration(logger, group))
        try await replica.start()
        var settings = EtcdConfiguration(clusterID: replica.configuration.clusterID)
        settings.measuresCalls = try measuresCalls()
        try limit(&settings)
        settings.advertisedURLs = (advertiseClientUrls ?? listenClientUrls).split(separator: ",").map(String.init)
        settings.peerScheme = listenPeerUrls.hasPrefix("https://") ? "https" : "http"
        let server = EtcdServer(
            replica, settings, clients: clients, monitors: monitors ?? [], group: group, logger: logger)
        try await server.start()
        logger.info("member started", metadata: ["name": "\(name)", "clients": "\(listenClientUrls)"])
        Task { await endWhenRemoved(replica, logger) }
        Task { await endWhenContradicted(replica, group, logger) }
        await Signals.wait()
        await server.stop(grace: .seconds(1))
        await replica.stop()
        Glibc.exit(0)
    }

    /// As etcd: who is no member any more has nothing left to do.
    private func endWhenRemoved(_ replica: Replica, _ logger: Logger) async {
        var wasMember = false
        while true {
            do { try await Task.sleep(for: .milliseconds(500)) } catch { return }
            let members = replica.status.members
            let isMember = members.contains { $0.id == replica.configuration.id }
            if wasMember, !isMember, !members.isEmpty {
                logger.warning("this member was removed from the cluster: it ends")
                await replica.stop()
                Glibc.exit(0)
            }
            wasMember = wasMember || isMember
        }
    }

    func compaction() throws -> CompactionPolicy {
        guard let policy = CompactionPolicy(mode: autoCompactionMode, retention: autoCompactionRetention) else {
            throw ValidationError(
                "--auto-compaction-retention \(autoCompactionRetention) means nothing in mode \(autoCompactionMode)")
        }
        return policy
    }

    func stateBytesMax() throws -> Int {
        switch quotaBackendBytes {
        case 0: return 2 << 30
        case ..<0: return Int.max
        default: return Int(quotaBackendBytes)
        }
    }

    private func limit(_ settings: inout EtcdConfiguration) throws {
        guard (1...Self.txnOpsMax).contains(maxTxnOps) else {
            throw ValidationError("--max-txn-ops is 1 to \(Self.txnOpsMax)")
        }
        guard (1...Self.requestBytesMax).contains(maxRequestBytes) else {
            throw ValidationError("--max-request-bytes is 1 to \(Self.requestBytesMax)")
        }
        settings.operationsMax = maxTxnOps
        settings.requestBytesMax = maxRequestBytes
        settings.streamsMax = max(1, min(Int(maxConcurrentStreams), Self.streamsMax))
    }

    /// All comparisons and both branches of one stay below what the state machine takes.
    static let txnOpsMax = 1024
    /// An entry of the log takes no more.
    static let requestBytesMax = 7 << 20
    /// More than anybody needs, and what a connection may cost.
    static let streamsMax = 100_000

    private func tlsRules() throws -> TLSRules {
        try TLSRules(minimum: tlsMinVersion, maximum: tlsMaxVersion, suites: cipherSuites)
    }

    private func measuresCalls() throws -> Bool {
        guard ["basic", "extensive"].contains(metrics) else { throw ValidationError("--metrics is basic or extensive") }
        return metrics == "extensive"
    }

    private func listeners(
        _ text: String, _ flag: String, isPlainAllowed: Bool = false
    ) throws -> [EtcdListener] {
        var listeners: [EtcdListener] = []
        for part in text.split(separator: ",") {
            let found = try address(String(part), flag, isPlainAllowed: isPlainAllowed)
            let host = found.host.hasPrefix("[") ? String(found.host.dropFirst().dropLast()) : found.host
            guard !listeners.contains(where: { $0.host == host && $0.port == found.port }) else { continue }
            listeners.append(EtcdListener(host: host, port: found.port, tls: found.isSecure ? try clientTLS() : nil))
        }
        guard !listeners.isEmpty else { throw ValidationError("\(flag) names no address") }
        return listeners
    }

    func address(
        _ text: String, _ flag: String, isPlainAllowed: Bool = false
    ) throws -> (host: String, port: Int, isSecure: Bool) {
        guard let parsed = InitialMember.parse("x=\(text)"), parsed.count == 1, let member = parsed.first else {
            throw ValidationError("\(flag) is malformed: \(text)")
        }
        let isSecure = text.hasPrefix("https://")
        let isLoopback = member.host == "localhost" || member.host.hasPrefix("127.") || member.host == "[::1]"
        if !isSecure && !isLoopback && !isPlainAllowed {
            throw ValidationError("\(flag): http is for loopback only; use https with certificates")
        }
        return (member.host, member.port, isSecure)
    }

    private func clientTLS() throws -> ServerTLS {
        guard let certFile, let keyFile else {
            throw ValidationError("https for clients needs --cert-file and --key-file")
        }
        let identity = try TLSIdentity(certificatePEM: try PEMFile.read(certFile), keyPEM: try PEMFile.read(keyFile))
        let authority = try trustedCaFile.map { (path) throws(PKIError) in try PEMFile.read(path) }
        if clientCertAuth && authority == nil { throw ValidationError("--client-cert-auth needs --trusted-ca-file") }
        return try ServerTLS(
            identity: identity, clientCAPEM: authority, policy: authority == nil ? nil : .required,
            rules: try tlsRules())
    }

    func peerTLS(isSecure: Bool) throws -> PeerTLS? {
        let names = try AllowedNames(commonNames: peerCertAllowedCn, hosts: peerCertAllowedHostname)
        guard isSecure else {
            guard names.isEmpty else { throw ValidationError("--peer-cert-allowed-*: members show no certificates") }
            return nil
        }
        guard let peerCertFile, let peerKeyFile, let peerTrustedCaFile else {
            throw ValidationError(
                "https for members needs --peer-cert-file, --peer-key-file and --peer-trusted-ca-file")
        }
        return PeerTLS(
            certificatePEM: try PEMFile.read(peerCertFile), keyPEM: try PEMFile.read(peerKeyFile),
            authorityPEM: try PEMFile.read(peerTrustedCaFile), rules: try tlsRules(),
            names: names)
    }
}
