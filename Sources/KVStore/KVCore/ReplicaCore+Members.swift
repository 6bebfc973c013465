// Changes of members and of leadership, done by the leader; a follower passes the wish on. Raft's configuration decides
// who takes part, the directory (a command) says how to reach them. Whoever asks looks at the configuration to see what
// came of it.
import Raft

/// What came of a wish at once.
package enum MemberChangeAnswer: Hashable, Sendable {
    case begun
    case passedOn
    /// Ask again a little later.
    case busy
    case noLeader
    case impossible
}

extension ReplicaCore {
    /// Begins a change, or passes it to the leader.
    package mutating func request(_ change: MemberChange) -> MemberChangeAnswer {
        guard raft.isLeader else {
            guard let leader = raft.leader else { return .noLeader }
            output.messages.append(Envelope(to: leader, .change(change)))
            return .passedOn
        }
        if case .transfer(let peer) = change { return transfer(to: peer) }
        guard let target = target(of: change) else { return .impossible }
        do throws(ConfigurationRefusal) {
            _ = try raft.proposeConfiguration(target)
            return .begun
        } catch {
            switch error {
            case .notLeader: return .noLeader
            case .changeInProgress, .notCaughtUp: return .busy
            case .unchanged: return .begun
            case .tooManyPeers, .noVoters, .usedID, .witnessMisplaced: return .impossible
            }
        }
    }

    private mutating func transfer(to peer: PeerID?) -> MemberChangeAnswer {
        do throws(TransferRefusal) {
            try raft.transferLeadership(to: peer)
            return .begun
        } catch {
            return .impossible
        }
    }

    private func target(of change: MemberChange) -> Configuration? {
        let current = raft.configuration
        switch change {
        case .addLearner(let peer):
            return Configuration(
                voters: current.voters, learners: current.learners + [peer], witness: current.witness)
        case .addWitness(let peer):
            return Configuration(voters: current.voters, learners: current.learners + [peer], witness: peer)
        case .promote(let peer):
            guard current.contains(peer) else { return nil }
            return Configuration(
                voters: current.voters + [peer], learners: current.learners.filter { $0 != peer },
                witness: current.witness)
        case .remove(let peer):
            return Configuration(
                voters: current.voters.filter { $0 != peer }, learners: current.learners.filter { $0 != peer },
                witness: current.witness)
        case .transfer: return nil
        }
    }
}
