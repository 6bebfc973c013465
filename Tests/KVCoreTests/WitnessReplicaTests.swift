// Two replicas with data and a witness: what the store makes of the peer that votes and keeps no commands.
import KVCore
import Raft
import Testing

private let witness = 2

private func lab(_ limits: ReplicaLimits = ReplicaLimits()) -> ReplicaLab {
    ReplicaLab(3, limits: limits, witness: PeerID(UInt64(witness) + 1))
}

@Test func `a witness has the log's places and none of its keys`() {
    var lab = lab()
    let leader = lab.elect()
    #expect(leader != witness)
    for i in 0..<50 { lab.put("key\(i)", at: i % 2) }
    lab.pass(500)
    let raft = lab.cores[witness].raft
    #expect(lab.cores[witness].state.appliedIndex == lab.cores[leader].state.appliedIndex)
    #expect(lab.cores[witness].numbers.keyCount == 0 && lab.cores[leader].numbers.keyCount == 50)
    raft.forEachEntry(after: .zero) { #expect($0.kind != .normal && ($0.kind == .configuration || $0.data.isEmpty)) }
}

@Test func `with the witness either of the others goes on alone, and nothing is lost`() {
    for gone in [0, 1] {
        var lab = lab()
        _ = lab.elect()
        lab.put("before", at: 0)
        lab.pass(100)
        lab.cut = [gone]
        #expect(lab.elect() == 1 - gone)
        #expect(lab.put("alone", at: 1 - gone) != nil)
        lab.cut = []
        lab.pass(1_000)
        #expect(lab.put("after", at: gone) != nil)
        lab.pass(500)
        #expect(lab.cores[0].numbers.keyCount == 3 && lab.cores[1].numbers.keyCount == 3)
        #expect(lab.cores[0].state.stateHash == lab.cores[1].state.stateHash)
        #expect(lab.alarms.isEmpty)
    }
}

@Test func `a witness says nothing of the state, and two states that differ raise the alarm`() {
    var limits = ReplicaLimits()
    limits.hashEntries = 4
    var lab = lab(limits)
    let leader = lab.elect()
    for i in 0..<40 { lab.put("key\(i)", at: leader) }
    #expect(lab.alarms.isEmpty)
    lab.cores[1 - leader].flipState()
    for i in 0..<20 { lab.put("more\(i)", at: leader) }
    #expect(
        lab.alarms.contains {
            if case .noMajority(_, let hashes) = $0 { return hashes.count == 2 } else { return false }
        })
    #expect(!lab.cores.contains { $0.isFenced }, "one against one: nobody knows better, least of all the witness")
}

@Test func `a witness that is far behind is sent a place and no keys`() {
    var limits = ReplicaLimits()
    limits.logTailEntries = 4
    var lab = lab(limits)
    let leader = lab.elect()
    lab.cut = [witness]
    for i in 0..<60 { lab.put("key\(i)", at: leader) }
    for i in [0, 1] { lab.cores[i].stateDurable(at: lab.cores[i].state.appliedIndex) }
    lab.settle()
    #expect(lab.cores[leader].raft.compactIndex > lab.cores[witness].raft.lastIndex)
    lab.cut = []
    lab.pass(2_000)
    #expect(lab.cores[witness].statesInstalled == 1)
    #expect(lab.cores[witness].numbers.keyCount == 0)
    #expect(lab.cores[witness].state.sortedMembers.count == 3)
    #expect(lab.cores[witness].state.appliedIndex == lab.cores[leader].state.appliedIndex)
    lab.cut = [leader]
    #expect(lab.elect() == 1 - leader)
    #expect(lab.put("alone", at: 1 - leader) != nil)
}

@Test func `a witness serves nobody and says so at once`() {
    var lab = lab()
    _ = lab.elect()
    let ticket = lab.propose(.txn(Txn(success: [.put(Key("a"), [1])])), at: witness), read = lab.read(at: witness)
    lab.settle()
    #expect(lab.outcomes[ticket] == .failure(.noLeader))
    lab.pass(500)
    #expect(!lab.grantedReads.contains(read))
}
