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
    /// Of all three.
    var count = 0
    /// None is older.
    private var oldest = Int64.max

    mutating func add(_ waiting: Waiting) {
        gathered.append(waiting)
        count += 1
        oldest = min(oldest, waiting.since)
    }

    /// Takes those out that wait since then or longer; looks at them only when there may be one.
    mutating func takeLate(_ bound: Int64) -> [Waiting] {
        guard count > 0, oldest <= bound else { return [] }
        var late: [Waiting] = []
        oldest = Self.sift(&gathered, bound, &late)
        for id in asked.keys.sorted() {
            guard var waiting = asked[id] else { continue }
            oldest = min(oldest, Self.sift(&waiting, bound, &late))
            asked[id] = waiting
        }
        for i in confirmed.indices { oldest = min(oldest, Self.sift(&confirmed[i].waiting, bound, &late)) }
        count -= late.count
        return late
    }

    /// Answers the oldest that stays.
    private static func sift(_ list: inout [Waiting], _ bound: Int64, _ late: inout [Waiting]) -> Int64 {
        late += list.filter { $0.since <= bound }
        list.removeAll { $0.since <= bound }
        return list.reduce(.max) { min($0, $1.since) }
    }
}

extension ReplicaCore {
    /// Under way, wherever they are.
    package static var readsMax: Int { 65_536 }

    /// Asks for a moment from which on the local state is not stale.
    package mutating func read(_ ticket: Ticket) {
        guard !raft.settings.isWitness else { return output.reads.append((ticket, .noLeader)) }
        guard reads.count < Self.readsMax else { return output.reads.append((ticket, .overloaded)) }
        reads.add(.init(ticket: ticket, since: now))
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
        reads.count -= waiting.count
        for one in waiting { output.reads.append((one.ticket, nil)) }
    }

    /// Reads that wait for too long are given up.
    mutating func expireReads() {
        let bound = now - (raft.leader == nil ? limits.holdMilliseconds : limits.answerMilliseconds)
        for one in reads.takeLate(bound) { output.reads.append((one.ticket, .noLeader)) }
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
