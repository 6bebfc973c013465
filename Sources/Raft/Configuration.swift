// Who takes part: voters, learners and, during joint consensus (Raft §6), the voters that go out. Every decision then
// needs a majority of both sets. The lists are sorted and without repeats, so that their order never decides anything.

/// The members of a cluster at one place of the log.
package struct Configuration: Hashable, Sendable {
    package private(set) var voters: [PeerID]
    /// The voters before a change that is still in its joint phase; else empty.
    package private(set) var outgoing: [PeerID]
    /// Receive the log, never vote. One that is also in `outgoing` votes until the joint phase ends.
    package private(set) var learners: [PeerID]

    package static let peersMax = 64

    package init(voters: [PeerID], outgoing: [PeerID] = [], learners: [PeerID] = []) {
        self.voters = Configuration.ordered(voters)
        self.outgoing = Configuration.ordered(outgoing)
        let voting = self.voters
        self.learners = Configuration.ordered(learners).filter { !voting.contains($0) }
    }

    package static let empty = Configuration(voters: [])

    package var isJoint: Bool { !outgoing.isEmpty }
    package func isVoter(_ peer: PeerID) -> Bool { voters.contains(peer) || outgoing.contains(peer) }
    package func contains(_ peer: PeerID) -> Bool { isVoter(peer) || learners.contains(peer) }
    /// Everybody, in order, once.
    package var peers: [PeerID] { Configuration.ordered(voters + outgoing + learners) }
    package var allVoters: [PeerID] { Configuration.ordered(voters + outgoing) }

    private static func ordered(_ peers: [PeerID]) -> [PeerID] {
        var result: [PeerID] = []
        for peer in peers.sorted() where result.last != peer { result.append(peer) }
        return result
    }
}

/// How a vote stands.
package enum VoteOutcome: Sendable, Hashable { case won, lost, pending }

extension Configuration {
    /// The outcome of a vote; `ballot` gives a peer's answer, nil while there is none.
    package func outcome(_ ballot: (PeerID) -> Bool?) -> VoteOutcome {
        let first = Configuration.outcome(of: voters, ballot)
        guard isJoint else { return first }
        let second = Configuration.outcome(of: outgoing, ballot)
        if first == .lost || second == .lost { return .lost }
        return first == .won && second == .won ? .won : .pending
    }

    private static func outcome(of voters: [PeerID], _ ballot: (PeerID) -> Bool?) -> VoteOutcome {
        var granted = 0, refused = 0
        for voter in voters {
            switch ballot(voter) {
            case true?: granted += 1
            case false?: refused += 1
            case nil: break
            }
        }
        let quorum = voters.count / 2 + 1
        if granted >= quorum { return .won }
        return refused > voters.count - quorum ? .lost : .pending
    }

    /// The greatest value that a quorum has reached; nil without voters.
    package func reached<Value: Comparable>(_ value: (PeerID) -> Value) -> Value? {
        guard let first = Configuration.reached(by: voters, value) else { return nil }
        guard isJoint, let second = Configuration.reached(by: outgoing, value) else { return first }
        return min(first, second)
    }

    private static func reached<Value: Comparable>(by voters: [PeerID], _ value: (PeerID) -> Value) -> Value? {
        guard !voters.isEmpty else { return nil }
        let values = voters.map(value).sorted(by: >)
        return values[voters.count / 2]
    }
}

extension Configuration {
    /// The bytes of a configuration entry: a format version, then three lists of (count, ids), little-endian.
    package func encode() -> [UInt8] {
        var bytes: [UInt8] = [1]
        for list in [voters, outgoing, learners] {
            bytes.append(UInt8(truncatingIfNeeded: list.count))
            for peer in list {
                for shift in stride(from: 0, to: 64, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: peer.rawValue >> UInt64(shift)))
                }
            }
        }
        return bytes
    }

    /// nil when the bytes are not a configuration.
    package init?(decoding bytes: [UInt8]) {
        var rest = bytes[...]
        guard rest.popFirst() == 1 else { return nil }
        var lists: [[PeerID]] = []
        for _ in 0..<3 {
            guard let list = Configuration.decodeList(&rest) else { return nil }
            lists.append(list)
        }
        guard rest.isEmpty, !lists[0].isEmpty else { return nil }
        self.init(voters: lists[0], outgoing: lists[1], learners: lists[2])
    }

    private static func decodeList(_ rest: inout ArraySlice<UInt8>) -> [PeerID]? {
        guard let count = rest.popFirst(), Int(count) <= peersMax, rest.count >= Int(count) * 8 else { return nil }
        var list: [PeerID] = []
        for _ in 0..<count {
            var value: UInt64 = 0
            for (position, byte) in rest.prefix(8).enumerated() { value |= UInt64(byte) << UInt64(position * 8) }
            rest = rest.dropFirst(8)
            list.append(PeerID(value))
        }
        return list
    }
}

extension Configuration: CustomStringConvertible {
    package var description: String {
        var text = "voters \(voters.map(\.description).joined(separator: " "))"
        if isJoint { text += ", outgoing \(outgoing.map(\.description).joined(separator: " "))" }
        if !learners.isEmpty { text += ", learners \(learners.map(\.description).joined(separator: " "))" }
        return text
    }
}
