// Random clusters of two to four peers with data and a witness, under loss, repetition, disorder, cuts, crashes, slow
// disks, compaction, false hints and changes of members. After every step the invariants hold; healed, they converge;
// and then one peer with data may go and the rest serves. `SEED=n` replays one.

import Glibc
import Raft
import Testing

private let seeds: [UInt64] = getenv("SEED").flatMap { UInt64(String(cString: $0)) }.map { [$0] } ?? Array(1...100)
private let stepsMax = 6000

@Test(arguments: seeds)
func `a cluster with a witness keeps every promise, and serves when one peer with data is gone`(_ seed: UInt64) {
    var run = WitnessRun(seed: seed)
    for _ in 0..<stepsMax where run.complaint == nil { run.step() }
    run.heal()
    #expect(run.complaint == nil, "SEED=\(seed)")
    #expect(!run.facts.isEmpty)
}

@Test func `the rare paths of clusters with a witness are walked`() {
    guard seeds.count > 1 else { return }
    var sum: [String: Int] = [:]
    for seed in seeds.prefix(60) {
        var run = WitnessRun(seed: seed)
        for _ in 0..<stepsMax { run.step() }
        sum.merge(run.seen) { $0 + $1 }
    }
    for name in ["committed with the witness", "committed without it", "led", "crashed", "installed", "changed members"]
    {
        #expect(sum[name, default: 0] > 30, "\(name): \(sum)")
    }
}

/// One cluster, one seed.
private struct WitnessRun {
    struct Fact: Equatable {
        var term: Term
        var kind: Entry.Kind
        var data: [UInt8]
    }
    var lab = Lab()
    var random: SeededGenerator
    var facts: [Fact] = []
    var leaders: [Term: PeerID] = [:]
    var complaint: String?
    var seen: [String: Int] = [:]
    var proposed = 0

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed &* 7919)
        let count = UInt64.random(in: 3...5, using: &random)
        let voters = (1...count).map { PeerID($0) }
        let witness = voters[Int.random(in: voters.indices, using: &random)]
        lab.settings.appendBytesMax = Int.random(in: 40...400, using: &random)
        lab.settings.inflightMessagesMax = Int.random(in: 1...8, using: &random)
        lab.settings.promotionLagMax = UInt64.random(in: 1...20, using: &random)
        lab.settings.appliesBeforeSave = Bool.random(using: &random)
        lab.witnesses = [witness]
        for id in voters { lab.add(id, Configuration(voters: voters, witness: witness)) }
    }

    mutating func count(_ name: String) { seen[name, default: 0] += 1 }
    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
    var ids: [PeerID] { lab.peers.keys.sorted() }
    mutating func anybody() -> PeerID { ids[below(ids.count)] }
    func core(_ id: PeerID) -> RaftCore? { lab.peers[id]?.core }
    var leader: PeerID? {
        ids.filter { core($0)?.isLeader == true }.max { (core($0)?.term ?? .zero) < (core($1)?.term ?? .zero) }
    }

    mutating func step() {
        switch below(1000) {
        case ..<560: deliver()
        case ..<740:
            let peer = anybody()
            if core(peer) != nil { lab.with(peer) { $0.tick() } }
        case ..<860: propose()
        case ..<930: save(anybody())
        default: fail()
        }
        check()
    }

    private mutating func deliver() {
        guard !lab.network.isEmpty else { return }
        let message = lab.network.remove(at: below(min(lab.network.count, 12)))
        let fate = below(100)
        if fate < 4 { return }
        if fate < 7 { lab.network.append(message) }
        lab.network.insert(message, at: 0)
        _ = lab.deliverOne()
        if lab.network.count > 400 { lab.network.removeFirst(200) }
    }

    private mutating func propose() {
        guard let leader = ids.filter({ core($0)?.isLeader == true }).randomElement(using: &random) else { return }
        proposed += 1
        lab.perform(["propose", "\(leader)", "p\(proposed)"])
    }

    private mutating func save(_ peer: PeerID) {
        guard core(peer) != nil else { return }
        lab.finishSaves(peer)
        lab.drain(peer)
    }

    private mutating func fail() {
        let peer = anybody(), other = anybody()
        switch below(20) {
        case 0..<3: lab.peers[peer]?.savesByHand.toggle()
        case 3..<5:
            let victim = below(2) == 0 ? leader ?? peer : peer
            if core(victim) != nil { count("crashed") }
            lab.perform(["crash", "\(victim)"])
        case 5..<10:
            for id in ids where core(id) == nil { lab.boot(id) }
        case 10: lab.cuts.insert([peer, other])
        case 11: lab.cuts.formUnion([[peer, other], [other, peer]])
        case 12..<15: lab.cuts = []
        case 15, 16: compact(peer)
        case 17: if core(peer) != nil { lab.with(peer) { $0.connectionLost(to: other) } }
        case 18: if let leader { lab.perform(["transfer", "\(leader)"]) }
        default: changeMembers()
        }
    }

    private mutating func compact(_ peer: PeerID) {
        guard core(peer) != nil, lab.peers[peer]?.pending.isEmpty == true else { return }
        lab.perform(["checkpoint", "\(peer)"])
        lab.perform(["compact", "\(peer)", "1000000"])
    }

    /// The witness goes, or another comes and is promoted.
    private mutating func changeMembers() {
        guard below(3) == 0, let leader, let members = core(leader)?.configuration, !members.isJoint else { return }
        var target = Configuration(voters: members.voters.filter { $0 != members.witness })
        if let witness = members.witness {
            if !members.isVoter(witness) {
                target = Configuration(voters: members.voters + [witness], witness: witness)
            }
        } else if ids.count < 8 {
            let new = PeerID(UInt64(ids.count) + 1)
            lab.witnesses.insert(new)
            lab.add(new, .empty)
            target = Configuration(voters: members.voters, learners: [new], witness: new)
        }
        count("changed members")
        lab.with(leader) { _ = try $0.proposeConfiguration(target) }
    }
}

