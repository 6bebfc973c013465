// The twelve invariants, checked on the host that an event touched, right after the event. What one peer shows is
// compared with what all peers ever showed, so that a contradiction is found at the first step that makes it.

import KVCore
import Raft

/// Knows what was ever elected, voted, appended and committed anywhere.
struct Checker {
    struct Seen {
        var life = 0
        var peer: PeerID?
        var term = Term.zero
        var vote: PeerID?
        var commit = LogIndex.zero
        var applied = LogIndex.zero
        /// Its term and vote on the disk.
        var durable = HardState()
        var last = EntryID.zero
        var touches = 0
        var ledTerm = Term.zero
        var leases: [LeaseID: Lease] = [:]
        var countsWitness = false
    }
    private var leaders: [Term: PeerID] = [:]
    private var votes: [Ballot: PeerID] = [:]
    private var appended: [EntryID: UInt64] = [:]
    private(set) var committed: [Fact] = []
    var seen: [Seen]
    /// The term before each entry, of all logs (only where one is a witness).
    private var predecessors: [EntryID: Term] = [:]
    let hasWitness: Bool
    /// The state's hash at some indexes.
    private var states: [LogIndex: UInt64] = [:]
    var oracle = Oracle()

    private struct Ballot: Hashable {
        var voter: PeerID
        var term: Term
    }
    struct Fact {
        var term: Term
        var fingerprint: UInt64
        /// When it was first seen to be committed: an old entry may be committed much later (Raft, figure 8).
        var committedIn: Term
    }

    init(hosts: Int, hasWitness: Bool) {
        seen = [Seen](repeating: Seen(), count: hosts)
        self.hasWitness = hasWitness
    }
}

extension Checker {
    /// The first broken invariant that this host shows.
    mutating func check(_ position: Int, of hosts: [Host], now: UInt64, report: inout Report) -> String? {
        let host = hosts[position]
        guard let life = host.life else { return nil }
        if let broken = life.raft.brokenInvariant { return "host \(host.id): \(broken)" }
        if host.lives != seen[position].life {
            if let complaint = checkMemory(position, host) { return complaint }
            begin(position, host, life)
        }
        seen[position].touches += 1
        return checkElection(position, life, hosts, now, report: &report) ?? checkMonotonic(position, host, life)
            ?? checkLog(position, life) ?? checkCommit(position, life, hosts: hosts, report: &report)
            ?? checkApplied(position, life) ?? checkWitness(position, life, hosts: hosts, report: &report)
    }

    private mutating func begin(_ position: Int, _ host: Host, _ life: Host.Life) {
        let old = seen[position]
        seen[position] = Seen(
            life: host.lives, peer: host.id, term: host.disk.hardState.term, vote: life.raft.vote,
            commit: life.raft.compactIndex,
            applied: life.core.state.appliedIndex, durable: old.peer == host.id ? old.durable : HardState(),
            leases: life.core.state.leases.leases)
    }

    /// Election Safety; and Leader Completeness when a leader begins.
    private mutating func checkElection(
        _ position: Int, _ life: Host.Life, _ hosts: [Host], _ now: UInt64, report: inout Report
    ) -> String? {
        let raft = life.raft
        guard raft.isLeader, seen[position].ledTerm != raft.term else { return nil }
        seen[position].ledTerm = raft.term
        report.count(.elections)
        if let other = leaders[raft.term], other != raft.id {
            return "term \(raft.term) has two leaders: \(other) and \(raft.id)"
        }
        leaders[raft.term] = raft.id
        if let complaint = checkLeases(raft, hosts, now) { return complaint }
        for (offset, fact) in committed.enumerated() {
            let index = LogIndex(UInt64(offset) + 1)
            guard index > raft.compactIndex, fact.committedIn < raft.term else { continue }
            guard raft.term(at: index) == fact.term else {
                return "leader \(raft.id) of term \(raft.term) lacks committed \(index)"
            }
        }
        return nil
    }

