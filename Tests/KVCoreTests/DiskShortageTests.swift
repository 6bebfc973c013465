// Little room on disks: who is refused what, and where, and that nobody stays refused.
import KVCore
import Raft
import Testing

private func grow(_ lab: inout ReplicaLab, at i: Int) -> Result<Outcome, ReplicaFailure>? {
    outcome(.txn(Txn(success: [.put(Key("k"), [1])])), &lab, at: i)
}

private func outcome(_ command: Command, _ lab: inout ReplicaLab, at i: Int) -> Result<Outcome, ReplicaFailure>? {
    let ticket = lab.propose(command, at: i)
    lab.settle()
    for _ in 0..<100 where lab.outcomes[ticket] == nil { lab.pass(10) }
    return lab.outcomes[ticket]
}

private func isDone(_ result: Result<Outcome, ReplicaFailure>?) -> Bool {
    if case .success(let outcome)? = result, case .refused = outcome { return false }
    if case .success? = result { return true }
    return false
}

@Test func `one member with little room among three changes nothing`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect(), low = (leader + 1) % 3
    lab.cores[low].diskRoomChanged(isLow: true)
    lab.pass(2_000)
    #expect(lab.leader == leader)
    for i in lab.cores.indices { #expect(isDone(grow(&lab, at: i))) }
}

@Test func `when those with room are no quorum, growth is refused at every member and all else goes on`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect(), low = (leader + 1) % 3, other = (leader + 2) % 3
    let lease = LeaseID(rawValue: 7)
    #expect(isDone(outcome(.grantLease(lease, ttlMilliseconds: 60_000), &lab, at: leader)))
    #expect(isDone(grow(&lab, at: other)))
    for i in [low, other] { lab.cores[i].diskRoomChanged(isLow: true) }
    lab.pass(1_500)
    #expect(lab.leader == leader, "it has room")
    for i in lab.cores.indices {
        #expect(lab.cores[i].refusesGrowth)
        #expect(grow(&lab, at: i) == .failure(.noSpace))
        #expect(outcome(.grantLease(LeaseID(rawValue: 8), ttlMilliseconds: 5_000), &lab, at: i) == .failure(.noSpace))
        #expect(isDone(outcome(.keepAlive([lease]), &lab, at: i)))
        #expect(isDone(outcome(.txn(Txn(success: [.delete(Key("k"))])), &lab, at: i)))
    }
    #expect(isDone(outcome(.compact(lab.cores[leader].state.revision), &lab, at: other)))
    #expect(isDone(outcome(.revokeLease(lease), &lab, at: low)))
    // Long after: it is still so.
    lab.pass(10_000)
    for i in lab.cores.indices { #expect(grow(&lab, at: i) == .failure(.noSpace)) }
    lab.cores[low].diskRoomChanged(isLow: false)
    lab.pass(1_500)
    for i in lab.cores.indices { #expect(isDone(grow(&lab, at: i)), "\(i)") }
}

@Test func `a leader with little room hands over to a member that has more`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect(), low = (leader + 1) % 3, roomy = (leader + 2) % 3
    #expect(isDone(grow(&lab, at: leader)))
    lab.cores[low].diskRoomChanged(isLow: true)
    lab.pass(1_500)
    lab.cores[leader].diskRoomChanged(isLow: true)
    lab.pass(3_000)
    #expect(lab.leader == roomy)
    #expect(grow(&lab, at: leader) == .failure(.noSpace))
    lab.cores[leader].diskRoomChanged(isLow: false)
    lab.pass(1_500)
    #expect(isDone(grow(&lab, at: leader)))
}

@Test func `where nobody has room nobody hands over, and one alone refuses by itself`() {
    for count in [1, 3] {
        var lab = ReplicaLab(count)
        let leader = lab.elect()
        let term = lab.cores[leader].raft.term
        for i in lab.cores.indices { lab.cores[i].diskRoomChanged(isLow: true) }
        lab.pass(8_000)
        #expect(lab.leader == leader && lab.cores[leader].raft.term == term)
        for i in lab.cores.indices { #expect(grow(&lab, at: i) == .failure(.noSpace)) }
        for i in lab.cores.indices { lab.cores[i].diskRoomChanged(isLow: false) }
        lab.pass(1_500)
        for i in lab.cores.indices { #expect(isDone(grow(&lab, at: i))) }
    }
}

@Test func `what was said of room does not outlive who said it`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect(), low = (leader + 1) % 3, other = (leader + 2) % 3
    for i in [low, other] { lab.cores[i].diskRoomChanged(isLow: true) }
    lab.pass(1_500)
    #expect(lab.cores[leader].refusesGrowth)
    lab.mute = [low]
    lab.pass(4_000)
    #expect(!lab.cores[leader].refusesGrowth && isDone(grow(&lab, at: leader)))
    // A member that hears nothing any more does not refuse for ever.
    lab.mute = []
    lab.pass(1_500)
    #expect(lab.cores[low].refusesGrowth)
    lab.cut = [low]
    lab.tell(low, 900)
    lab.tell(low, 900)
    lab.tell(low, 900)
    lab.tell(low, 900)
    #expect(!lab.cores[low].refusesGrowth)
}
