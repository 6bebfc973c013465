// What a witness may be: a voter that never asks to lead, and never ahead of all those that may.

import KVCore
import Raft

extension Checker {
    mutating func checkWitness(
        _ position: Int, _ life: Host.Life, hosts: [Host], report: inout Report
    ) -> String? {
        guard hasWitness else { return nil }
        countTurns(position, life.raft, &report)
        guard life.raft.settings.isWitness else { return nil }
        if life.raft.leadership.role != .follower { return "witness \(life.raft.id): wants to lead" }
        if life.core.numbers.keyCount > 0 { return "witness \(life.raft.id): has keys" }
        return checkPlace(life.raft, hosts)
    }

    /// The witness's word alone commits nothing while it does not count, and never what no disk has. A step may be an
    /// answer and then a tick, at which it ceases to count.
    func checkBytes(
        of id: EntryID, at position: Int, _ raft: RaftCore, _ hosts: [Host], _ report: inout Report
    ) -> String? {
        let members = raft.configuration
        guard let witness = members.witness else { return nil }
        func holds(_ peer: PeerID) -> Bool {
            peer != witness && hosts.first { $0.id == peer }?.disk.holds(id) == true
        }
        guard members.dataVoters.contains(where: holds) else { return "nobody has the bytes of committed \(id)" }
        guard members.outcome(holds) != .won else { return nil }
        report.count(.witnessCommits)
        guard raft.isLeader, !raft.isWitnessEngaged, !seen[position].countsWitness else { return nil }
        return "host \(raft.id): committed \(id) by the word of a witness that does not count"
    }

    /// Else it would refuse every candidate for ever. What was damaged is not looked at: its owner still knows of it.
    private func checkPlace(_ raft: RaftCore, _ hosts: [Host]) -> String? {
        guard !hosts.contains(where: { $0.disk.lost != nil }) else { return nil }
        let last = EntryID(index: raft.lastIndex, term: raft.term(at: raft.lastIndex) ?? .zero)
        let isReached = hosts.contains { !$0.isWitness && !$0.disk.lastID.isBefore(last) }
        return isReached ? nil : "witness \(raft.id): has \(last), and no disk of those that may lead does"
    }

    private mutating func countTurns(_ position: Int, _ raft: RaftCore, _ report: inout Report) {
        guard raft.isWitnessEngaged != seen[position].countsWitness else { return }
        seen[position].countsWitness = raft.isWitnessEngaged
        guard raft.isLeader else { return }
        report.count(raft.isWitnessEngaged ? .witnessCounted : .witnessReleased)
    }
}

extension EntryID {
    /// The order of logs in votes (Raft §5.4.1).
    func isBefore(_ other: EntryID) -> Bool { term < other.term || (term == other.term && index < other.index) }
}
