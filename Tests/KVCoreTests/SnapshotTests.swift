// Snapshots under steady writes: what a follower needs next is kept for it, in bounds, and it needs no second one.
import KVCore
import Raft
import Testing

/// A cluster with a short tail, and one member that is too far behind for the log.
private struct Late {
    var lab: ReplicaLab
    let leader: Int
    let other: Int

    init(_ tune: (inout ReplicaLimits) -> Void = { _ in }) {
        var limits = ReplicaLimits()
        limits.logTailEntries = 4
        limits.snapshotPieceBytes = 64
        tune(&limits)
        lab = ReplicaLab(3, limits: limits)
        leader = lab.elect()
        other = (leader + 1) % 3
        lab.cut = [other]
        write(20)
        lab.cut = []
        lab.holdsPieces = true
        for _ in 0..<100 where lab.pieces.isEmpty { lab.pass(10) }
    }

    /// So many entries, then a checkpoint.
    mutating func write(_ count: Int) {
        for number in 0..<count { lab.put("key\(number)", at: leader) }
        lab.cores[leader].stateDurable(at: lab.cores[leader].state.appliedIndex)
        lab.settle()
    }

    /// The snapshot arrives piece by piece, with writes in between.
    mutating func stream(_ writesBetween: Int) {
        while !lab.pieces.isEmpty {
            write(writesBetween)
            lab.deliverPiece()
        }
    }

    /// Everything was sent. The disk of who installs it takes its time, and writes go on.
    mutating func install(_ transfer: UInt64) {
        for _ in 0..<20 {
            write(10)
            lab.pass(100)
        }
        #expect(lab.pieces.allSatisfy { $0.chunk.transfer == transfer }, "another one was begun")
        lab.save(other)
        for _ in 0..<20 {
            write(1)
            lab.pass(50)
        }
        #expect(lab.cores[other].statesInstalled == 1 && hasCaughtUp)
    }

    var base: LogIndex { lab.cores[leader].raft.compactIndex }
    var hasCaughtUp: Bool { lab.cores[other].state.appliedIndex == lab.cores[leader].state.appliedIndex }
}

@Test func `a follower is sent one snapshot, however much is written meanwhile`() {
    var late = Late()
    #expect(late.lab.pieces.count == 1)
    let transfer = late.lab.pieces[0].chunk.transfer
    late.lab.slow = [late.other]
    late.stream(10)
    // It installs, and that takes longer than it takes to write the tail many times over.
    late.install(transfer)
    late.write(10)
    #expect(
        late.lab.cores[late.leader].state.appliedIndex.distance(after: late.base) <= 10,
        "nothing is kept for it any more")
}

@Test func `the log waits for who installs, also when all was sent before the next checkpoint`() {
    var late = Late()
    let transfer = late.lab.pieces[0].chunk.transfer
    late.lab.slow = [late.other]
    late.stream(0)
    late.write(2)
    late.install(transfer)
}

@Test func `what is kept of the log for a follower that is sent a snapshot has a bound`() {
    var late = Late { $0.logBytesHeldMax = 4096 }
    late.write(10)
    let held = late.base
    #expect(late.lab.cores[late.leader].state.appliedIndex.distance(after: held) >= 10)
    for _ in 0..<20 { late.write(10) }
    #expect(late.base > held && late.lab.cores[late.leader].raft.logBytes <= 8192)
}

@Test func `the log does not wait for ever for who installs a snapshot`() {
    var late = Late()
    late.lab.slow = [late.other]
    late.stream(1)
    late.lab.pass(20_000)
    late.write(10)
    let held = late.base
    late.lab.pass(20_000)
    late.write(10)
    #expect(late.base > held)
    late.lab.holdsPieces = false
    late.lab.save(late.other)
    late.lab.pass(15_000)
    #expect(late.hasCaughtUp)
}

@Test func `a snapshot that is not needed any more ends`() {
    var late = Late()
    late.lab.slow = [late.other]
    // All of it arrives, and the leader does not hear so.
    while let piece = late.lab.pieces.first {
        if piece.chunk.message != nil { late.lab.mute = [late.other] }
        late.lab.deliverPiece()
        if late.lab.mute == [late.other] { break }
    }
    late.lab.pieces = []
    late.lab.pass(6_000)
    late.lab.mute = []
    late.lab.pieces = []
    for _ in 0..<100 where late.lab.pieces.isEmpty { late.lab.pass(10) }
    #expect(late.lab.pieces.count == 1, "a second one")
    late.lab.save(late.other)
    late.lab.pass(1000)
    late.lab.pieces = []
    late.lab.pass(2000)
    #expect(late.lab.pieces.isEmpty && late.hasCaughtUp && late.lab.cores[late.other].statesInstalled == 1)
}

@Test func `a lost piece is sent again, and none before it`() {
    var late = Late()
    var sent: [UInt64] = []
    var transfers: Set<UInt64> = []
    var lost: Set<UInt64> = []
    while let piece = late.lab.pieces.first?.chunk {
        sent.append(piece.sequence)
        transfers.insert(piece.transfer)
        // One after the other is lost on its way, each once.
        if piece.sequence % 3 == 2, lost.insert(piece.sequence).inserted {
            late.lab.pieces.removeFirst()
            for _ in 0..<100 where late.lab.pieces.isEmpty { late.lab.pass(10) }
            #expect(late.lab.pieces.first?.chunk == piece, "the one that is missing is asked for")
        } else {
            late.lab.deliverPiece()
        }
    }
    #expect(lost.count >= 2 && sent.count == Set(sent).count + lost.count && sent == sent.sorted(), "\(sent)")
    #expect(transfers.count == 1 && sent.filter { $0 == 0 }.count == 1)
    late.lab.holdsPieces = false
    late.lab.pass(1000)
    #expect(late.lab.cores[late.other].statesInstalled == 1 && late.hasCaughtUp)
}

@Test func `a stray piece of an earlier snapshot does not end the one that is under way`() {
    var late = Late()
    late.lab.deliverPiece()
    late.lab.deliverPiece()
    let stray = SnapshotChunk(transfer: 4711, sequence: 3, data: [1])
    late.lab.cores[late.other].receive(.snapshotChunk(stray), from: late.lab.cores[late.leader].id)
    late.lab.settle()
    late.stream(0)
    late.lab.holdsPieces = false
    #expect(late.lab.cores[late.other].statesInstalled == 1)
}

@Test func `leases and sessions are sent in pieces too`() throws {
    var driver = Driver()
    for number in 1...200 as ClosedRange<Int64> {
        _ = driver.apply(.grantLease(LeaseID(rawValue: number), ttlMilliseconds: 1000))
        let id = ProposalID(client: ClientID(rawValue: UInt64(1000 + number)), serial: 0, settledBelow: 0)
        _ = driver.applyRaw(ClientProposal(id: id, command: .openSession))
    }
    driver.put("key")
    var source = SnapshotSource(driver.machine, pieceBytes: 100), sink = SnapshotSink(), count = 0
    while !source.isDone {
        let piece = source.next()
        count += 1
        try sink.add(piece)
    }
    // The driver's own session has all its outcomes, and a session is sent whole.
    #expect(count > 20 && sink.finish()?.stateHash == driver.machine.stateHash)
    #expect(sink.finish()?.leases.leases.count == 200)
}
