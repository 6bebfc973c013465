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

@Test func `a witness is told where the others are, by whoever knows better`() {
    var lab = lab()
    let leader = lab.elect()
    lab.pass(1_000)
    func host(_ id: Int) -> String? { lab.cores[witness].members.first { $0.id == PeerID(UInt64(id)) }?.host }
    #expect(host(1) == "host")
    var moved = Member(id: PeerID(1), name: "m1", host: "moved", port: 2380)
    lab.run(.setMember(moved), at: leader)
    lab.pass(100)
    #expect(lab.cores[witness].state.members.isEmpty, "it keeps no commands")
    #expect(host(1) == "moved")
    // What it missed it hears from whoever connects to it; what is older than that changes nothing.
    let behind = 1 - leader
    let old = PeerMessage.directory(lab.cores[behind].state.appliedIndex, lab.cores[behind].members)
    lab.cut = [witness]
    moved.host = "again"
    lab.run(.setMember(moved), at: leader)
    lab.pass(100)
    lab.cut = []
    lab.cores[behind].connected(to: lab.cores[witness].id)
    lab.settle()
    #expect(host(1) == "again")
    lab.cores[witness].receive(old, from: lab.cores[behind].id)
    #expect(host(1) == "again" && lab.cores[witness].members.count == 3)
}

@Test func `a witness is added to two, learns, votes, and can be removed`() {
    var lab = ReplicaLab(2, limits: ReplicaLimits())
    let leader = lab.elect()
    for i in 0..<10 { lab.put("key\(i)", at: leader) }
    lab.join(isWitness: true)
    #expect(lab.cores[leader].request(.addWitness(PeerID(3))) == .begun)
    lab.pass(500)
    #expect(lab.cores[leader].request(.promote(PeerID(3))) == .begun)
    lab.pass(500)
    #expect(lab.cores[leader].raft.configuration.witness == PeerID(3))
    #expect(lab.cores[2].numbers.keyCount == 0)
    #expect(lab.cores[leader].request(.remove(PeerID(2))) == .impossible)
    lab.cut = [leader]
    #expect(lab.elect() == 1 - leader)
    #expect(lab.put("alone", at: 1 - leader) != nil)
    lab.cut = []
    lab.pass(1_000)
    #expect(lab.cores[1 - leader].request(.remove(PeerID(3))) == .begun)
    lab.pass(500)
    #expect(lab.cores[1 - leader].raft.configuration.witness == nil)
}

@Test func `a replica that joins knows everybody it was told of`() {
    let members = (1...3).map { Member(id: PeerID($0), name: "m\($0)", host: "host", port: 2380) }
    let core = ReplicaCore(
        id: PeerID(4), settings: RaftSettings(), limits: ReplicaLimits(), restored: .fresh(.empty),
        state: StateMachine(), initialMembers: members, seed: 1, now: 0)
    #expect(core.members == members)
}
