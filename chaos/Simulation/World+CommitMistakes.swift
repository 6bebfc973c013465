// Ways to get commits wrong, done around replicas as shipped: leaders that tell followers too much, and words that never
// arrive.

import KVCore
import Raft

extension World {
    func isDropped(_ envelope: Envelope) -> Bool {
        guard let planted, case .raft(let message) = envelope.message else { return false }
        switch (planted, message.body) {
        case (.dropsReadAnswers, .readIndexResponse), (.dropsTransfers, .timeoutNow): return true
        default: return false
        }
    }

    mutating func mistakeCommit(_ position: Int) {
        guard let raft = hosts[position].life?.raft, raft.isLeader else { return }
        switch planted {
        case .commitsOldTerms: commitByCounting(position, raft, raft.configuration)
        case .commitsByNewHalf where raft.configuration.isJoint:
            let voters = raft.configuration.voters
            commitByCounting(position, raft, Configuration(voters: voters, witness: raft.configuration.witness))
        case .commitsUnacknowledged:
            for follower in raft.followers {
                let there = hosts[self.position(of: follower.id)].lastIndex ?? .zero
                tell(follower.id, min(raft.lastIndex, there), position, raft)
            }
        default: break
        }
    }

    /// Tells followers to commit what a majority holds, whatever its term.
    private mutating func commitByCounting(_ position: Int, _ raft: RaftCore, _ members: Configuration) {
        let followers = raft.followers.filter { $0.id != members.witness }
        let reached = members.reached { peer in
            peer == raft.id ? raft.durableIndex : followers.first { $0.id == peer }?.match ?? .zero
        }
        guard let reached, reached > raft.commitIndex else { return }
        for follower in followers where follower.match >= reached { tell(follower.id, reached, position, raft) }
    }

    private mutating func tell(_ peer: PeerID, _ commit: LogIndex, _ position: Int, _ raft: RaftCore) {
        guard commit > raft.commitIndex else { return }
        send(
            Envelope(to: peer, .raft(Message(from: raft.id, to: peer, term: raft.term, .commit(commit)))),
            from: position)
    }
}
