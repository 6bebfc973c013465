// A full session table ends the sessions that nobody uses; meanwhile nobody spins.
import KVCore
import Raft
import Testing

/// A member alone, after so many boots that no session is left for it.
private func crowded() -> ReplicaCore {
    let sessions = (0..<SessionTable.sessionsMax).map {
        Session(client: ClientID(rawValue: UInt64($0) + 1), lastUsed: 0)
    }
    let state = StateMachine(
        counters: StateCounters(), records: OrderedTree(), leases: [], sessions: sessions, members: [], history: [])
    return ReplicaCore(
        id: PeerID(1), settings: RaftSettings(), limits: ReplicaLimits(),
        restored: .fresh(Configuration(voters: [PeerID(1)])), state: state, initialMembers: [], seed: 1, now: 0)
}

/// Obeys for a while; answers how many entries were saved, and what came of proposals.
private func run(
    _ core: inout ReplicaCore, from start: Int64, through end: Int64
) -> (entries: Int, outcomes: [Result<Outcome, ReplicaFailure>]) {
    var entries = 0
    var outcomes: [Result<Outcome, ReplicaFailure>] = []
    for time in stride(from: start, through: end, by: 10) {
        core.advance(to: time)
        for _ in 0..<100 {
            guard let output = core.takeOutput() else { break }
            outcomes += output.outcomes.map(\.result)
            guard let save = output.save else { continue }
            entries += save.raft.entries.count
            core.saved(save.raft.id)
        }
    }
    return (entries, outcomes)
}

@Test func `a full table of sessions is cleared of those that were silent for a minute, without a session`() {
    var core = crowded()
    let first = run(&core, from: 10, through: 5_000)
    #expect(first.entries < 20, "asking for a session is paced")
    #expect(core.state.sessions.sessions.count == SessionTable.sessionsMax)
    _ = run(&core, from: 5_010, through: 70_000)
    #expect(core.state.sessions.sessions.count == 1, "its own")
    core.propose(Ticket(rawValue: 1), .txn(Txn(success: [.put(Key("a"), [1])])))
    let last = run(&core, from: 70_010, through: 70_100)
    guard case .success(.txn)? = last.outcomes.first else {
        Issue.record("no outcome: \(last.outcomes)")
        return
    }
}

@Test func `sessions end by a fenced command of nobody's; without a fence it needs a session`() {
    var driver = Driver()
    let stranger = ProposalID(client: ClientID(rawValue: 5), serial: 9, settledBelow: 9)
    driver.time = 100_000
    let command = Command.expireSessions([driver.client], idleMilliseconds: 60_000)
    let bare = driver.applyRaw(ClientProposal(id: stranger, command: command))
    #expect(bare.outcome == .refused(.sessionExpired))
    #expect(driver.machine.sessions[driver.client] != nil)
    let old = driver.applyRaw(ClientProposal(id: stranger, command: command), fence: Term(7))
    #expect(old.outcome == .fenced)
    let fenced = driver.applyRaw(ClientProposal(id: stranger, command: command), fence: Term(1))
    #expect(fenced.outcome == .done(driver.machine.revision))
    #expect(driver.machine.sessions.sessions.isEmpty)
}

/// Follower `asked` is suspended after it has forwarded a write that is executed meanwhile; its session ends, and the log
/// with it.
@Test func `a write that a snapshot skipped is not executed again when its session has ended meanwhile`() {
    var limits = ReplicaLimits()
    limits.sessionIdleMilliseconds = 2_000
    limits.logTailEntries = 4
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect(), asked = (leader + 1) % 3
    lab.put("before", at: asked)
    lab.pass(100)
    let ticket = lab.propose(.txn(Txn(success: [.put(Key("x"), [1])])), at: asked)
    lab.act(asked)
    lab.cut = [asked]
    lab.settle()
    lab.run(.txn(Txn(success: [.put(Key("x"), [2])])), at: leader)
    lab.pass(6_000)
    for number in 0..<20 { lab.put("k\(number)", at: leader) }
    #expect(lab.cores[leader].state.sessions[lab.cores[asked].clientID] == nil, "it was silent for too long")
    for i in lab.cores.indices where i != asked { lab.cores[i].stateDurable(at: lab.cores[i].state.appliedIndex) }
    lab.cut = []
    lab.pass(3_000)
    #expect(lab.cores[asked].statesInstalled == 1)
    #expect(lab.outcomes[ticket] == .failure(.unknownOutcome))
    for core in lab.cores { #expect(core.view.get(Key("x"))?.value == [2]) }
    #expect(lab.put("after", at: asked) != nil)
}

@Test func `above the limit of its state a cluster still deletes, at any member`() {
    var limits = ReplicaLimits()
    limits.stateBytesMax = 4_000
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect(), asked = (leader + 1) % 3
    for number in 0..<100 { lab.put("key\(number)", at: leader) }
    lab.pass(100)
    #expect(lab.cores[asked].state.stateBytes > limits.stateBytesMax)
    let refused = lab.propose(.txn(Txn(success: [.put(Key("more"), [1])])), at: asked)
    lab.settle()
    #expect(lab.outcomes[refused] == .failure(.noSpace))
    let deleted = lab.propose(.txn(Txn(success: [.delete(.prefix(Key("key")), returnPrevious: false)])), at: asked)
    lab.settle()
    guard case .success(.txn)? = lab.outcomes[deleted] else {
        Issue.record("no outcome: \(String(describing: lab.outcomes[deleted]))")
        return
    }
    #expect(lab.put("more", at: asked) != nil)
}
