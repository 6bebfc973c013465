// Whether the members of a new cluster were told of the same witness. Those that were not are strangers to each other (the
// cluster's number tells), and would wait for ever; this finds out and says so.
import KVCore
import Logging
import NIOCore
import Raft

extension Replica {
    /// What another running member was told otherwise, in words; nil when nobody contradicts, when somebody leads, and
    /// when this member was ever part of a cluster: then it is the other one that is wrong here.
    package func contradictedWitness(group: any EventLoopGroup) async -> String? {
        guard status.leader == nil, status.appliedIndex == .zero, !configuration.joins else { return nil }
        var changed = configuration
        changed.witness = await loop.call(orElse: nil) { $0.core.raft.configuration.witness }
        return await changed.contradictedWitness(group: group)
    }
}

extension ReplicaConfiguration {
    /// The same before the start of a member that has no data yet. Who does not answer contradicts nothing, and neither
    /// does who is of the same cluster: there the witness may be another one by now.
    package func contradictedWitness(group: any EventLoopGroup) async -> String? {
        let others = initialPeers.filter { $0.id != id }
        return await withTaskGroup(of: String?.self) { tasks in
            for other in others { tasks.addTask { await contradiction(by: other, group) } }
            var found: [String] = []
            for await answer in tasks { if let answer { found.append(answer) } }
            return found.min()
        }
    }

    private func contradiction(by other: PeerAddress, _ group: any EventLoopGroup) async -> String? {
        let answer: PeerDirectory
        do {
            answer = try await PeerDirectory.ask(
                host: other.host, port: other.port, cluster: configuredClusterID, tls: tls, group: group, seconds: 1)
        } catch {
            logger.debug("not asked for its witness", metadata: ["peer": "\(other.name)", "error": "\(error)"])
            return nil
        }
        let theirs = answer.witness.map { id in answer.members.first { $0.id == id }?.name ?? "\(id)" }
        let ours = witness.map { id in initialPeers.first { $0.id == id }?.name ?? "\(id)" }
        guard answer.cluster != clusterID, theirs != ours else { return nil }
        return
            "member \(other.name) has \(theirs.map { "\($0) as the witness" } ?? "no witness"), this one was told of "
            + "\(ours ?? "none"): give every member of a new cluster the same --initial-witness; directories that were "
            + "begun otherwise must be emptied first"
    }
}
