// Commands that take long are executed aside: the replica goes on to lead and to serve what was before, what is behind
// them waits, and all of it comes at once.
import KVCore
import Raft
import Testing

private let everything = Command.txn(
    Txn(success: [.delete(KeyRange(lower: Key(""), upper: nil), returnPrevious: false)]))

/// Three members with twenty keys, of which the first executes slowly what deletes more than ten.
private struct Slow {
    var lab: ReplicaLab
    let leader: Int
    var deletion: Ticket

    init(workMax: Int = ReplicaLimits().applyWorkMax) {
        var limits = ReplicaLimits()
        limits.applyKeysMax = 10
        limits.applyWorkMax = workMax
        limits.hashEntries = 4
        lab = ReplicaLab(3, limits: limits)
        leader = lab.elect()
        for number in 0..<20 { lab.put("key\(number)", at: leader) }
        lab.busy = [leader]
        deletion = lab.propose(everything, at: leader)
        lab.settle()
    }

    var hashes: Set<UInt64> { Set(lab.cores.map(\.state.stateHash)) }
}

@Test func `a leader leads while it executes what takes long`() {
    var slow = Slow()
    let leader = slow.leader, term = slow.lab.cores[leader].raft.term
    let next = slow.lab.propose(.txn(Txn(success: [.put(Key("after"), [1])])), at: leader)
    let read = slow.lab.read(at: leader)
    slow.lab.pass(5_000)
    #expect(slow.lab.leader == leader && slow.lab.cores[leader].raft.term == term)
    #expect(slow.lab.cores[leader].view.keyCount == 20 && slow.lab.cores[(leader + 1) % 3].view.keyCount == 1)
    #expect(slow.lab.outcomes[slow.deletion] == nil && slow.lab.outcomes[next] == nil)
    #expect(!slow.lab.grantedReads.contains(read))
    #expect(slow.lab.cores[leader].takeStateChanges() == nil, "it would be told twice")
    slow.lab.execute(leader)
    guard case .success(.txn(let result))? = slow.lab.outcomes[slow.deletion] else {
        Issue.record("no outcome")
        return
    }
    #expect(result.results == [.delete(count: 20, previous: [])])
    #expect(slow.lab.outcomes[next] != nil && slow.lab.grantedReads.contains(read))
    #expect(slow.hashes.count == 1 && slow.lab.cores[leader].view.keyCount == 1)
    #expect(slow.lab.cores[leader].takeStateChanges()?.events.count == 22)
}

@Test func `a watcher is told of all of it at once`() {
    var slow = Slow()
    slow.lab.cores[slow.leader].watch(WatchID(rawValue: 1), KeyRange(lower: Key("key"), upper: Key("kez")), after: nil)
    var told: [Int] = []
    func take() {
        while let output = slow.lab.cores[slow.leader].takeOutput() {
            for notice in output.notices {
                if case .events(_, let events) = notice.delivery { told.append(events.count) }
            }
        }
    }
    take()
    guard let execution = slow.lab.executions[slow.leader] else {
        Issue.record("it was executed in place")
        return
    }
    #expect(told.isEmpty)
    slow.lab.cores[slow.leader].executed(execution.run())
    take()
    #expect(told == [20])
    slow.lab.cores[slow.leader].executed(execution.run())
    take()
    #expect(told == [20], "once")
}

@Test func `what gathered behind it is applied in rounds, in order`() {
    var slow = Slow(workMax: 6)
    let waiting = (0..<20).map { slow.lab.propose(.txn(Txn(success: [.put(Key("k\($0)"), [1])])), at: slow.leader) }
    slow.lab.pass(500)
    guard let execution = slow.lab.executions[slow.leader] else {
        Issue.record("it was executed in place")
        return
    }
    #expect(slow.lab.outcomes.keys.allSatisfy { !waiting.contains($0) })
    slow.lab.cores[slow.leader].executed(execution.run())
    var rounds: [[Ticket]] = []
    while let output = slow.lab.cores[slow.leader].takeOutput() { rounds.append(output.outcomes.map(\.ticket)) }
    #expect(Array(rounds.joined()) == [slow.deletion] + waiting)
    // Each is an entry and a change.
    #expect(rounds.allSatisfy { $0.count <= 4 })
    slow.lab.pass(500)
    #expect(slow.hashes.count == 1)
}

@Test func `with many watchers a round has fewer entries`() {
    var limits = ReplicaLimits()
    limits.applyWorkMax = 100
    var lab = ReplicaLab(1, limits: limits)
    let leader = lab.elect()
    for number in 0..<50 { lab.cores[leader].watch(WatchID(rawValue: UInt64(number)), .all, after: nil) }
    while lab.cores[leader].takeOutput() != nil {}
    for number in 0..<20 { _ = lab.propose(.txn(Txn(success: [.put(Key("k\(number)"), [1])])), at: leader) }
    var told: [Int] = []
    var saves: [SaveID] = []
    repeat {
        while let output = lab.cores[leader].takeOutput() {
            if !output.notices.isEmpty { told.append(output.notices.count) }
            if let save = output.save { saves.append(save.raft.id) }
        }
        for save in saves { lab.cores[leader].saved(save) }
        let isMore = !saves.isEmpty
        saves = []
        guard isMore else { break }
    } while true
    #expect(told.reduce(0, +) == 1000)
    #expect(told.allSatisfy { $0 <= 100 })
}

