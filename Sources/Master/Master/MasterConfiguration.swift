// What one master is told at start: who it is, where it keeps its data, who the others are, the cluster's ranges. One validated value.
import APIServer
import KVReplica
import Raft

/// A member of a new cluster as the flag `--initial-cluster` names it.
package struct InitialMember: Hashable, Sendable {
    package var name: String
    package var host: String
    package var port: Int

    package init(name: String, host: String, port: Int) {
        self.name = name
        self.host = host
        self.port = port
    }

    /// Reads `m1=https://10.0.0.1:2380,m2=...`; nil when a part is malformed or a name stands twice.
    package static func parse(_ text: String) -> [InitialMember]? {
        var members: [InitialMember] = []
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
            guard pair.count == 2, let scheme = ["https://", "http://"].first(where: { pair[1].hasPrefix($0) }) else {
                return nil
            }
            let address = pair[1].dropFirst(scheme.count)
            guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
                (1...65535).contains(port)
            else { return nil }
            members.append(InitialMember(name: pair[0], host: String(address[..<colon]), port: port))
        }
        return Set(members.map(\.name)).count == members.count && !members.isEmpty ? members : nil
    }

    /// The same on every master: a hash of the name and the cluster's token.
    package func id(token: String) -> PeerID { PeerID(max(1, fnv64("\(token)/\(name)"))) }
}

/// Settings of a master.
package struct MasterConfiguration: Sendable {
    package var name: String
    package var dataDirectory: String
    /// The cluster's identity, see `ClusterIdentity`.
    package var identityDirectory: String
    /// The address by which others reach this master.
    package var advertiseAddress: String
    package var listenHost = "0.0.0.0"
    package var apiPort = 6443
    package var peerPort = 2380
    /// The store's etcd v3 face, mutual TLS with the store's authority; 0: none.
    package var etcdPort = 2379
    package var initialCluster: [InitialMember]
    package var clusterToken = "tern"
    package var serviceAddress = "10.96.0.1"
    package var dnsAddress = "10.96.0.10"
    package var clusterDomain = "cluster.local"
    package var podNetwork = "10.244.0.0/16"
    package var nodePrefix = 24
    package var nodeMonitorPeriodMilliseconds: Int64 = 1000
    package var nodeMonitorGraceMilliseconds: Int64 = 8000
    /// Seconds that pods tolerate an unready or unreachable node unless they say otherwise.
    package var notReadyTolerationSeconds: Int64 = 10
    package var unreachableTolerationSeconds: Int64 = 10
    /// The static provider's addresses for load balancers; nil: no cloud provider.
    package var cloudAddresses: [String]?

    package init(
        name: String, dataDirectory: String, identityDirectory: String, advertiseAddress: String,
        initialCluster: [InitialMember]
    ) {
        self.name = name
        self.dataDirectory = dataDirectory
        self.identityDirectory = identityDirectory
        self.advertiseAddress = advertiseAddress
        self.initialCluster = initialCluster
    }

    var peers: [PeerAddress] {
        initialCluster.map { PeerAddress(id: $0.id(token: clusterToken), name: $0.name, host: $0.host, port: $0.port) }
    }
}
