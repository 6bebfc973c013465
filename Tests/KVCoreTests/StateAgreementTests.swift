// Agreement on the state: who differs from a majority is stopped and repaired by itself, and nobody else is.
import KVCore
import Raft
import Testing

extension ReplicaLab {
    fileprivate var hashes: [UInt64] { cores.map(\.state.stateHash) }

    /// With what its log and its state hold.
    fileprivate func restarted(_ i: Int, isStateDamaged: Bool = false) throws -> ReplicaCore {
        let core = cores[i], applied = core.state.appliedIndex
        let metadata = SnapshotMetadata(
            index: applied, term: core.state.appliedTerm,
            configuration: try #require(core.raft.configuration(at: applied)))
        let restored = Restored(hardState: core.raft.hardState, snapshot: metadata, base: metadata.id, entries: [])
        return ReplicaCore(
            id: core.id, settings: RaftSettings(), limits: core.limits, restored: restored, state: core.state,
            initialMembers: [], seed: 99 + UInt64(i), now: clocks[i], isStateDamaged: isStateDamaged)
    }

    fileprivate var divergences: Int {
        alarms.filter { if case .diverged = $0 { true } else { false } }.count
    }
}

@Test func `a follower whose state differs is fenced and takes the leader's`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(4, at: leader)
    lab.cores[other].flipState()
    #expect(Set(lab.hashes).count == 2)
    lab.write(20, at: leader)
    #expect(lab.divergences == 1)
    lab.pass(2_000)
    #expect(lab.cores.map(\.statesInstalled).enumerated().allSatisfy { $0.element == ($0.offset == other ? 1 : 0) })
    #expect(!lab.cores[other].isFenced)
    lab.write(20, at: other)
    #expect(Set(lab.hashes).count == 1)
    #expect(lab.divergences == 1, "nobody is fenced without a cause")
}

@Test func `a leader whose state differs hands over and is repaired`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect()
    lab.write(4, at: leader)
    lab.cores[leader].flipState()
    lab.write(20, at: (leader + 1) % 3)
    lab.pass(3_000)
    #expect(lab.leader != leader)
    #expect(lab.cores[leader].statesInstalled == 1)
    lab.write(10, at: leader)
    #expect(Set(lab.hashes).count == 1)
}

@Test func `who differs is found at the first entry of the next leader`() {
    var limits = ReplicaLimits()
    limits.hashEntries = 1 << 40
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(4, at: leader)
    lab.cores[other].flipState()
    lab.write(20, at: leader)
    #expect(lab.divergences == 0)
    lab.cut = [leader]
    lab.pass(2_000)
    lab.cut = []
    lab.pass(3_000)
    #expect(lab.divergences == 1 && lab.cores[other].statesInstalled == 1)
    #expect(Set(lab.hashes).count == 1)
}

@Test func `what a member has read from its disk is compared soon, though nobody writes, and not again and again`()
    throws
{
    var limits = ReplicaLimits()
    limits.hashEntries = 1 << 40
    var lab = ReplicaLab(3, limits: limits)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(4, at: leader)
    lab.cores[other].flipState()
    lab.write(20, at: leader)
    for position in [other, (leader + 2) % 3] {
        lab.cores[position] = try lab.restarted(position)
        lab.pass(3_000)
        #expect(lab.divergences == 1 && lab.cores[other].statesInstalled == 1)
        #expect(Set(lab.hashes).count == 1)
    }
    let applied = lab.cores[leader].state.appliedIndex
    lab.pass(20_000)
    #expect(lab.cores[leader].state.appliedIndex == applied)
}

@Test func `a verdict is to be remembered by the disk, once`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(20, at: leader)
    lab.cut = [other]
    let index = LogIndex(lab.cores[other].state.appliedIndex.rawValue / 8 * 8)
    for _ in 0..<2 { lab.cores[other].receive(.stateVerdict(index, hash: 1), from: lab.cores[leader].id) }
    var condemned = 0
    while let output = lab.cores[other].takeOutput() { if output.condemnsState { condemned += 1 } }
    #expect(condemned == 1 && lab.cores[other].isFenced)
}

