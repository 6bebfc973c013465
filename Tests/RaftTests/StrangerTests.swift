// Words of somebody who is no member, as far as a peer's log says. A leader that was added by entries that did not come
// yet looks the same: it is heard when nobody else leads.
import Raft
import Testing

/// Peer 1 of three, which follows 2 in term 1 and has three committed entries.
private func follower() -> RaftCore {
    let members = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    var core = RaftCore(id: PeerID(1), restored: .fresh(members), seed: 1)
    let entries = (1...3 as ClosedRange<UInt64>).map { Entry(term: Term(1), index: LogIndex($0), data: [1]) }
    hear(&core, 2, 1, .append(.init(previous: .zero, entries: entries, commit: LogIndex(3))))
    #expect(core.leader == PeerID(2) && core.commitIndex == LogIndex(3))
    return core
}

private func hear(_ core: inout RaftCore, _ peer: UInt64, _ term: UInt64, _ body: Message.Body) {
    core.step(Message(from: PeerID(peer), to: PeerID(1), term: Term(term), body))
    drain(&core)
}

private func drain(_ core: inout RaftCore) {
    while let ready = core.takeReady() {
        if let save = ready.save { core.saved(save.id) }
        if let last = ready.committed.last { core.applied(to: last.index) }
    }
}

/// Another past than what is committed.
private let contradiction = Message.Body.append(
    .init(
        previous: .zero, entries: [Entry(term: Term(9), index: LogIndex(1), data: [2])], commit: LogIndex(1)))

@Test func `who is no member is not followed while a leader is heard`() {
    var core = follower()
    let snapshot = SnapshotMetadata(
        index: LogIndex(9), term: Term(9), configuration: Configuration(voters: [PeerID(9)]))
    for body in [
        contradiction, .heartbeat(commit: LogIndex(3), round: 1), .commit(LogIndex(3)), .installSnapshot(snapshot)
    ] {
        hear(&core, 9, 9, body)
        #expect(core.leader == PeerID(2) && core.term == Term(1) && core.fault == nil)
    }
    #expect(core.lastIndex == LogIndex(3))
}

@Test func `who is no member ends nobody, also when nobody leads`() {
    var core = follower()
    for _ in 0..<core.settings.electionTicksMax { core.tick() }
    drain(&core)

    hear(
        &core, 9, 9,
        .append(
            .init(
                previous: EntryID(index: LogIndex(3), term: Term(1)),
                entries: [
                    Entry(
                        term: Term(9), index: LogIndex(4), kind: .configuration,
                        data: Configuration(voters: [PeerID(1), PeerID(2), PeerID(9)], witness: PeerID(1)).encode())
                ], commit: LogIndex(3))))
    #expect(core.fault == nil && core.lastIndex == LogIndex(3))
    hear(&core, 9, 9, contradiction)
    #expect(core.fault == nil && core.commitIndex == LogIndex(3))
}

@Test func `a contradiction from a member is a fault`() {
    var core = follower()
    let members = Configuration(voters: [PeerID(1), PeerID(2), PeerID(9)], witness: PeerID(1))
    let entry = Entry(term: Term(9), index: LogIndex(4), kind: .configuration, data: members.encode())
    hear(
        &core, 3, 9,
        .append(
            .init(previous: EntryID(index: LogIndex(3), term: Term(1)), entries: [entry], commit: LogIndex(3))))
    #expect(core.fault != nil)
}

@Test func `a leader that this peer was not told of yet is followed when the one before is silent`() {
    var core = follower()
    let members = Configuration(voters: [PeerID(1), PeerID(9), PeerID(10)])
    let news = Message.Body.append(
        .init(
            previous: EntryID(index: LogIndex(3), term: Term(1)),
            entries: [
                Entry(term: Term(2), index: LogIndex(4), kind: .configuration, data: members.encode()),
                Entry(term: Term(2), index: LogIndex(5), kind: .empty)
            ], commit: LogIndex(5)))
    hear(&core, 9, 2, news)
    #expect(core.leader == PeerID(2))
    for _ in 0..<core.settings.electionTicksMin { core.tick() }
    drain(&core)
    hear(&core, 9, 2, news)
    #expect(core.leader == PeerID(9) && core.commitIndex == LogIndex(5) && core.configuration == members)
}

@Test func `a peer that knows no members yet hears whoever leads`() {
    var core = RaftCore(id: PeerID(1), restored: .fresh(.empty), seed: 1)
    hear(&core, 9, 9, .heartbeat(commit: .zero, round: 1))
    #expect(core.leader == PeerID(9) && core.term == Term(9))
}

@Test func `who leads itself alone follows a later leader, as its data may be an old copy's`() {
    var core = RaftCore(id: PeerID(1), restored: .fresh(Configuration(voters: [PeerID(1)])), seed: 1)
    for _ in 0..<core.settings.electionTicksMax where !core.isLeader {
        core.tick()
        drain(&core)
    }
    #expect(core.isLeader)
    hear(&core, 2, core.term.rawValue, .heartbeat(commit: .zero, round: 1))
    #expect(core.isLeader)
    hear(&core, 2, 9, .heartbeat(commit: .zero, round: 1))
    #expect(core.leader == PeerID(2) && core.term == Term(9))
}

@Test func `who is no member hands nothing over`() {
    var core = follower()
    hear(&core, 9, 1, .timeoutNow)
    #expect(core.leader == PeerID(2) && core.term == Term(1))
    hear(&core, 2, 1, .timeoutNow)
    #expect(core.term == Term(2))
}
