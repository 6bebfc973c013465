// Everything a replica is told once, at start: who it is, who the others are, where it keeps its data, how it speaks to them.
// Read from flags and files by the executable only; validated here; nothing below looks at the environment.
import KVCore
import Logging
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
}

/// Mutual TLS between peers, as PEM texts; both sides must show a certificate of `authority`.
package struct PeerTLS: Hashable, Sendable {
    package var certificatePEM: String
    package var keyPEM: String
    package var authorityPEM: String
    package init(certificatePEM: String, keyPEM: String, authorityPEM: String) {
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
    /// Both sides of a connection must have the same.
    package var clusterID: UInt64
    /// The members of a new cluster, this one included. Ignored when the data directory already has a log.
    package var initialPeers: [PeerAddress]
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
    package var compactionMilliseconds: Int64 = 300_000
    package var logger: Logger

    package init(
        dataDirectory: String, id: PeerID, name: String, clusterID: UInt64, initialPeers: [PeerAddress],
        listenHost: String, listenPort: Int, tls: PeerTLS?, logger: Logger
    ) {
        self.dataDirectory = dataDirectory
        self.id = id
        self.name = name
        self.clusterID = clusterID
        self.initialPeers = initialPeers
        self.listenHost = listenHost
        self.listenPort = listenPort
        self.tls = tls
        self.logger = logger
    }

    /// A cluster of one, without any network.
    package static func single(dataDirectory: String, name: String = "m1", logger: Logger) -> ReplicaConfiguration {
        let me = PeerAddress(id: PeerID(1), name: name, host: "127.0.0.1", port: 0)
        return ReplicaConfiguration(
            dataDirectory: dataDirectory, id: me.id, name: name, clusterID: 1, initialPeers: [me],
            listenHost: "127.0.0.1", listenPort: 0, tls: nil, logger: logger)
    }
}
