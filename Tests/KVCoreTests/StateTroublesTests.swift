// Whose state is wrong is known at every member, as long as it is so.
import KVCore
import Raft
import Testing

extension ReplicaLab {
    fileprivate var troubles: [StateTroubles] { cores.map(\.stateTroubles) }
}

@Test(arguments: [true, false]) func `whose state is wrong is known at every member until it has another one`(
    isLeader: Bool
) {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), wrong = isLeader ? leader : (leader + 1) % 3, good = (leader + 2) % 3
    lab.write(4, at: leader)
    #expect(!lab.troubles.contains { !$0.isEmpty })
    lab.holdsPieces = true
    lab.cores[wrong].flipState()
    lab.write(20, at: good)
    lab.pass(10_000)
    #expect(lab.cores[wrong].isFenced)
    #expect(lab.troubles.allSatisfy { $0 == StateTroubles(wrong: [lab.cores[wrong].id]) })
    lab.holdsPieces = false
    for _ in 0..<600 where lab.cores[wrong].isFenced { lab.pass(100) }
    #expect(!lab.cores[wrong].isFenced)
    lab.pass(1_500)
    #expect(!lab.troubles.contains { !$0.isEmpty })
}

@Test func `what was said of a state does not outlive who said it`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), wrong = (leader + 1) % 3
    lab.write(4, at: leader)
    lab.holdsPieces = true
    lab.cores[wrong].flipState()
    lab.write(20, at: leader)
    lab.pass(1_500)
    #expect(lab.troubles.allSatisfy { $0.wrong == [lab.cores[wrong].id] })
    lab.cut = [wrong]
    lab.pass(7_000)
    for i in lab.cores.indices where i != wrong { #expect(lab.cores[i].stateTroubles.isEmpty) }
    #expect(lab.cores[wrong].stateTroubles.wrong == [lab.cores[wrong].id])
}

@Test func `that no majority agrees on a state is known at every member until one does`() {
    var lab = ReplicaLab.agreeing(2)
    let leader = lab.elect(), other = 1 - leader
    lab.write(4, at: leader)
    lab.cores[leader].flipState()
    lab.write(20, at: leader)
    lab.pass(1_500)
    #expect(lab.troubles.allSatisfy { $0 == StateTroubles(isUndecided: true) })
    // Long after: it is still so.
    lab.pass(10_000)
    #expect(lab.troubles.allSatisfy { $0 == StateTroubles(isUndecided: true) })
    lab.join()
    for change in [MemberChange.addLearner(PeerID(3)), .promote(PeerID(3))] {
        #expect(lab.cores[leader].request(change) == .begun)
        lab.pass(3_000)
    }
    lab.write(20, at: leader)
    lab.pass(5_000)
    #expect(!lab.troubles.contains { !$0.isEmpty })
    // The third one made its own from the log: the leader's was the wrong one.
    #expect(lab.cores[leader].statesInstalled == 1 && lab.cores[other].statesInstalled == 0)
    #expect(Set(lab.cores.map(\.state.stateHash)).count == 1)
}