extension WitnessRun {
    private mutating func complain(_ text: String) { complaint = complaint ?? text }

    mutating func check() {
        for line in lab.output where line.contains("BROKEN") || line.contains("GAP") || line.contains("CANNOT") {
            complain(line)
        }
        if lab.output.contains(where: { $0.contains("installs") }) { count("installed") }
        lab.output = []
        for raft in ids.compactMap(core) { learnFacts(raft) }
        for raft in ids.compactMap(core) {
            checkRole(raft)
            compare(raft)
        }
    }

    private mutating func checkRole(_ raft: RaftCore) {
        let isWitness = lab.witnesses.contains(raft.id)
        let wrong = isWitness ? Entry.Kind.normal : .stripped
        if lab.peers[raft.id]?.entries.last?.kind == wrong { complain("\(raft.id) keeps what it may not") }
        if isWitness, raft.leadership.role != .follower { complain("the witness \(raft.id) \(raft.leadership)") }
        guard raft.isLeader, leaders[raft.term] != raft.id else { return }
        count("led")
        if let other = leaders[raft.term] { complain("term \(raft.term) has two leaders: \(other), \(raft.id)") }
        leaders[raft.term] = raft.id
        for (offset, fact) in facts.enumerated() {
            let index = LogIndex(UInt64(offset) + 1)
            guard index > raft.compactIndex, fact.term < raft.term else { continue }
            if raft.entry(at: index).map(Fact.init) != fact { complain("leader \(raft.id) lacks committed \(index)") }
        }
    }

    private mutating func learnFacts(_ raft: RaftCore) {
        while raft.commitIndex.rawValue > UInt64(facts.count), !lab.witnesses.contains(raft.id) {
            let index = LogIndex(UInt64(facts.count) + 1)
            guard let entry = raft.entry(at: index) else { return complain("\(raft.id) lacks committed \(index)") }
            facts.append(Fact(entry))
            checkDurable(entry, raft)
        }
    }

    private mutating func compare(_ raft: RaftCore) {
        guard raft.commitIndex.rawValue <= UInt64(facts.count) else {
            return complain("the witness \(raft.id) takes \(raft.commitIndex) for committed")
        }
        guard raft.commitIndex > raft.compactIndex, let last = raft.entry(at: raft.commitIndex) else { return }
        let fact = facts[Int(last.index.rawValue) - 1]
        let isSame = lab.witnesses.contains(raft.id) ? fact.term == last.term : fact == Fact(last)
        if !isSame { complain("\(raft.id) committed something else at \(last.index)") }
    }

