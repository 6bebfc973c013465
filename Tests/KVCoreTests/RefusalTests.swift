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
