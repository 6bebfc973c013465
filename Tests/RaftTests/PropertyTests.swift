// Properties over many random cases, each from a seed: `SEED=n` replays one. They look at the pieces that scenarios use
// only in passing, and at what a hostile peer may send.

import Glibc
import Raft
import Testing

private let seeds: [UInt64] = getenv("SEED").flatMap { UInt64(String(cString: $0)) }.map { [$0] } ?? Array(1...200)

private func peers(_ range: ClosedRange<Int>, using random: inout SeededGenerator) -> [PeerID] {
    (0..<Int.random(in: range, using: &random)).map { _ in PeerID(UInt64.random(in: 1...9, using: &random)) }
}

private func configuration(using random: inout SeededGenerator) -> Configuration {
    let isJoint = Bool.random(using: &random)
    return Configuration(
        voters: peers(1...5, using: &random), outgoing: isJoint ? peers(1...5, using: &random) : [],
        learners: peers(0...3, using: &random),
        witness: Bool.random(using: &random) ? PeerID(UInt64.random(in: 1...9, using: &random)) : nil)
}

@Test func `a configuration survives its byte form`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        let value = configuration(using: &random)
        #expect(Configuration(decoding: value.encode()) == value, "SEED=\(seed)")
    }
}

@Test func `no bytes make decoding a configuration fall over`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        var bytes = configuration(using: &random).encode()
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
        if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &random)) }
        if let value = Configuration(decoding: bytes) { #expect(!value.voters.isEmpty, "SEED=\(seed)") }
    }
    #expect(Configuration(decoding: []) == nil)
    #expect(Configuration(decoding: Configuration(voters: []).encode()) == nil)
}

@Test func `two quorums of one configuration always meet`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        let members = configuration(using: &random), all = members.peers
        let one = Set(all.filter { _ in Bool.random(using: &random) }), other = Set(all).subtracting(one)
        let wins = [one, other].filter { side in members.outcome { side.contains($0) } == .won }
        #expect(wins.count <= 1, "SEED=\(seed) \(members)")
    }
}

@Test func `what is reached is what a quorum has and no more`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        let members = configuration(using: &random)
        var match: [PeerID: Int] = [:]
        for peer in members.peers { match[peer] = Int.random(in: 0...5, using: &random) }
        guard let reached = members.reached({ match[$0] ?? 0 }) else { continue }
        #expect(members.outcome { (match[$0] ?? 0) >= reached } == .won, "SEED=\(seed) \(members) \(match)")
        #expect(members.outcome { (match[$0] ?? 0) >= reached + 1 } != .won, "SEED=\(seed) \(members) \(match)")
    }
}

@Test func `a lost vote cannot be won any more`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        let members = configuration(using: &random)
        var ballot: [PeerID: Bool] = [:]
        for peer in members.peers where Bool.random(using: &random) { ballot[peer] = Bool.random(using: &random) }
        guard members.outcome({ ballot[$0] }) == .lost else { continue }
        #expect(members.outcome { ballot[$0] ?? true } != .won, "SEED=\(seed) \(members)")
    }
}

private func number(using random: inout SeededGenerator) -> UInt64 {
    switch Int.random(in: 0...9, using: &random) {
    case 0: UInt64.random(in: 0...UInt64.max, using: &random)
    case 1: counterMax
    default: UInt64.random(in: 0...12, using: &random)
    }
}

private func entries(using random: inout SeededGenerator) -> [Entry] {
    var index = number(using: &random)
    return (0..<Int.random(in: 0...4, using: &random)).map { _ in
        index &+= Int.random(in: 0...20, using: &random) == 0 ? 7 : 1
        let kind = Entry.Kind(rawValue: UInt8.random(in: 0...3, using: &random)) ?? .normal
        let data = Bool.random(using: &random) ? configuration(using: &random).encode() : [1, 2, 3]
        return Entry(term: Term(number(using: &random)), index: LogIndex(index), kind: kind, data: data)
    }
}

