// Log time: what leaders count. No lease ends early, whoever leads and however late a process is told the time.
import KVCore
import Raft
import Testing

private let lease = LeaseID(rawValue: 7)
private func grant(_ ttl: Int64) -> Command { .grantLease(lease, ttlMilliseconds: ttl) }

extension ReplicaLab {
    fileprivate func deadline(at i: Int) -> Int64? { cores[i].state.leases[lease]?.deadline }
}

@Test func `a forwarded grant is stamped when it is appended, not when the leader last looked at its clock`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.put("a", at: other)
    let before = lab.cores[leader].state.logTime
    // The leader is not told the time for three quarters of a second; then the message and the clock come together.
    let ticket = lab.propose(grant(1_000), at: other)
    while let output = lab.cores[other].takeOutput() {
        for envelope in output.messages where Int(envelope.to.rawValue) - 1 == leader {
            lab.cores[leader].receive(envelope.message, from: lab.cores[other].id)
        }
    }
    lab.tell(leader, 750)
    lab.settle()
    #expect(lab.outcomes[ticket] != nil)
    #expect((lab.deadline(at: leader) ?? 0) >= before + 1_750)
}

@Test func `a new leader counts on from the log's time and leaves deadlines as they are`() {
    var lab = ReplicaLab(3)
    let old = lab.elect()
    lab.pass(4_000)
    lab.run(grant(60_000), at: old)
    let stamped = lab.cores[old].state.logTime, deadline = lab.deadline(at: old)
    #expect(stamped >= 4_000)
    lab.cut = [old]
    let new = lab.elect()
    #expect(new != old)
    lab.put("b", at: new)
    let taken = lab.cores[new].state.logTime
    #expect(taken >= stamped && taken <= stamped + 1_500, "\(stamped) -> \(taken): neither its boot nor zero")
    #expect(lab.deadline(at: new) == deadline)
    lab.pass(61_000)
    #expect(lab.deadline(at: new) == nil, "it ends when log time has reached its deadline")
}

@Test func `many changes of leadership do not add up to an early end`() {
    var lab = ReplicaLab(3)
    var leader = lab.elect()
    lab.run(grant(10_000), at: leader)
    let deadline = lab.deadline(at: leader) ?? 0
    // Each leadership begins at the very end of a millisecond and stamps at the very beginning of one: counted as one
    // more millisecond than has passed.
    for _ in 0..<20 {
        let target = (leader + 1) % 3
        _ = lab.cores[leader].request(.transfer(PeerID(UInt64(target) + 1)))
        lab.settle()
        lab.tell(target, 1)
        lab.put("k", at: target)
        leader = target
    }
    #expect(lab.leader == leader)
    #expect(deadline - lab.cores[leader].state.logTime >= 10_000, "no whole millisecond has passed in any leadership")
}

@Test func `time that a leader slept through is counted in part only`() {
    var lab = ReplicaLab(1)
    _ = lab.elect()
    lab.run(grant(5_000), at: 0)
    lab.tell(0, 3_600_000)
    lab.settle()
    #expect(lab.deadline(at: 0) != nil, "nobody could keep it alive meanwhile")
    lab.pass(6_000)
    #expect(lab.deadline(at: 0) == nil)
}

@Test func `a clock that goes back stops nothing`() {
    var lab = ReplicaLab(1)
    _ = lab.elect()
    lab.run(grant(1_000), at: 0)
    lab.tell(0, -3_600_000)
    lab.pass(2_000)
    #expect(lab.deadline(at: 0) == nil)
    #expect(lab.put("a", at: 0) != nil)
}