    /// On a quorum's disks, and with its bytes on one; without the witness's help on a quorum that has the bytes.
    private mutating func checkDurable(_ entry: Entry, _ raft: RaftCore) {
        func holds(_ id: PeerID) -> Bool {
            guard let peer = lab.peers[id] else { return false }
            if entry.index <= peer.snapshot.index { return true }
            return peer.entries.first { $0.index == entry.index }?.term == entry.term
        }
        let members = raft.configuration
        count(raft.isWitnessEngaged ? "committed with the witness" : "committed without it")
        if members.outcome(holds) != .won { complain("\(entry.index) is committed and not on a quorum's disks") }
        if !members.dataVoters.contains(where: holds) { complain("nobody has the bytes of \(entry.index)") }
        guard raft.isLeader, !raft.isWitnessEngaged else { return }
        if members.outcome({ $0 != members.witness && holds($0) }) != .won {
            complain("\(entry.index) was committed by the word of a witness that does not count")
        }
    }
}

extension WitnessRun {
    /// All faults end: everybody agrees and serves; then one with data goes, and the rest serves.
    mutating func heal() {
        lab.cuts = []
        for id in ids {
            lab.peers[id]?.savesByHand = false
            if core(id) == nil { lab.boot(id) } else { save(id) }
        }
        serve("healed")
        guard complaint == nil, let first = leader, let members = core(first)?.configuration, !members.isJoint,
            let witness = members.witness, members.isVoter(witness)
        else { return }
        for id in members.dataVoters where core(id)?.commitIndex != core(first)?.commitIndex {
            return complain("\(id) did not catch up")
        }
        count("struck")
        losePeer(first, witness)
        if complaint == nil, members.dataVoters.count == 2 { losePower(members.dataVoters, witness) }
    }

    /// The leader goes and leaves something behind that only the witness was told of: that must not keep the others from
    /// electing one of them. Or another goes.
    private mutating func losePeer(_ first: PeerID, _ witness: PeerID) {
        let gone = core(first)?.configuration.dataVoters.randomElement(using: &random) ?? first
        for id in ids where gone == first && id != witness && id != first { lab.cuts.insert([first, id]) }
        lab.perform(["propose", "\(first)", "left-behind"])
        lab.perform(["settle"])
        lab.perform(["crash", "\(gone)"])
        lab.cuts = []
        serve("without \(gone)")
        lab.boot(gone)
        serve("with \(gone) again")
    }

    /// With the witness's help only, the leader loses what it has not saved: the two of them must come back.
    private mutating func losePower(_ data: [PeerID], _ witness: PeerID) {
        guard let leader, let other = data.first(where: { $0 != leader }) else { return }
        lab.perform(["isolate", "\(other)"])
        pass(40)
        lab.perform(["byhand", "\(leader)"])
        lab.perform(["propose", "\(leader)", "unsaved"])
        lab.perform(["settle"])
        lab.perform(["crash", "\(leader)"])
        lab.peers[leader]?.savesByHand = false
        lab.boot(leader)
        serve("after \(leader) lost power")
    }

    private mutating func pass(_ ticks: Int) {
        for _ in 0..<ticks where complaint == nil {
            lab.perform(["pass", "1"])
            check()
        }
    }

    private mutating func serve(_ what: String) {
        pass(400)
        guard let leader else { return complain("\(what): nobody leads") }
        if core(leader)?.leadership.term != ids.compactMap(core).map(\.term).max() {
            complain("\(what): no stable leader")
        }
        let before = core(leader)?.commitIndex ?? .zero
        lab.perform(["propose", "\(leader)", "end"])
        pass(100)
        if (core(leader)?.commitIndex ?? .zero) <= before { complain("\(what): nothing is committed any more") }
    }
}

extension WitnessRun.Fact {
    init(_ entry: Entry) { self.init(term: entry.term, kind: entry.kind, data: entry.data) }
}