@Test func `what looks at few keys again and again takes long too`() {
    var limits = ReplicaLimits()
    limits.applyKeysMax = 50
    limits.applyWorkMax = 45
    var lab = ReplicaLab(1, limits: limits)
    let leader = lab.elect()
    for number in 0..<20 { lab.put("key\(number)", at: leader) }
    let look = Op.range(RangeRequest(.all))
    lab.busy = [leader]
    let often = lab.propose(.txn(Txn(success: [look, look, look])), at: leader)
    lab.settle()
    #expect(lab.executions[leader] != nil && lab.outcomes[often] == nil)
    lab.execute(leader)
    #expect(lab.outcomes[often] != nil)
    let once = (0..<12).map { _ in lab.propose(.txn(Txn(success: [look])), at: leader) }
    var rounds: [[Ticket]] = []
    var saves: [SaveID] = []
    repeat {
        for save in saves { lab.cores[leader].saved(save) }
        saves = []
        while let output = lab.cores[leader].takeOutput() {
            if !output.outcomes.isEmpty { rounds.append(output.outcomes.map(\.ticket)) }
            if let save = output.save { saves.append(save.raft.id) }
        }
    } while !saves.isEmpty
    #expect(Array(rounds.joined()) == once)
    #expect(rounds.allSatisfy { $0.count <= 3 })
}

@Test func `who loses leadership while it executes ends with the same state`() {
    var slow = Slow()
    slow.lab.cut = [slow.leader]
    slow.lab.pass(3_000)
    guard let other = slow.lab.leader else {
        Issue.record("nobody leads")
        return
    }
    for number in 0..<20 { slow.lab.put("new\(number)", at: other) }
    slow.lab.cut = []
    slow.lab.pass(500)
    #expect(slow.hashes.count == 2)
    slow.lab.execute(slow.leader)
    slow.lab.pass(500)
    #expect(slow.hashes.count == 1 && slow.lab.alarms.isEmpty)
}

@Test func `what is executed for a state that was replaced meanwhile is dropped`() {
    var slow = Slow()
    let leader = slow.leader
    slow.lab.cores[leader].distrustState(at: slow.lab.cores[leader].state.appliedIndex)
    slow.lab.pass(3_000)
    #expect(slow.lab.cores[leader].statesInstalled == 1 && !slow.lab.cores[leader].isFenced)
    slow.lab.put("after", at: leader)
    slow.lab.execute(leader)
    slow.lab.put("more", at: leader)
    #expect(slow.hashes.count == 1 && slow.lab.cores[leader].view.keyCount == 2)
}

@Test func `the end of a lease with many keys is executed aside too`() {
    var limits = ReplicaLimits()
    limits.applyKeysMax = 10
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect(), lease = LeaseID(rawValue: 7)
    lab.run(.grantLease(lease, ttlMilliseconds: 600_000), at: leader)
    lab.run(.txn(Txn(success: (0..<20).map { .put(Key("k\($0)"), [1], lease: lease) })), at: leader)
    lab.busy = [leader]
    let revoked = lab.propose(.revokeLease(lease), at: leader)
    lab.settle()
    #expect(lab.outcomes[revoked] == nil && lab.executions[leader] != nil)
    lab.execute(leader)
    #expect(lab.outcomes[revoked] != nil && lab.cores[leader].view.keyCount == 0)
}

@Test func `messages go out before what is committed is applied`() {
    var lab = ReplicaLab(3)
    let leader = lab.elect()
    lab.mute = Set(0..<3)
    _ = lab.propose(.txn(Txn(success: [.put(Key("a"), [1])])), at: leader)
    lab.act(leader)
    let core = lab.cores[leader], other = lab.cores[(leader + 1) % 3].id, before = core.state.appliedIndex
    lab.cores[leader].receive(
        .raft(
            Message(
                from: other, to: core.id, term: core.raft.term, .appendResponse(.init(index: core.raft.lastIndex)))),
        from: other)
    let first = lab.cores[leader].takeOutput()
    #expect(first?.messages.isEmpty == false && lab.cores[leader].state.appliedIndex == before)
    let second = lab.cores[leader].takeOutput()
    #expect(second?.outcomes.count == 1 && lab.cores[leader].state.appliedIndex > before)
}

@Test func `a leader that finds itself to be wrong while it applies is fenced in the middle of it`() {
    var limits = ReplicaLimits()
    limits.applyKeysMax = 10
    limits.hashEntries = 4
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect()
    for number in 0..<20 { lab.put("key\(number)", at: leader) }
    lab.cores[leader].flipState()
    lab.busy = [leader]
    let keys = KeyRange(lower: Key("key"), upper: Key("kez"))
    _ = lab.propose(.txn(Txn(success: [.delete(keys, returnPrevious: false)])), at: leader)
    for number in 0..<8 { _ = lab.propose(.txn(Txn(success: [.put(Key("later\(number)"), [1])])), at: leader) }
    lab.settle()
    // Both others have told their hashes by now.
    #expect(!lab.cores[leader].isFenced && lab.executions[leader] != nil)
    lab.execute(leader)
    #expect(lab.alarms.isEmpty == false)
    lab.pass(5_000)
    #expect(lab.cores[leader].statesInstalled == 1 && !lab.cores[leader].isFenced)
    #expect(Set(lab.cores.map(\.state.stateHash)).count == 1)
}
