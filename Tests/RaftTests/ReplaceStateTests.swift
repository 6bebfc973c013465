// A state that takes the place of one that is wrong, while the log goes on.
import Raft
import Testing

@Test func `a state that its sender had applied is taken before the news of its commit`() {
    let members = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    var core = RaftCore(id: PeerID(1), restored: .fresh(members), seed: 1)
    let entries = (1...5 as ClosedRange<UInt64>).map { Entry(term: Term(1), index: LogIndex($0), data: [1]) }
    let append = Message.Append(previous: .zero, entries: entries, commit: LogIndex(3))
    core.step(Message(from: PeerID(2), to: PeerID(1), term: Term(1), .append(append)))
    while let ready = core.takeReady() {
        if let save = ready.save { core.saved(save.id) }
        if let last = ready.committed.last { core.applied(to: last.index) }
    }
    #expect(core.commitIndex == LogIndex(3))
    core.suspendApplying()
    func metadata(_ index: UInt64, _ term: UInt64) -> SnapshotMetadata {
        SnapshotMetadata(index: LogIndex(index), term: Term(term), configuration: members)
    }
    for unknown in [metadata(6, 1), metadata(5, 2), metadata(2, 1)] {
        let isTaken = core.replaceState(with: unknown)
        #expect(!isTaken && core.commitIndex == LogIndex(3), "\(unknown.index)")
    }
    let isTaken = core.replaceState(with: metadata(5, 1))
    #expect(isTaken && core.commitIndex == LogIndex(5) && core.brokenInvariant == nil)
}
