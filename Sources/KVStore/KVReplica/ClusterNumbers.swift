// The numbers of a new cluster and its members, derived from what all of them are told, so that they agree without
// asking: the token, everybody's name and address, and who of them is the witness. Two clusters that share a token are
// strangers all the same, and so are members that were told of different witnesses: they never count each other's
// votes. Data directories of before the addresses counted keep the numbers that they were made with.
import KVCore
import Raft

/// The cluster's number and its members', as flags and a data directory say.
package struct ClusterNumbers: Hashable, Sendable {
    package let cluster: UInt64
    package let peers: [PeerAddress]
    /// Its name, where one of them is one.
    package let witnessName: String?
    package typealias NamedAddress = (name: String, host: String, port: Int)

    /// Of a new cluster.
    package init(token: String, members: [NamedAddress], witness: String? = nil) {
        let list = members.map { "\($0.name)=\($0.host):\($0.port)" }.sorted().joined(separator: ",")
        let number = Self.number("\(token)\n\(list)" + (witness.map { "\nwitness \($0)" } ?? ""))
        cluster = number
        witnessName = witness
        peers = members.map { member in
            let text = "\(number)\n\(member.name)=\(member.host):\(member.port)"
            return PeerAddress(
                id: PeerID(Self.number(text)), name: member.name, host: member.host, port: member.port)
        }
    }

    /// By the token and names alone.
    private init(plain token: String, members: [NamedAddress], witness: String?) {
        cluster = fnv64(token)
        witnessName = witness
        peers = members.map { member in
            PeerAddress(
                id: PeerID(max(1, fnv64("\(token)/\(member.name)"))), name: member.name, host: member.host,
                port: member.port)
        }
    }

    /// As `name` has them whose data are in `directory`; a new cluster's when there are none. Throws when the data are
    /// of a cluster that these members began with another witness; `witness` nil contradicts nothing.
    package init(
        token: String, members: [NamedAddress], witness: String? = nil, of name: String, in directory: String
    ) throws(ConfigurationError) {
        let new = ClusterNumbers(token: token, members: members, witness: witness)
        guard StoreIdentity.hasData(directory) else {
            self = new
            return
        }
        let plain = ClusterNumbers(plain: token, members: members, witness: witness)
        guard let identity = try StoreIdentity(directory) else {
            self = plain
            return
        }
        let begun = ([nil] + members.map(\.name)).lazy
            .map { ClusterNumbers(token: token, members: members, witness: $0) }
            .first { $0.cluster == identity.cluster }
        guard let begun else {
            self = identity.member == plain.peers.first { $0.name == name }?.id ? plain : new
            return
        }
        guard witness == nil || witness == begun.witnessName else {
            throw ConfigurationError(
                "the data in \(directory) are of a cluster that began with "
                    + (begun.witnessName.map { "\($0) as its witness" } ?? "no witness")
                    + ", and the flags name \(witness ?? "none"): correct --initial-witness")
        }
        self = begun
    }

    package var witness: PeerID? { peers.first { $0.name == witnessName }?.id }

    private static func number(_ text: String) -> UInt64 {
        var hash = Hash64()
        hash.add(Array(text.utf8))
        return max(1, mix64(hash.value))
    }
}

/// 64 bits of FNV-1a.
package func fnv64(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
