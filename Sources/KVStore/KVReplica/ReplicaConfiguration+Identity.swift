// What a data directory says of its owner comes before what the flags say: the number of the cluster, the own number, and
// whether this member is a witness, which it is for ever or never. Flags that contradict that are refused.
import KVCore
import KVDisk
import Raft

extension ReplicaConfiguration {
    /// With the identity that the data directory has, where it has one of its own.
    func identified() throws(ConfigurationError) -> ReplicaConfiguration {
        try SupersededMark.refuse(dataDirectory)
        var changed = self
        let isNamed = witness == id
        guard let identity = try StoreIdentity(dataDirectory) else {
            guard StoreIdentity.hasData(dataDirectory) else {
                changed.raft.isWitness = raft.isWitness || (isNamed && !joins)
                return changed
            }
            // A witness's directory says so.
            guard !isNamed else { throw contradiction("has the data of a member that is no witness") }
            return changed
        }
        if witness != nil, isNamed != identity.isWitness {
            throw contradiction(identity.isWitness ? "is a witness's" : "has the data of a member that is no witness")
        }
        changed.clusterID = identity.cluster
        changed.id = identity.member
        changed.supersedes = identity.supersedes
        changed.raft.isWitness = identity.isWitness
        if !initialPeers.contains(where: { $0.id == identity.member }) { changed.joins = true }
        return changed
    }

    private func contradiction(_ what: String) -> ConfigurationError {
        let told = witness == id ? "this member as the witness" : "another one as the witness"
        return ConfigurationError(
            "the data directory \(dataDirectory) \(what), and the flags name \(told): a member is a witness for ever or "
                + "never. Correct --initial-witness; to give it another role, remove it, empty its directory and add it"
        )
    }

    /// A witness's directory says so before it has anything else: whoever reads it later must not need the flags.
    func remember() throws {
        guard raft.isWitness, try StoreIdentity(dataDirectory) == nil else { return }
        try DataDirectory.make(dataDirectory)
        try StoreIdentity(cluster: clusterID, member: id, isWitness: true).write(to: dataDirectory)
    }
}
