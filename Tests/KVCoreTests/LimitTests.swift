// What others ask for or send has a limit: reads under way, snapshots and their counters.
import KVCore
import Raft
import Testing

private func follower() -> ReplicaCore {
    var core = ReplicaCore(
        id: PeerID(1), settings: RaftSettings(), limits: ReplicaLimits(),
        restored: .fresh(Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])), state: StateMachine(),
        initialMembers: [], seed: 1, now: 0)
    core.receive(
        .raft(Message(from: PeerID(2), to: PeerID(1), term: Term(1), .heartbeat(commit: .zero, round: 1))),
        from: PeerID(2))
    return core
}

@Test func `reads that were asked and not answered count for the limit`() {
    var core = follower()
    var refused = 0
    for ticket in 0..<80_000 {
        core.read(Ticket(rawValue: UInt64(ticket)))
        guard ticket % 1000 == 999 else { continue }
        while let output = core.takeOutput() {
            for read in output.reads where read.failure == .overloaded { refused += 1 }
        }
    }
    #expect(core.pendingCount == 65_536 && refused == 80_000 - 65_536)
    // The leader's heartbeats go on; its answer never comes.
    var failed = 0
    for time in stride(from: Int64(10), through: 10_100, by: 10) {
        core.receive(
            .raft(Message(from: PeerID(2), to: PeerID(1), term: Term(1), .heartbeat(commit: .zero, round: 1))),
            from: PeerID(2))
        core.advance(to: time)
        while let output = core.takeOutput() {
            for read in output.reads where read.failure == .noLeader { failed += 1 }
        }
    }
    #expect(failed == 65_536 && core.pendingCount == 0)
}

private let impossible: [(Int64, Int64)] = [(Int64.max, 0), (0, 0), (-1, 0), (5, 6), (5, -1), ((1 << 62) + 1, 0)]

@Test(arguments: impossible)
func `a snapshot with impossible counters is refused`(_ revision: Int64, _ compacted: Int64) throws {
    var counters = StateCounters()
    counters.revision = Revision(revision)
    counters.compactRevision = Revision(compacted)
    var writer = ByteWriter()
    writer.put(byte: 1)
    writer.put(counters)
    var sink = SnapshotSink()
    try sink.add(writer.bytes)
    #expect(sink.finish() == nil)
}

@Test func `a snapshot of more bytes than there may be is refused`() throws {
    var source = SnapshotSource(StateMachine())
    let piece = source.next()
    var sink = SnapshotSink(bytesMax: 2 * piece.count - 1)
    try sink.add(piece)
    #expect(throws: DecodeError.self) { try sink.add(piece) }
}

@Test func `the last revision that can be counted does not stop a replica`() {
    var counters = StateCounters()
    counters.revision = Revision(.max)
    var machine = StateMachine(
        counters: counters, records: OrderedTree(), leases: [],
        sessions: [Session(client: ClientID(rawValue: 1), lastUsed: 0)], members: [], history: [])
    let proposal = ClientProposal(
        id: ProposalID(client: ClientID(rawValue: 1), serial: 1, settledBelow: 1),
        command: .txn(Txn(success: [.put(Key("a"), [1])])))
    let data = EntryFormat.entry(logTime: 0, proposal: EntryFormat.encode(proposal))
    let applied = machine.apply(Entry(term: Term(1), index: LogIndex(1), data: data))
    #expect(applied.id == proposal.id)
}

@Test func `pieces of a snapshot are taken from the leader only`() {
    var core = follower()
    while core.takeOutput() != nil {}
    func answers(_ peer: UInt64) -> [PeerMessage] {
        core.receive(.snapshotChunk(SnapshotChunk(transfer: 7, sequence: 0, data: [])), from: PeerID(peer))
        var all: [PeerMessage] = []
        while let output = core.takeOutput() {
            for envelope in output.messages where envelope.to == PeerID(peer) { all.append(envelope.message) }
        }
        return all
    }
    #expect(answers(3) == [.snapshotAnswer(transfer: 7, next: nil)])
    #expect(answers(2) == [.snapshotAnswer(transfer: 7, next: 1)])
}
