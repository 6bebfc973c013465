// Everything a replica is told once, at start: who it is, who the others are, where it keeps its data, how it speaks to
// them. Read from flags and files by the executable only; validated here; nothing below looks at the environment.
import Glibc
import KVCore
import Logging
import NetPKI
import Raft

/// A member as configured or as joined.
package struct PeerAddress: Hashable, Sendable {
    package var id: PeerID
    package var name: String
    package var host: String
    package var port: Int
    package init(id: PeerID, name: String, host: String, port: Int) {
        self.id = id
        self.name = name
        self.host = host
        self.port = port
    }
    var member: Member { Member(id: id, name: name, host: host, port: port) }
}

/// Mutual TLS between peers, as PEM texts; both sides must show a certificate of `authority`, and who dials one that is
/// among `names`.
package struct PeerTLS: Hashable, Sendable {
    package var certificatePEM: String
    package var keyPEM: String
    package var authorityPEM: String
    package var rules: TLSRules
    package var names: AllowedNames
    package init(
        certificatePEM: String, keyPEM: String, authorityPEM: String, rules: TLSRules = TLSRules(),
        names: AllowedNames = AllowedNames()
    ) {
        self.rules = rules
        self.names = names
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
        self.authorityPEM = authorityPEM
    }
}

/// The settings of a replica.
package struct ReplicaConfiguration: Sendable {
    package var dataDirectory: String
    package var id: PeerID
    package var name: String
    /// Both sides of a connection must have the same. A data directory that was restored or that joined has its own.
    package var clusterID: UInt64
    /// Clusters in whose place this one is: their members are told to end.
    var supersedes: [UInt64] = []
    /// The cluster as it is configured: by this a member that joins asks for the real one.
    package var configuredClusterID: UInt64
    /// The members of a new cluster, this one included. Ignored when the data directory already has a log.
    package var initialPeers: [PeerAddress]
    /// Which of them is a witness; the same on every member, and part of the cluster's number.
    package var witness: PeerID?
    /// True: this peer is no initial member; it waits until a leader adds it (`initialPeers`: whom it may hear from).
    package var joins = false
    package var listenHost: String
    /// 0: any free port (tests).
    package var listenPort: Int
    /// nil: plain TCP, allowed on loopback only.
    package var tls: PeerTLS?
    package var raft = RaftSettings()
    package var tickMilliseconds: Int64 = 10
    /// Requests are held so long without a leader.
    package var holdMilliseconds: Int64 = 2000
    package var proposalBytesMax = 8 << 20
    package var pendingProposalsMax = 65_536
    /// Current state above this refuses writes.
    package var stateBytesMax = 2 << 30
    /// With less room on the disk it is nearly full; 0: a twentieth of the file system, at most 256 MiB; below 0: never.
    package var diskFreeBytesMin = 0
    /// How much history this replica keeps when it leads.
    package var compaction = CompactionPolicy.age(milliseconds: 300_000)
    /// The state database is synced so often; the log before that may go.
    package var checkpointMilliseconds: Int64 = 5000
    /// Entries kept in the log for followers that lag; who lags more is sent a snapshot.
    package var logTailEntries: UInt64 = 4096
    /// Of the recent past in memory; what is older is read from the state database.
    package var windowRevisionsMax = EventWindow.revisionsMaxDefault
    /// A command that deletes or looks at more keys is executed beside the loop.
    package var applyKeysMax = ReplicaLimits().applyKeysMax
    /// Entries, changes and notices that are done at a time.
    package var applyWorkMax = ReplicaLimits().applyWorkMax
    /// What may take long is put off after so much time, until others had their turn.
    package var roundMilliseconds: Int64 = 20
    /// A connection on the peer port that has not said whose it is by then is closed.
    package var helloMilliseconds: Int64 = 5000
    package var logger: Logger
    /// The disk failed, or what is committed was contradicted: the process must end. Called once, on the replica's
    /// thread.
    package var fatal: @Sendable (String) -> Void = { _ in exit(1) }

    package init(
        dataDirectory: String, id: PeerID, name: String, clusterID: UInt64, initialPeers: [PeerAddress],
        listenHost: String, listenPort: Int, tls: PeerTLS?, logger: Logger = Logger(label: "replica")
    ) {
        self.dataDirectory = dataDirectory
        self.id = id
        self.name = name
        self.clusterID = clusterID
        configuredClusterID = clusterID
        self.initialPeers = initialPeers
        self.listenHost = listenHost
        self.listenPort = listenPort
        self.tls = tls
        self.logger = logger
    }

    var limits: ReplicaLimits {
        var limits = ReplicaLimits()
        limits.tickMilliseconds = tickMilliseconds
        limits.holdMilliseconds = holdMilliseconds
        limits.proposalBytesMax = proposalBytesMax
        limits.pendingMax = pendingProposalsMax
        limits.stateBytesMax = stateBytesMax
        limits.compaction = compaction
        limits.logTailEntries = max(1, logTailEntries)
        limits.windowRevisionsMax = max(1, windowRevisionsMax)
        limits.applyKeysMax = max(0, applyKeysMax)
        limits.applyWorkMax = max(1, applyWorkMax)
        return limits
    }

    /// Reads by lease in place of rounds (`RaftSettings.leaseReads`). On every member: who does not promise does not
    /// count.
    package mutating func useLeaseReads() {
        raft.leaseReads = true
        raft.usesConnectionLossHint = false
    }

    /// Only what ends the replica is logged.
    package mutating func silence() { logger.logLevel = .critical }

    /// Plain TCP is for loopback only; a replica is among its own initial peers unless it joins.
    package func validate() throws(ConfigurationError) {
        let isLoopback = listenHost.hasPrefix("127.") || listenHost == "::1" || listenHost == "localhost"
        if tls == nil, !isLoopback {
            throw ConfigurationError("peers without TLS may only listen on loopback, not on \(listenHost)")
        }
        if !joins, !initialPeers.contains(where: { $0.id == id }) {
            throw ConfigurationError("peer \(id) is not among the initial peers")
        }
        if Set(initialPeers.map(\.id)).count != initialPeers.count {
            throw ConfigurationError("two initial peers have one id")
        }
        if let witness, !joins {
            guard initialPeers.contains(where: { $0.id == witness }) else {
                throw ConfigurationError("the witness is not among the initial peers")
            }
            guard initialPeers.count > Configuration.dataVotersMin else {
                throw ConfigurationError("a witness needs at least two members with data beside it")
            }
        }
        var timings = raft
        timings.tickUnits = Int(clamping: tickMilliseconds)
        if tickMilliseconds < 1 || !timings.isValid { throw ConfigurationError("timings are not valid") }
    }

    /// A cluster of one, without any network.
    package static func single(
        dataDirectory: String, name: String = "m1", logger: Logger = Logger(label: "replica")
    )
        -> ReplicaConfiguration
    {
        let me = PeerAddress(id: PeerID(1), name: name, host: "127.0.0.1", port: 0)
        return ReplicaConfiguration(
            dataDirectory: dataDirectory, id: me.id, name: name, clusterID: 1, initialPeers: [me],
            listenHost: "127.0.0.1", listenPort: 0, tls: nil, logger: logger)
    }
}

/// What is wrong with a configuration.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