    /// Term, vote within a term, commit and applied never go back; what is durable does not either.
    private mutating func checkMonotonic(_ position: Int, _ host: Host, _ life: Host.Life) -> String? {
        let old = seen[position], raft = life.raft
        if raft.term < old.term { return "host \(raft.id): term went back from \(old.term) to \(raft.term)" }
        if raft.term == old.term, let vote = old.vote, raft.vote != vote {
            return "host \(raft.id): vote of \(vote) was changed"
        }
        if raft.commitIndex < old.commit { return "host \(raft.id): commit went back from \(old.commit)" }
        if life.core.state.appliedIndex < old.applied {
            return "host \(raft.id): applied went back from \(old.applied)"
        }
        let durable = host.disk.hardState
        if durable.term < old.durable.term { return "host \(raft.id): the durable term went back" }
        seen[position].term = raft.term
        seen[position].vote = raft.vote
        seen[position].durable = durable
        return durable.vote.flatMap { noteVote(of: raft.id, for: $0, in: durable.term) }
    }

    /// A new life knows the term and the vote that the last one had saved.
    private func checkMemory(_ position: Int, _ host: Host) -> String? {
        let old = seen[position].durable, new = host.disk.hardState
        guard seen[position].peer == host.id else { return nil }
        if new.term < old.term { return "host \(host.id): forgot term \(old.term)" }
        guard new.term == old.term, let vote = old.vote, new.vote != vote else { return nil }
        return "host \(host.id): forgot its vote for \(vote) in term \(old.term)"
    }

    /// What it had saved is gone, by no fault of its own. Its votes still count.
    mutating func forgive(_ position: Int) { seen[position].durable = HardState() }

    /// One vote a term, over all lives of a peer, for itself too.
    private mutating func noteVote(of voter: PeerID, for candidate: PeerID, in term: Term) -> String? {
        let ballot = Ballot(voter: voter, term: term)
        if let other = votes[ballot], other != candidate { return "host \(voter) voted twice in term \(term)" }
        votes[ballot] = candidate
        return nil
    }

    /// Log Matching: an (index, term) means one entry after one predecessor, everywhere.
    private mutating func checkLog(_ position: Int, _ life: Host.Life) -> String? {
        let raft = life.raft
        let last = EntryID(index: raft.lastIndex, term: raft.term(at: raft.lastIndex) ?? .zero)
        let old = seen[position].last
        guard last != old || seen[position].touches % 256 == 0 else { return nil }
        seen[position].last = last
        let isExtension = raft.term(at: old.index) == old.term && seen[position].touches % 256 != 0
        let start = isExtension ? old.index : LogIndex.zero
        var previous = raft.term(at: max(start, raft.compactIndex)) ?? .zero
        var complaint: String?
        raft.forEachEntry(after: start) { entry in
            let id = EntryID(index: entry.index, term: entry.term), before = previous
            previous = entry.term
            if hasWitness {
                if predecessors.updateValue(before, forKey: id) ?? before != before {
                    complaint = "host \(raft.id): logs differ before \(id)"
                }
                if entry.kind == (raft.settings.isWitness ? .normal : .stripped) {
                    complaint = "host \(raft.id): keeps what it may not at \(id)"
                }
                if entry.kind == .stripped { return }
            }
            let fingerprint = entry.fingerprint(after: before)
            if appended[id, default: fingerprint] != fingerprint { complaint = "host \(raft.id): logs differ at \(id)" }
            appended[id] = fingerprint
        }
        return complaint
    }

    /// Committed on a quorum, and never changed.
    private mutating func checkCommit(
        _ position: Int, _ life: Host.Life, hosts: [Host], report: inout Report
    ) -> String? {
        let raft = life.raft
        let start = max(seen[position].commit, raft.compactIndex)
        seen[position].commit = raft.commitIndex
        var index = start.next
        while index <= raft.commitIndex {
            guard let entry = raft.entry(at: index) else {
                return "host \(raft.id): committed \(index) is not in the log"
            }
            if let complaint = note(entry, at: position, raft, hosts, report: &report) { return complaint }
            index = index.next
        }
        if raft.compactIndex > .zero, let term = raft.term(at: raft.compactIndex) {
            let offset = Int(raft.compactIndex.rawValue) - 1
            guard offset < committed.count, committed[offset].term == term else {
                return "host \(raft.id): compacted what is not committed"
            }
        }
        return nil
    }

