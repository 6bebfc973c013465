// Entries of a newer version are written only when every member understands them, and an older program that meets one
// stops before it.
import KVCore
import Raft
import Testing

private func core(understands: UInt8, state: StateMachine = StateMachine()) -> ReplicaCore {
    let members = [Member(id: PeerID(1), name: "m1", host: "h", port: 1)]
    return ReplicaCore(
        id: PeerID(1), settings: RaftSettings(), limits: ReplicaLimits(),
        restored: .fresh(Configuration(voters: [PeerID(1)])), state: state, initialMembers: members, seed: 1, now: 0,
        understands: understands)
}

/// Obeys until nothing is wanted; answers the versions of the entries that were saved.
private func run(_ core: inout ReplicaCore, milliseconds: Int64) -> [UInt8] {
    var versions: [UInt8] = []
    for time in stride(from: Int64(10), through: milliseconds, by: 10) {
        core.advance(to: time)
        while let output = core.takeOutput() {
            guard let save = output.save else { continue }
            versions += save.raft.entries.compactMap(EntryFormat.version)
            core.saved(save.raft.id)
        }
    }
    return versions
}

@Test func `a cluster whose every member understands the next version raises it, and writes it from then on`() {
    var core = core(understands: 3)
    let versions = run(&core, milliseconds: 3000)
    #expect(core.state.clusterVersion == 3)
    #expect(versions.contains(3) && versions == versions.sorted())
    #expect(core.fault == nil)
}

@Test func `a cluster at its program's version writes that`() {
    var core = core(understands: EntryFormat.newest)
    #expect(run(&core, milliseconds: 3000).allSatisfy { $0 == EntryFormat.newest })
    #expect(core.state.clusterVersion == EntryFormat.newest)
}

@Test func `a program that is older than the state it finds stops at once and says why`() {
    var newer = core(understands: 3)
    _ = run(&newer, milliseconds: 3000)
    var older = core(
        understands: 2,
        state: StateMachine(
            counters: newer.state.counters, records: OrderedTree(), leases: [], sessions: [], members: [], history: []))
    #expect(older.isOutdated && older.takeOutput() == nil)
    #expect(older.fault?.contains("version 3, this program understands 2") == true)
}

@Test func `a state handed on as a snapshot carries the cluster's version`() throws {
    var newer = core(understands: 3)
    _ = run(&newer, milliseconds: 3000)
    var source = SnapshotSource(newer.state), sink = SnapshotSink()
    while !source.isDone { try sink.add(source.next()) }
    let state = try #require(sink.finish())
    #expect(state.clusterVersion == 3 && state.stateHash == newer.state.stateHash)
}

/// One that understands version 2 leads two others that do not, and that have said nothing.
private func ledByNewest() -> ReplicaLab {
    var lab = ReplicaLab(3, understanding: [2, 1, 1])
    let leader = lab.elect()
    if leader != 0 { _ = lab.cores[leader].request(.transfer(PeerID(1))) }
    lab.pass(1_000)
    return lab
}

@Test func `what a member understood before it was rolled back does not count`() {
    var lab = ledByNewest()
    #expect(lab.leader == 0)
    lab.cores[0].receive(.understands(2), from: PeerID(2))
    lab.pass(5_000)
    lab.cores[0].receive(.understands(2), from: PeerID(3))
    lab.pass(1_000)
    #expect(lab.cores.allSatisfy { $0.state.clusterVersion == 1 && !$0.isOutdated })
}

@Test func `what all members say within three seconds counts`() {
    var lab = ledByNewest()
    lab.cores[0].receive(.understands(2), from: PeerID(2))
    lab.pass(2_000)
    lab.cores[0].receive(.understands(2), from: PeerID(3))
    lab.pass(1_000)
    #expect(lab.cores[0].state.clusterVersion == 2)
}