private func body(using random: inout SeededGenerator) -> Message.Body {
    let id = EntryID(index: LogIndex(number(using: &random)), term: Term(number(using: &random)))
    let number = number(using: &random)
    switch Int.random(in: 0...13, using: &random) {
    case 0: return .preVote(last: id)
    case 1: return .preVoteResponse(granted: Bool.random(using: &random))
    case 2: return .vote(last: id, isTransfer: Bool.random(using: &random))
    case 3: return .voteResponse(granted: Bool.random(using: &random))
    case 4, 5: return .append(.init(previous: id, entries: entries(using: &random), commit: LogIndex(number)))
    case 6:
        return .appendResponse(
            .init(
                index: LogIndex(number), rejection: Bool.random(using: &random) ? id : nil,
                isAmnesiac: Bool.random(using: &random)))
    case 7: return .heartbeat(commit: LogIndex(number), round: number)
    case 8: return .heartbeatResponse(round: number)
    case 9: return .commit(LogIndex(number))
    case 10: return .readIndex(context: number)
    case 11: return .readIndexResponse(context: number, index: id.index)
    case 12:
        return .installSnapshot(
            SnapshotMetadata(index: id.index, term: id.term, configuration: configuration(using: &random)))
    default: return .timeoutNow
    }
}

@Test func `no message makes a peer fall over`() {
    for seed in seeds {
        var random = SeededGenerator(seed: seed)
        let restored = Restored.fresh(Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)]))
        var settings = RaftSettings()
        settings.leaseReads = seed % 2 == 0
        settings.usesConnectionLossHint = !settings.leaseReads
        var core = RaftCore(id: PeerID(1), settings: settings, restored: restored, seed: seed)
        var clock: Int64 = 0
        for _ in 0..<400 {
            let from = PeerID(UInt64.random(in: 0...4, using: &random))
            let term = Bool.random(using: &random) ? core.term : Term(number(using: &random))
            core.step(Message(from: from, to: PeerID(1), term: term, body(using: &random)))
            core.tick()
            let isJump = Int.random(in: 0...39, using: &random) == 0
            clock = isJump ? Int64.random(in: .min ... .max, using: &random) : clock &+ 10
            core.tell(clock: clock)
            if Int.random(in: 0...9, using: &random) == 0 { propose(&core) }
            if Int.random(in: 0...9, using: &random) == 0 { read(&core) }
            while let ready = core.takeReady() {
                if let save = ready.save { core.saved(save.id) }
                if let last = ready.committed.last { core.applied(to: last.index) }
            }
            if core.fault != nil { break }
        }
        #expect(core.commitIndex <= core.lastIndex, "SEED=\(seed)")
    }
}

@Test func `the same inputs give the same outputs`() {
    func play(_ seed: UInt64) -> [Ready] {
        var random = SeededGenerator(seed: seed)
        var core = RaftCore(
            id: PeerID(1), restored: .fresh(Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])), seed: seed)
        var result: [Ready] = []
        for _ in 0..<200 {
            core.step(
                Message(
                    from: PeerID(2), to: PeerID(1), term: Term(UInt64.random(in: 0...9, using: &random)),
                    body(using: &random)))
            core.tick()
            while let ready = core.takeReady() {
                if let save = ready.save { core.saved(save.id) }
                if let last = ready.committed.last { core.applied(to: last.index) }
                result.append(ready)
            }
        }
        return result
    }
    for seed in seeds.prefix(20) { #expect(play(seed) == play(seed), "SEED=\(seed)") }
}

@Test func `a state that was durable before its term is known is not left without a voice`() {
    let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
    let applied = SnapshotMetadata(index: LogIndex(7), term: Term(9), configuration: three)
    let restored = Restored(
        hardState: HardState(term: Term(4), vote: PeerID(2)), snapshot: applied, base: applied.id, entries: [])
    var core = RaftCore(id: PeerID(1), restored: restored, seed: 1)
    #expect(core.term == Term(9) && core.vote == nil)
    for _ in 0..<100 { core.tick() }
    let messages = core.takeReady()?.messages ?? []
    #expect(!messages.isEmpty && messages.allSatisfy(\.isSane), "what it says is listened to")
}

private func read(_ core: inout RaftCore) {
    do { try core.readIndex(ReadID(1)) } catch {
        #expect(core.leader == nil || core.fault != nil || error == .overloaded)
    }
}

private func propose(_ core: inout RaftCore) {
    do { _ = try core.propose([Proposal([1])]) } catch {
        #expect(!core.isLeader || error == .overloaded || error == .transferring)
    }
}
