// Leases at one peer: what settings are refused, what order of reads and clock is asked of the shell, and what hostile or
// differently set peers may say. Scenarios show whole clusters (`Tests/RaftScenarios/lease*.txt`).

import Raft
import Testing

private func leasing() -> RaftSettings {
    var settings = RaftSettings()
    settings.leaseReads = true
    settings.usesConnectionLossHint = false
    return settings
}

/// The leader of three in term 1, with its first entry committed, at 1000 of its clock. 2 answered, 3 did not.
private struct Leader {
    var core: RaftCore
    var sent: [Message] = []
    var reads: [ReadResult] = []

    init(_ settings: RaftSettings = leasing()) {
        let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
        core = RaftCore(id: PeerID(1), settings: settings, restored: .fresh(three), seed: 7)
        for tick in 0..<60 where core.leadership.role == .follower {
            core.tell(clock: Int64(tick) * 10)
            core.tick()
        }
        drain()
        hear(.preVoteResponse(granted: true), term: 1)
        hear(.voteResponse(granted: true), term: 1)
        core.tell(clock: 1000)
        hear(.appendResponse(.init(index: LogIndex(1))), term: 1)
        sent = []
    }

    mutating func drain() {
        while let ready = core.takeReady() {
            if let save = ready.save { core.saved(save.id) }
            if let last = ready.committed.last { core.applied(to: last.index) }
            sent += ready.messages
            reads += ready.reads
        }
    }

    mutating func hear(_ body: Message.Body, from peer: UInt64 = 2, term: UInt64 = 1) {
        core.step(Message(from: PeerID(peer), to: PeerID(1), term: Term(term), body))
        drain()
    }

    mutating func tick(_ count: Int = 5) {
        for _ in 0..<count { core.tick() }
        drain()
    }

    /// The round that was last sent.
    var asked: UInt64? {
        for message in sent.reversed() { if case .heartbeat(_, let round) = message.body { return round } }
        return nil
    }
}

/// A follower of 1 in term 1, at 1000 of its clock, free.
private func follower(_ settings: RaftSettings = leasing()) -> RaftCore {
    let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    let state = HardState(term: Term(1), vote: PeerID(1))
    let metadata = SnapshotMetadata(index: .zero, term: .zero, configuration: three)
    var core = RaftCore(
        id: PeerID(2), settings: settings,
        restored: Restored(hardState: state, snapshot: metadata, base: .zero, entries: []), seed: 7)
    for clock in stride(from: 0, through: 1000, by: 10) { core.tell(clock: Int64(clock)) }
    return core
}

private func answer(_ core: inout RaftCore, to round: UInt64) -> UInt64? {
    core.step(Message(from: PeerID(1), to: PeerID(2), term: Term(1), .heartbeat(commit: .zero, round: round)))
    for message in core.takeReady()?.messages ?? [] {
        if case .heartbeatResponse(let round) = message.body { return round }
    }
    return nil
}

@Test func `lease reads and the connection-loss hint are refused together`() {
    #expect(leasing().isValid)
    var both = leasing()
    both.usesConnectionLossHint = true
    #expect(!both.isValid)
}

@Test func `lease reads are refused where heartbeats could not renew a promise`() {
    var short = leasing()
    short.electionTicksMin = 10
    #expect(!short.isValid, "6 ticks less a fifth are less than a heartbeat")
    var drift = leasing()
    drift.leaseDriftPercent = 100
    #expect(!drift.isValid)
    var margin = leasing()
    margin.leaseMarginTicks = 0
    #expect(!margin.isValid)
    var long = leasing()
    (long.electionTicksMin, long.electionTicksMax) = (1 << 40, 1 << 41)
    #expect(!long.isValid)
    var units = leasing()
    units.tickUnits = 0
    #expect(!units.isValid)
}

@Test func `a round carries what is asked beside its number`() throws {
    let round = ReadRound.asking(77, length: 150)
    #expect(ReadRound.number(round) == 77 && ReadRound.length(round) == 150 && !ReadRound.isPromise(round))
    let answer = ReadRound.giving(round)
    #expect(ReadRound.number(answer) == 77 && ReadRound.length(answer) == 150 && ReadRound.isPromise(answer))
}

