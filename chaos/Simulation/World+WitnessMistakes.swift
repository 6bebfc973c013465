// Ways to get a witness wrong, done around replicas as shipped.

import KVCore
import Raft

extension World {
    /// After each step of a host.
    mutating func mistakeWitness(_ position: Int) {
        guard let raft = hosts[position].life?.raft, raft.isLeader, let witness = raft.configuration.witness else {
            return
        }
        switch planted {
        case .countsWitnessAlways:
            guard !raft.isWitnessEngaged, let other = raft.configuration.dataVoters.first(where: { $0 != raft.id })
            else { return }
            hosts[position].life?.core.connectionLost(to: other)
            drain(position)
        case .sendsWitnessAll: feed(witness, raft, position)
        case .sendsWitnessUnsaved: if raft.isWitnessEngaged { feed(witness, raft, position) }
        default: break
        }
    }

    /// Everything that its leader has in memory.
    private mutating func feed(_ witness: PeerID, _ raft: RaftCore, _ position: Int) {
        let last = EntryID(index: raft.lastIndex, term: raft.term)
        guard let life = hosts[position].life, life.fed != last,
            let match = raft.followers.first(where: { $0.id == witness && $0.state == .replicate })?.match,
            match < raft.lastIndex, let term = raft.term(at: match)
        else { return }
        life.fed = last
        var entries: [Entry] = []
        raft.forEachEntry(after: match) { entries.append($0.stripped) }
        let append = Message.Append(
            previous: EntryID(index: match, term: term), entries: entries, commit: raft.commitIndex)
        send(
            Envelope(to: witness, .raft(Message(from: raft.id, to: witness, term: raft.term, .append(append)))),
            from: position)
    }
}
