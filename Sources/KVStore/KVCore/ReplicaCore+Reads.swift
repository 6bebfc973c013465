// Linearizable reads: tickets that come together share one ReadIndex; each is granted when the local state has reached
// the index. A read never proposes anything, so giving it up is always safe.
import Raft

struct ReadTable: Sendable {
    struct Waiting: Sendable {
        var ticket: Ticket
        var since: Int64
    }
    /// Not asked yet.
    var gathered: [Waiting] = []
    var asked: [ReadID: [Waiting]] = [:]
    /// Confirmed at an index that is not applied yet.
    var confirmed: [(index: LogIndex, waiting: [Waiting])] = []
    var lastID: UInt64 = 0
    var confirmedCount: Int { confirmed.reduce(0) { $0 + $1.waiting.count } }
    var count: Int { gathered.count + asked.values.reduce(0) { $0 + $1.count } + confirmedCount }
    var isEmpty: Bool { gathered.isEmpty && asked.isEmpty && confirmed.isEmpty }
}

extension ReplicaCore {
    package static var readsGatheredMax: Int { 65_536 }

    /// Asks for a moment from which on the local state is not stale.
    package mutating func read(_ ticket: Ticket) {
        guard !raft.settings.isWitness else { return output.reads.append((ticket, .noLeader)) }
        guard reads.gathered.count < Self.readsGatheredMax else { return output.reads.append((ticket, .overloaded)) }
        reads.gathered.append(.init(ticket: ticket, since: now))
    }

    mutating func dispatchReads() {
        guard !reads.gathered.isEmpty, raft.leader != nil else { return }
        let read = ReadID(reads.lastID + 1)
        do throws(ReadRefusal) {
            try raft.readIndex(read)
            reads.lastID = read.rawValue
            reads.asked[read] = reads.gathered
            reads.gathered = []
        } catch {
            // They stay gathered: there is no leader now, or too many reads are under way.
            return
        }
    }

    mutating func answered(_ result: ReadResult) {
        guard let waiting = reads.asked.removeValue(forKey: result.id) else { return }
        guard let index = result.index else { return reads.gathered += waiting }
        if index <= state.appliedIndex, !isFenced { return grant(waiting) }
        reads.confirmed.append((index, waiting))
    }

    mutating func grantReads() {
        guard !reads.confirmed.isEmpty, !isFenced else { return }
        let index = state.appliedIndex
        for read in reads.confirmed where read.index <= index { grant(read.waiting) }
        reads.confirmed.removeAll { $0.index <= index }
    }

    private mutating func grant(_ waiting: [ReadTable.Waiting]) {
        for one in waiting { output.reads.append((one.ticket, nil)) }
    }

    /// Reads that wait for too long are given up.
    mutating func expireReads() {
        guard !reads.isEmpty else { return }
        let bound = now - (raft.leader == nil ? limits.holdMilliseconds : limits.answerMilliseconds)
        var late = reads.gathered.filter { $0.since <= bound }
        reads.gathered.removeAll { $0.since <= bound }
        for id in reads.asked.keys.sorted() {
            late += reads.asked[id]?.filter { $0.since <= bound } ?? []
            reads.asked[id]?.removeAll { $0.since <= bound }
        }
        for i in reads.confirmed.indices {
            late += reads.confirmed[i].waiting.filter { $0.since <= bound }
            reads.confirmed[i].waiting.removeAll { $0.since <= bound }
        }
        for one in late { output.reads.append((one.ticket, .noLeader)) }
    }

    mutating func failReads(_ failure: ReplicaFailure) {
        let all =
            reads.gathered + reads.asked.keys.sorted().flatMap { reads.asked[$0] ?? [] }
            + reads.confirmed.flatMap(\.waiting)
        let last = reads.lastID
        reads = ReadTable()
        reads.lastID = last
        for one in all { output.reads.append((one.ticket, failure)) }
    }
}
