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
