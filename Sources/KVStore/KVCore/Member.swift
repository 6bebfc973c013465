// The replicated directory: how each peer is called and where it listens. Raft's configuration says who takes part;
// this says how to reach them. It changes by commands, so that every peer, also one that joins later, has the same
// list.
import Raft

/// How to reach a peer.
package struct Member: Hashable, Sendable {
    package var id: PeerID
    package var name: String
    package var host: String
    package var port: Int
    /// Where its clients find it; told by itself.
    package var clientURLs: [String]
    /// It was added to learn only: it does not ask to vote by itself.
    package var staysLearner: Bool

    package init(
        id: PeerID, name: String, host: String, port: Int, clientURLs: [String] = [], staysLearner: Bool = false
    ) {
        self.id = id
        self.name = name
        self.host = host
        self.port = port
        self.clientURLs = clientURLs
        self.staysLearner = staysLearner
    }
}

extension StateMachine {
    package static let membersMax = 64

    /// In order of their ids.
    package var sortedMembers: [Member] { members.values.sorted { $0.id < $1.id } }

    mutating func set(_ member: Member) -> Outcome {
        guard members[member.id] != nil || members.count < Self.membersMax else { return .refused(.tooManyMembers) }
        members[member.id] = member
        hashMembers()
        return .done(revision)
    }

    mutating func hashMembers() {
        var writer = ByteWriter()
        for member in sortedMembers { writer.put(member) }
        var hash = Hash64()
        hash.add(writer.bytes)
        membersHash = members.isEmpty ? 0 : hash.value
    }

    mutating func removeMember(_ id: PeerID) -> Outcome {
        members.removeValue(forKey: id)
        hashMembers()
        return .done(revision)
    }
}

extension ByteWriter {
    package mutating func put(_ member: Member) {
        put(member.id.rawValue)
        put(text: member.name)
        put(text: member.host)
        put(count: member.port)
        put(list: member.clientURLs) { $0.put(text: $1) }
        put(flag: member.staysLearner)
    }
}

extension ByteReader {
    package mutating func member() throws(DecodeError) -> Member {
        let id = PeerID(rawValue: try unsigned())
        let name = try text()
        let host = try text()
        let port = try unsigned()
        guard port <= 65_535 else { throw DecodeError() }
        let urls = try list { (r: inout ByteReader) throws(DecodeError) in try r.text() }
        return Member(
            id: id, name: name, host: host, port: Int(port), clientURLs: urls, staysLearner: try flag())
    }
}