@Test func `a read that was taken after the clock was told waits for a round`() throws {
    var leader = Leader()
    leader.tick()
    leader.hear(.heartbeatResponse(round: ReadRound.giving(try #require(leader.asked))))
    #expect(leader.core.hasLease)
    leader.sent = []
    // The process may have slept for hours between the two.
    try leader.core.readIndex(ReadID(1))
    leader.drain()
    #expect(leader.reads.isEmpty && leader.sent.count == 2, "it asks")
    try leader.core.readIndex(ReadID(2))
    leader.core.tell(clock: 1087)
    leader.drain()
    #expect(leader.reads.map(\.id) == [ReadID(1), ReadID(2)])
    try leader.core.readIndex(ReadID(3))
    leader.core.tell(clock: 1088)
    leader.drain()
    #expect(leader.reads.count == 2, "the promise may be over")
    leader.hear(.heartbeatResponse(round: try #require(leader.asked)), from: 3)
    #expect(
        leader.reads.last?.id == ReadID(3) && leader.reads.last?.index == LogIndex(1), "any answer is one to a round")
}

@Test func `a clock that goes back ends a lease`() throws {
    var leader = Leader()
    leader.tick()
    let round = ReadRound.giving(try #require(leader.asked))
    leader.hear(.heartbeatResponse(round: round))
    #expect(leader.core.hasLease)
    leader.core.tell(clock: 999)
    #expect(!leader.core.hasLease)
    leader.hear(.heartbeatResponse(round: round), from: 3)
    #expect(!leader.core.hasLease, "when that was asked cannot be told any more")
    leader.tick()
    leader.hear(.heartbeatResponse(round: ReadRound.giving(try #require(leader.asked))))
    #expect(try #require(leader.core.leaseEnd) == Int64(1087))
}

@Test func `no answer makes a promise or a round that was not asked for`() throws {
    var leader = Leader()
    leader.tick()
    let asked = try #require(leader.asked), number = ReadRound.number(asked)
    let lies = [
        asked, UInt64.max, ReadRound.giving(0), ReadRound.giving(number),
        ReadRound.giving(ReadRound.asking(number + 1, length: 150)),
        ReadRound.giving(ReadRound.asking(number, length: 149)),
        ReadRound.giving(ReadRound.asking(number, length: 65_535))
    ]
    for lie in lies { leader.hear(.heartbeatResponse(round: lie)) }
    #expect(!leader.core.hasLease)
    try leader.core.readIndex(ReadID(1))
    leader.drain()
    for lie in lies { leader.hear(.heartbeatResponse(round: lie)) }
    #expect(leader.reads.map(\.id) == [ReadID(1)], "the one that was a round ahead, and lied, is like any answer to it")
}

@Test func `promises mean nothing to a leader without leases`() throws {
    var leader = Leader(RaftSettings())
    leader.tick()
    let asked = try #require(leader.asked)
    #expect(ReadRound.length(asked) == 0)
    leader.hear(.heartbeatResponse(round: ReadRound.giving(ReadRound.asking(asked, length: 150))))
    leader.core.tell(clock: 1001)
    #expect(leader.core.leaseEnd == nil && !leader.core.hasLease)
}

@Test func `who may be freed by the connection-loss hint promises nothing`() {
    var core = follower(RaftSettings())
    #expect(answer(&core, to: ReadRound.asking(3, length: 150)) == ReadRound.asking(3, length: 150))
    #expect(core.boundUnits == 0)
    // Nor does an answer look like a promise because the question did.
    let odd = ReadRound.giving(ReadRound.asking(3, length: 150))
    #expect(answer(&core, to: odd).map(ReadRound.isPromise) == false)
}

@Test func `nothing is promised that would not be kept over a restart`() {
    var core = follower()
    #expect(answer(&core, to: ReadRound.asking(3, length: 151)).map(ReadRound.isPromise) == false)
    #expect(core.boundUnits == 0)
    #expect(answer(&core, to: ReadRound.asking(4, length: 150)).map(ReadRound.isPromise) == true)
    #expect(core.boundUnits == 151)
    // A shorter one does not end it.
    #expect(answer(&core, to: ReadRound.asking(5, length: 1)).map(ReadRound.isPromise) == true)
    #expect(core.boundUnits == 151)
}

@Test func `a peer is bound at its start until its clock was told that the time is over`() {
    let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    var core = RaftCore(id: PeerID(2), settings: leasing(), restored: .fresh(three), seed: 7)
    for _ in 0..<100 { core.tick() }
    #expect(core.boundUnits == 151 && core.leadership.role == .follower, "ticks alone do not end it")
    core.tell(clock: 5_000_000)
    #expect(core.boundUnits == 151, "it is not known how long ago it was started")
    core.tell(clock: 9_000_000)
    #expect(core.boundUnits == 111, "of a silence or a jump only a part counts")
    core.tell(clock: 1)
    #expect(core.boundUnits == 111)
    for clock in 1...111 { core.tell(clock: 1 + Int64(clock)) }
    #expect(core.boundUnits == 0)
    core.tick()
    #expect(core.leadership.role == .candidate)
}

@Test func `who gives no promises any more keeps those of a former life`() {
    var settings = RaftSettings()
    settings.mayHavePromised = true
    let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    var core = RaftCore(id: PeerID(2), settings: settings, restored: .fresh(three), seed: 7)
    #expect(core.boundUnits == 151)
    core.tell(clock: 0)
    core.step(Message(from: PeerID(1), to: PeerID(2), term: Term(1), .heartbeat(commit: .zero, round: 0)))
    core.connectionLost(to: PeerID(1))
    core.step(Message(from: PeerID(3), to: PeerID(2), term: Term(2), .preVote(last: .zero)))
    #expect(core.leadership.leader == PeerID(1))
    let said = core.takeReady()?.messages ?? []
    #expect(said.allSatisfy { if case .heartbeatResponse = $0.body { true } else { false } }, "nobody is helped")
    for clock in 1...151 { core.tell(clock: Int64(clock)) }
    #expect(core.boundUnits == 0)
    #expect(answer(&core, to: ReadRound.asking(3, length: 150)).map(ReadRound.isPromise) == false)
    core.connectionLost(to: PeerID(1))
    core.tick()
    core.tick()
    #expect(core.leadership.role == .candidate)
}
