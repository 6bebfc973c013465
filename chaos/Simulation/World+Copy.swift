// Old copies of a data directory: somebody puts the files aside, and later starts a host with them. It has forgotten what
// it acknowledged since, and nothing there says so; its leader, as long as it leads, knows better.

import KVCore
import Raft

extension World {
    /// Puts the files of all hosts aside; one of them will begin again with its own.
    mutating func copyDisks(_ position: Int) {
        guard !isAnyFlipped, !isAnyEmptied, hosts.allSatisfy({ $0.disk.lost == nil && $0.forgot == nil }) else {
            return
        }
        for position in hosts.indices { hosts[position].copy = hosts[position].disk.copy }
        schedule(.bringBack(host: position), after: 50_000, 1_500_000)
    }

    mutating func bringBack(_ position: Int) {
        guard !isHealed, let copy = hosts[position].copy, mayForget(position, copy) else { return }
        crash(position, isPowerCut: false, restartMax: 500_000)
        guard mayForget(position, copy) else { return }
        report.count(.oldCopies)
        if keepsTrace {
            note("\(hosts[position].id) begins again at \(copy.last), had \(hosts[position].disk.lastID)")
        }
        hosts[position].forgot = hosts[position].disk.lastID
        hosts[position].hasNoticed = false
        hosts[position].withDisk { $0.bringBack(copy) }
    }

    /// The last fault of all: nothing but its leader heals it.
    mutating func bringBackLast() {
        let position = hosts.indices.first { position in
            !leaders.contains(position) && hosts[position].copy.map { mayForget(position, $0) } == true
        }
        if let position { bringBack(position) }
    }

    /// Where the others can do without what it forgets: no vote, no change of members, and of its log nothing that is not
    /// on a quorum without it. (What its log holds now is a continuation of the copy: one that conflicts with it would be
    /// taken for what the leader means by its indexes.)
    private func mayForget(_ position: Int, _ copy: Disk.Copy) -> Bool {
        let host = hosts[position], now = host.disk
        guard !isAnyFlipped,
            hosts.allSatisfy({ $0.disk.lost == nil && $0.forgot == nil && $0.life != nil || $0.id == host.id }),
            host.disk.lost == nil, host.forgot == nil,
            copy.hardState.term == now.hardState.term, copy.hardState.vote == now.hardState.vote,
            copy.last.isBefore(now.lastID), isHeld(copy.last, by: now)
        else { return false }
        let place = LogIndex(UInt64(checker.committed.count))
        let members = hosts.compactMap { $0.life?.raft }.filter { $0.configuration.contains($0.id) }
        return members.contains { $0.id != host.id }
            && members.allSatisfy { raft in
                !raft.configuration.isJoint && raft.configuration.contains(host.id)
                    && raft.configuration.voters.count >= 3 && raft.configurationIndex <= copy.last.index
                    && isSafe(raft.configuration, without: host.id, now.lastID, place)
            }
    }

    private func isHeld(_ id: EntryID, by disk: Disk) -> Bool {
        if let term = disk.term(at: id.index) { return term == id.term }
        let offset = Int(id.index.rawValue) - 1
        return id.index == .zero
            || (checker.committed.indices.contains(offset) && checker.committed[offset].term == id.term)
    }

    /// Its last entry, and all that is committed, are on a quorum of the others.
    private func isSafe(_ members: Configuration, without peer: PeerID, _ last: EntryID, _ committed: LogIndex) -> Bool
    {
        let outcome = members.outcome { other in
            guard other != peer, let disk = hosts.first(where: { $0.id == other })?.disk else { return false }
            return disk.holds(last) && disk.last >= committed
        }
        let hasBytes = members.dataVoters.contains { other in
            guard other != peer, let disk = hosts.first(where: { $0.id == other })?.disk else { return false }
            return disk.holds(last) && disk.last >= committed
        }
        return outcome == .won && hasBytes
    }

    /// Nobody is told that it lost something without a cause; who has everything again has forgotten nothing.
    mutating func checkMemory(_ position: Int) -> String? {
        guard let raft = hosts[position].life?.raft else { return nil }
        let host = hosts[position]
        guard let forgot = host.forgot else {
            return raft.isAmnesiac && host.disk.lost == nil ? "host \(raft.id): was told that it lost what it has" : nil
        }
        if raft.isAmnesiac, !host.hasNoticed {
            report.count(.noticedCopies)
            hosts[position].hasNoticed = true
        }
        if !raft.isAmnesiac, host.disk.last >= forgot.index { hosts[position].forgot = nil }
        return nil
    }
}
