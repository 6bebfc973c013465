// History that goes unasked: never, by age, or by count, as the leader was told.
import KVCore
import Raft
import Testing

/// A member alone that writes once a minute, and the compacted revision after each hour.
private func compacted(_ policy: CompactionPolicy, hours: Int) -> (revision: Int64, compacted: [Int64]) {
    var limits = ReplicaLimits()
    limits.compaction = policy
    var lab = ReplicaLab(1, limits: limits)
    let leader = lab.elect()
    var seen: [Int64] = []
    for _ in 0..<hours {
        for minute in 0..<60 {
            lab.put("k\(minute)", at: leader)
            for _ in 0..<120 {
                lab.tell(leader, 500)
                lab.settle()
            }
        }
        seen.append(lab.cores[leader].state.compactRevision.rawValue)
    }
    return (lab.cores[leader].state.revision.rawValue, seen)
}

@Test func `history is kept until it is asked for when nobody told otherwise`() {
    #expect(compacted(.never, hours: 3).compacted == [0, 0, 0])
}

@Test func `five minutes of history are kept for five to ten minutes`() {
    let (revision, compacted) = compacted(.age(milliseconds: 300_000), hours: 2)
    #expect((5...11).contains(revision - (compacted.last ?? 0)), "\(revision), \(compacted)")
}

@Test func `three hours of history are kept for three to four hours`() {
    let (revision, compacted) = compacted(.age(milliseconds: 3 * 3_600_000), hours: 8)
    #expect(compacted.prefix(3).allSatisfy { $0 <= 1 }, "\(compacted)")
    #expect((180...242).contains(revision - (compacted.last ?? 0)), "\(revision), \(compacted)")
}

@Test func `a hundred revisions are kept`() {
    let (revision, compacted) = compacted(.revisions(100), hours: 3)
    #expect((100...106).contains(revision - (compacted.last ?? 0)), "\(revision), \(compacted)")
}