@Test func `two that differ know only that something is wrong`() {
    var lab = ReplicaLab.agreeing(2)
    let leader = lab.elect()
    lab.write(4, at: leader)
    lab.cores[leader].flipState()
    lab.write(20, at: leader)
    #expect(lab.divergences == 0)
    #expect(!lab.alarms.isEmpty)
    #expect(lab.cores.allSatisfy { !$0.isFenced })
}

@Test func `a fenced replica grants no read before it is repaired`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(20, at: leader)
    let index = LogIndex(lab.cores[other].state.appliedIndex.rawValue / 8 * 8)
    lab.cores[other].receive(.stateVerdict(index, hash: 1), from: lab.cores[leader].id)
    #expect(lab.cores[other].isFenced)
    let read = lab.read(at: other)
    lab.cut = [other]
    lab.settle()
    #expect(!lab.grantedReads.contains(read))
    lab.cut = []
    lab.pass(1_500)
    #expect(lab.grantedReads.contains(read))
    #expect(lab.cores[other].statesInstalled == 1)
}

@Test func `a fenced replica leads when nobody else can, until somebody else can`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3, third = (leader + 2) % 3
    lab.write(20, at: leader)
    lab.cut = [third]
    lab.write(20, at: leader)
    // Only this one has everything now; its state is wrong.
    let index = LogIndex(lab.cores[other].state.appliedIndex.rawValue / 8 * 8)
    lab.cores[other].receive(.stateVerdict(index, hash: 1), from: lab.cores[leader].id)
    lab.cut = [leader]
    for _ in 0..<600 where lab.cores[other].isFenced { lab.pass(10) }
    #expect(!lab.cores[other].isFenced)
    #expect(lab.cores[third].state.appliedIndex == lab.cores[other].state.appliedIndex)
}

@Test func `a damaged state right behind the log's beginning is replaced, though nobody writes`() throws {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(20, at: leader)
    lab.pass(500)
    let applied = lab.cores[other].state.appliedIndex
    lab.cores[other] = try lab.restarted(other, isStateDamaged: true)
    let read = lab.read(at: other)
    lab.pass(3_000)
    #expect(lab.cores[leader].state.appliedIndex == applied, "nobody wrote")
    #expect(lab.cores[other].statesInstalled == 1 && !lab.cores[other].isFenced)
    #expect(lab.grantedReads.contains(read))
    lab.write(10, at: other)
    #expect(Set(lab.hashes).count == 1)
}

@Test func `a verdict from somebody who does not lead is not believed`() {
    var lab = ReplicaLab.agreeing(3)
    let leader = lab.elect(), other = (leader + 1) % 3
    lab.write(20, at: leader)
    let index = LogIndex(lab.cores[other].state.appliedIndex.rawValue / 8 * 8)
    lab.cores[other].receive(.stateVerdict(index, hash: 1), from: PeerID(UInt64((leader + 2) % 3) + 1))
    #expect(!lab.cores[other].isFenced)
}

@Test func `the hash kept along is the hash of the state read anew`() throws {
    var driver = Driver()
    for number in 0..<200 {
        driver.time += 7
        let lease = LeaseID(rawValue: Int64(number % 5 + 1))
        switch number % 7 {
        case 0: _ = driver.apply(.grantLease(lease, ttlMilliseconds: 300))
        case 1: driver.txn(Txn(success: [.put(Key("k\(number % 13)"), [1], lease: lease)]))
        case 2: _ = driver.apply(.keepAlive([lease]))
        case 3: _ = driver.apply(.expireLeases([lease]))
        case 4: driver.txn(Txn(success: [.delete(Key("k\(number % 13)"))]))
        case 5: _ = driver.apply(.setMember(Member(id: PeerID(UInt64(number % 3)), name: "m", host: "h", port: number)))
        default: driver.put("p\(number % 11)", "value \(number)")
        }
        var source = SnapshotSource(driver.machine), sink = SnapshotSink()
        while !source.isDone { try sink.add(source.next()) }
        #expect(sink.finish()?.stateHash == driver.machine.stateHash, "after \(number)")
    }
}