    private mutating func note(
        _ entry: Entry, at position: Int, _ raft: RaftCore, _ hosts: [Host], report: inout Report
    ) -> String? {
        let offset = Int(entry.index.rawValue) - 1
        if raft.settings.isWitness {
            guard offset >= committed.count || committed[offset].term != entry.term else { return nil }
            return "witness \(raft.id): takes \(entry.index) for committed, nobody with data does"
        }
        let fingerprint = entry.fingerprint(after: .zero)
        if offset < committed.count {
            return committed[offset].fingerprint == fingerprint
                ? nil : "host \(raft.id): committed entry \(entry.index) was changed"
        }
        guard offset == committed.count else { return "host \(raft.id): commit of \(entry.index) leaves a gap" }
        oracle.noteCommitted(entry)
        committed.append(Fact(term: entry.term, fingerprint: fingerprint, committedIn: raft.term))
        let id = EntryID(index: entry.index, term: entry.term)
        let outcome = raft.configuration.outcome { peer in hosts.first { $0.id == peer }?.disk.holds(id) }
        guard outcome == .won else { return "host \(raft.id): committed \(entry.index) is not durable on a quorum" }
        return hasWitness ? checkBytes(of: id, at: position, raft, hosts, &report) : nil
    }

    /// State Machine Safety: what was applied is what was committed, and leads to one state everywhere.
    private mutating func checkApplied(_ position: Int, _ life: Host.Life) -> String? {
        let state = life.core.state
        guard state.appliedIndex > seen[position].applied else { return nil }
        seen[position].applied = state.appliedIndex
        guard Int(state.appliedIndex.rawValue) <= committed.count else {
            return "host \(life.core.id): applied what is not committed"
        }
        guard committed[Int(state.appliedIndex.rawValue) - 1].term == state.appliedTerm else {
            return "host \(life.core.id): applied another entry at \(state.appliedIndex)"
        }
        if let complaint = oracle.leases.check(seen[position].leases, state) {
            return "host \(life.core.id): \(complaint)"
        }
        seen[position].leases = state.leases.leases
        if !life.isFlipped, state.appliedIndex.rawValue % 16 == 0, let complaint = compare(state, of: life.core.id) {
            return complaint
        }
        guard !life.isFlipped, !life.raft.settings.isWitness else { return nil }
        if life.core.isFenced { return "host \(life.core.id): was fenced without a cause" }
        let hash = state.stateHash, known = states[state.appliedIndex, default: hash]
        states[state.appliedIndex] = known
        return hash == known ? nil : "host \(life.core.id): another state at \(state.appliedIndex)"
    }

    /// Record by record, with what the oracle knows of that revision.
    func compare(_ state: StateMachine, of host: PeerID) -> String? {
        let right = oracle.records(at: state.revision)
        var place = 0, wrong: KeyValue?
        state.view.forEach(.all) { record in
            if right.indices.contains(place), right[place] == record { place += 1 } else { wrong = record }
            return wrong == nil
        }
        if let wrong { return "host \(host): holds \(wrong) at \(state.revision)" }
        return place == right.count ? nil : "host \(host): lacks \(right[place]) at \(state.revision)"
    }

    mutating func noteSent(_ message: Message) -> String? {
        guard case .voteResponse(granted: true) = message.body else { return nil }
        return noteVote(of: message.from, for: message.to, in: message.term)
    }
}

extension Entry {
    /// The same in every process, unlike `Hasher`.
    func fingerprint(after previous: Term) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01b3 }
        mix(term.rawValue)
        mix(index.rawValue)
        mix(UInt64(kind.rawValue))
        mix(previous.rawValue)
        mix(fence.map { $0.rawValue &+ 1 } ?? 0)
        for byte in data { mix(UInt64(byte)) }
        return hash
    }
}
