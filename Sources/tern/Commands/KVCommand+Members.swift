// What a member of `tern kv` is told of the others: by flags, by those that run already, and by its data directory.
import ArgumentParser
import Glibc
import KVCore
import KVReplica
import Logging
import Master
import NIOCore
import Raft
import Worker

extension KVCommand {
    func replicaConfiguration(
        _ logger: Logger, _ group: any EventLoopGroup
    ) async throws -> ReplicaConfiguration {
        let peer = try address(listenPeerUrls, "--listen-peer-urls")
        let members = try initialMembers()
        guard ["new", "existing"].contains(initialClusterState) else {
            throw ValidationError("--initial-cluster-state is new or existing")
        }
        guard initialWitness == nil || members.contains(where: { $0.name == initialWitness }) else {
            throw ValidationError("--initial-cluster does not name the witness \(initialWitness ?? "")")
        }
        let folder = dataDir ?? "\(name).tern"
        try Files.makeDirectory(folder, mode: 0o700)
        let numbers = try ClusterNumbers(
            token: initialClusterToken, members: members.map { ($0.name, $0.host, $0.port) }, witness: initialWitness,
            of: name, in: folder)
        guard let me = numbers.peers.first(where: { $0.name == name }) else {
            throw ValidationError("--initial-cluster does not name \(name)")
        }
        var configuration = ReplicaConfiguration(
            dataDirectory: folder, id: me.id, name: name, clusterID: numbers.cluster, initialPeers: numbers.peers,
            listenHost: peer.host == "localhost" ? "127.0.0.1" : peer.host, listenPort: peer.port,
            tls: try peerTLS(isSecure: peer.isSecure), logger: logger)
        // Who joins is given its numbers by the others.
        configuration.configuredClusterID = fnv64(initialClusterToken)
        configuration.joins = initialClusterState == "existing"
        configuration.witness = numbers.witness
        configuration.compaction = try compaction()
        if leaseReads { configuration.useLeaseReads() }
        configuration.stateBytesMax = try stateBytesMax()
        configuration.diskFreeBytesMin = diskFreeBytesMin
        guard !StoreIdentity.hasData(folder) else { return configuration }
        if configuration.joins {
            try await join(&configuration, me, group)
        } else {
            try await begin(configuration, group)
        }
        return configuration
    }

    /// The first start of a member of a new cluster.
    private func begin(_ configuration: ReplicaConfiguration, _ group: any EventLoopGroup) async throws {
        try configuration.validate()
        if let why = await configuration.contradictedWitness(group: group) { throw CommandFailure(why) }
        try StoreIdentity(
            cluster: configuration.clusterID, member: configuration.id,
            isWitness: configuration.witness == configuration.id
        ).write(to: configuration.dataDirectory)
    }

    private func initialMembers() throws -> [InitialMember] {
        let text = initialCluster ?? "\(name)=\(initialAdvertisePeerUrls ?? listenPeerUrls)"
        guard let members = InitialMember.parse(text), members.contains(where: { $0.name == name }) else {
            throw ValidationError("--initial-cluster is malformed or does not name \(name): \(text)")
        }
        return members
    }

    /// Learns from a running member which number this one was given, and remembers it.
    private func join(
        _ configuration: inout ReplicaConfiguration, _ me: PeerAddress, _ group: any EventLoopGroup
    ) async throws {
        var reasons: [String] = []
        for peer in configuration.initialPeers where peer.name != name {
            do {
                let found = try await PeerDirectory.ask(
                    host: peer.host, port: peer.port, cluster: configuration.configuredClusterID,
                    tls: configuration.tls, group: group)
                guard let here = found.members.first(where: { $0.host == me.host && $0.port == me.port }) else {
                    throw CommandFailure("\(me.host):\(me.port) is not a member: add it first ('member add')")
                }
                let isWitness = found.witness == here.id
                guard initialWitness == nil || (initialWitness == name) == isWitness else {
                    throw CommandFailure(
                        "it was added as \(isWitness ? "a witness" : "a member with data"): correct --initial-witness")
                }
                try StoreIdentity(cluster: found.cluster, member: here.id, isWitness: isWitness)
                    .write(to: configuration.dataDirectory)
                configuration.initialPeers = found.members.map {
                    PeerAddress(id: $0.id, name: $0.name, host: $0.host, port: $0.port)
                }
                configuration.witness = nil
                return
            } catch { reasons.append("\(peer.name): \(error)") }
        }
        throw CommandFailure("no member could be joined: \(reasons.joined(separator: "; "))")
    }

    /// Members that were told of different witnesses never hear of each other: whoever finds that out ends. Over as soon
    /// as somebody leads.
    func endWhenContradicted(_ replica: Replica, _ group: any EventLoopGroup, _ logger: Logger) async {
        while replica.status.leader == nil, replica.status.appliedIndex == .zero {
            do { try await Task.sleep(for: .milliseconds(500)) } catch { return }
            guard let why = await replica.contradictedWitness(group: group) else { continue }
            logger.critical("this member ends", metadata: ["reason": "\(why)"])
            await replica.stop()
            Glibc.exit(1)
        }
    }
}
