// Who takes part: voters, learners and, during joint consensus (Raft §6), the voters that go out. Every decision then
// needs a majority of both sets. The lists are sorted and without repeats, so that their order never decides anything.

/// The members of a cluster at one place of the log.
package struct Configuration: Hashable, Sendable {
    package private(set) var voters: [PeerID]
    /// The voters before a change that is still in its joint phase; else empty.
    package private(set) var outgoing: [PeerID]
    /// Receive the log, never vote. One that is also in `outgoing` votes until the joint phase ends.
    package private(set) var learners: [PeerID]
    /// The one that votes but keeps no commands and never leads; a learner or a voter.
    package private(set) var witness: PeerID?
    /// Were members and are none any more, in the order of leaving. What they said may still be under way and would
    /// be taken for the word of another peer of that name, so that none of them is taken in again.
    package internal(set) var former: [PeerID] = []

    package static let peersMax = 64
    /// Of those that left longer ago nothing is under way any more.
    package static let formerMax = 255

    /// With fewer voters that have data a witness would only ever be in the way.
    package static let dataVotersMin = 2

    /// `witness` is the one of these peers, if any, that is one.
    package init(voters: [PeerID], outgoing: [PeerID] = [], learners: [PeerID] = [], witness: PeerID? = nil) {
        self.voters = Configuration.ordered(voters)
        self.outgoing = Configuration.ordered(outgoing)
        let voting = self.voters
        self.learners = Configuration.ordered(learners).filter { !voting.contains($0) }
        self.witness = contains(witness) ? witness : nil
    }

    package static let empty = Configuration(voters: [])

    package var isJoint: Bool { !outgoing.isEmpty }
    package func isVoter(_ peer: PeerID) -> Bool { voters.contains(peer) || outgoing.contains(peer) }
    private func contains(_ peer: PeerID?) -> Bool { peer.map { contains($0) } ?? false }
    /// The voters, also outgoing ones, that have the data and may lead.
    package var dataVoters: [PeerID] { allVoters.filter { $0 != witness } }
    /// The same without the witness.
    package var withData: Configuration {
        let others = outgoing.filter { $0 != witness }
        return Configuration(
            voters: voters.filter { $0 != witness }, outgoing: others, learners: learners.filter { $0 != witness })
    }
    package func contains(_ peer: PeerID) -> Bool { isVoter(peer) || learners.contains(peer) }
    /// Everybody, in order, once.
    package var peers: [PeerID] { Configuration.ordered(voters + outgoing + learners) }
    package var allVoters: [PeerID] { Configuration.ordered(voters + outgoing) }

    /// The same members after `previous` ones: whoever is missing has left.
    func following(_ previous: Configuration) -> Configuration {
        var next = self
        next.former = previous.former.filter { !contains($0) } + previous.peers.filter { !contains($0) }
        next.former.removeFirst(max(0, next.former.count - Configuration.formerMax))
        return next
    }

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

extension Configuration: CustomStringConvertible {
    package var description: String {
        var text = "voters \(voters.map(\.description).joined(separator: " "))"
        if isJoint { text += ", outgoing \(outgoing.map(\.description).joined(separator: " "))" }
        if !learners.isEmpty { text += ", learners \(learners.map(\.description).joined(separator: " "))" }
        if let witness { text += ", witness \(witness)" }
        return text
    }
}
