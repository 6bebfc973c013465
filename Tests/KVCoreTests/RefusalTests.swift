// What a leader without room refuses is asked again a little later, not at once.
import KVCore
import Raft
import Testing

@Test func `a leader that refuses to open a session is not asked again at once`() {
    var core = ReplicaCore(
        id: PeerID(1), settings: RaftSettings(), limits: ReplicaLimits(),
        restored: .fresh(Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])), state: StateMachine(),
        initialMembers: [], seed: 1, now: 0)
    func asked() -> Int {
        var count = 0
        while let output = core.takeOutput() {
            for case .propose(let list) in output.messages.map(\.message) { count += list.count }
        }
        return count
    }
    core.receive(
        .raft(Message(from: PeerID(2), to: PeerID(1), term: Term(1), .heartbeat(commit: .zero, round: 1))),
        from: PeerID(2))
    core.propose(Ticket(rawValue: 1), .compact(Revision(1)))
    #expect(asked() == 1)
    core.receive(.proposeRefused([0]), from: PeerID(2))
    #expect(asked() == 0)
    core.advance(to: 10)
    #expect(asked() == 1)
}

@Test func `a leader whose state's disk is far behind takes no more than its log may hold`() {
    var limits = ReplicaLimits()
    limits.logBytesFullMax = 8192
    limits.logTailEntries = 4
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect()
    let command = Command.txn(Txn(success: [.put(Key("k"), Array(repeating: 1, count: 500))]))
    for _ in 0..<5 { #expect(lab.run(command, at: leader) != nil) }
    var refused = 0
    for _ in 0..<20 {
        let ticket = lab.propose(command, at: leader)
        lab.settle()
        if case .failure(.overloaded)? = lab.outcomes[ticket] { refused += 1 }
    }
    #expect(refused > 5 && lab.cores[leader].raft.logBytes < 10_000)
    lab.cores[leader].stateDurable(at: lab.cores[leader].state.appliedIndex)
    #expect(lab.run(command, at: leader) != nil)
}

@Test func `what was sent once is not called refused when its next copy is too large`() {
    var limits = ReplicaLimits()
    limits.answerMilliseconds = 3_000
    // Room for a number of one byte that says what is settled, not for one of two.
    let command = Command.txn(Txn(success: [.put(Key("large"), Array(repeating: 1, count: 300))]))
    for room in 0..<2 {
        var probe = ReplicaLab(3)
        let first = probe.elect()
        let id = ProposalID(client: probe.cores[(first + 1) % 3].clientID, serial: 200, settledBelow: 199)
        limits.proposalBytesMax = EntryFormat.encode(ClientProposal(id: id, command: command)).count - room
        var lab = ReplicaLab(3, limits: limits)
        let leader = lab.elect(), other = (leader + 1) % 3
        for number in 0..<126 { lab.put("k\(number)", at: other) }
        // The leader hears nothing any more; others keep `other` from noticing.
        lab.mute = [other]
        _ = lab.propose(.txn(Txn(success: [.put(Key("small"), [1])])), at: other)
        lab.pass(2_000)
        for number in 0..<3 { _ = lab.propose(.txn(Txn(success: [.put(Key("s\(number)"), [1])])), at: other) }
        let large = lab.propose(command, at: other)
        lab.pass(6_000)
        #expect(lab.outcomes[large] == .failure(.unknownOutcome), "room \(room)")
    }
}
