// A small cluster on a table: peers, their disks, a network that holds every message until it is told to deliver.
// Driven by words; what happens is written down as words. See ScenarioTests.swift for the commands.

import Raft

/// Peers and what is between them.
struct Lab {
    struct Peer {
        var core: RaftCore?
        var hardState = HardState()
        var base = EntryID.zero
        var entries: [Entry] = []
        var snapshot: SnapshotMetadata
        var savesByHand = false
        var pending: [Save] = []
        var applied = LogIndex.zero
        var appliedTerm = Term.zero
        var appliedConfiguration: Configuration
        var boots: UInt64 = 0
        var complaint: String?
    }
    var peers: [PeerID: Peer] = [:]
    var network: [Message] = []
    var cuts: Set<[PeerID]> = []
    /// Between these nothing arrives before it is released.
    var holds: Set<[PeerID]> = []
    var late: [Message] = []
    var witnesses: Set<PeerID> = []
    /// Snapshots whose contents are on the way already: what is delivered is what was sent.
    var streamed: Set<Message> = []
    var settings = RaftSettings()
    /// Each peer's own, moved by its ticks and by sleep.
    var clocks: [PeerID: Int64] = [:]
    var output: [String] = []
    var traces = false

    mutating func say(_ line: String) { output.append(line) }

    mutating func add(_ id: PeerID, _ configuration: Configuration) {
        let snapshot = SnapshotMetadata(index: .zero, term: .zero, configuration: configuration)
        peers[id] = Peer(snapshot: snapshot, appliedConfiguration: configuration)
        boot(id)
    }

    mutating func boot(_ id: PeerID, voteMark: LogIndex? = nil, isNewborn: Bool = false) {
        guard var peer = peers[id] else { return }
        peer.boots += 1
        let restored = Restored(
            hardState: peer.hardState, snapshot: peer.snapshot, base: peer.base, entries: peer.entries,
            voteMark: voteMark, isNewborn: isNewborn)
        peer.applied = peer.snapshot.index
        peer.appliedTerm = peer.snapshot.term
        peer.appliedConfiguration = peer.snapshot.configuration
        var settings = settings
        settings.isWitness = witnesses.contains(id)
        peer.core = RaftCore(id: id, settings: settings, restored: restored, seed: id.rawValue * 1000 + peer.boots)
        peers[id] = peer
        drain(id)
    }

    /// The time of a tick passes on a peer's clock, then it is told.
    mutating func tick(_ id: PeerID) {
        sleep(id, 1)
        with(id) { $0.tick() }
    }

    /// So many ticks pass on a peer's clock; it does nothing meanwhile and sees that it slept.
    mutating func sleep(_ id: PeerID, _ ticks: Int64) {
        let now = clocks[id, default: 0] + ticks * Int64(settings.tickUnits)
        clocks[id] = now
        peers[id]?.core?.tell(clock: now)
    }

    /// Feeds a peer and obeys what it wants.
    mutating func with(_ id: PeerID, _ body: (inout RaftCore) throws -> Void) {
        guard peers[id]?.core != nil else { return say("\(id) is down") }
        do { try body(&peers[id]!.core!) } catch { say("\(id) refuses: \(error)") }
        drain(id)
    }

    mutating func drain(_ id: PeerID) {
        peers[id]?.core?.tell(clock: clocks[id, default: 0])
        while let ready = peers[id]?.core?.takeReady() {
            for message in ready.messages { send(message) }
            if let save = ready.save { peers[id]?.pending.append(save) }
            for entry in ready.committed { apply(entry, id) }
            if let last = ready.committed.last { peers[id]?.core?.applied(to: last.index) }
            for read in ready.reads {
                say("\(id) read \(read.id.rawValue) \(read.index.map { "at \($0)" } ?? "must be asked again")")
            }
            if let leadership = ready.leadership { say("\(id) \(words(leadership))") }
            if peers[id]?.savesByHand == false { finishSaves(id) }
        }
        let broken = peers[id]?.core?.brokenInvariant
        if let broken, broken != peers[id]?.complaint { say("\(id) IS BROKEN: \(broken)") }
        peers[id]?.complaint = broken
    }

    private mutating func send(_ message: Message) {
        if case .installSnapshot(let metadata) = message.body, metadata.index > .zero {
            say("\(message.from) streams snapshot \(metadata.index) to \(message.to)")
        }
        network.append(message)
    }

    /// Everything under way becomes durable.
    mutating func finishSaves(_ id: PeerID) {
        guard let pending = peers[id]?.pending, let last = pending.last else { return }
        peers[id]?.pending = []
        for save in pending { store(save, id) }
        peers[id]?.core?.saved(last.id)
    }

    private mutating func store(_ save: Save, _ id: PeerID) {
        guard var peer = peers[id] else { return }
        if let metadata = save.snapshot {
            peer.snapshot = metadata
            peer.base = metadata.id
            peer.entries = []
            peer.applied = metadata.index
            peer.appliedTerm = metadata.term
            peer.appliedConfiguration = metadata.configuration
            say("\(id) installs snapshot \(metadata.index)")
        }
        if let first = save.entries.first {
            peer.entries = peer.entries.filter { $0.index < first.index } + save.entries
        }
        peer.hardState = save.hardState
        peers[id] = peer
    }

    private mutating func apply(_ entry: Entry, _ id: PeerID) {
        if entry.index != peers[id]?.applied.next { say("\(id) LEAVES A GAP before \(entry.index)") }
        peers[id]?.applied = entry.index
        peers[id]?.appliedTerm = entry.term
        switch entry.kind {
        case .empty, .stripped: break
        case .normal:
            say(
                "\(id) applies \(entry.index) '\(String(decoding: entry.data, as: UTF8.self))'\(entry.isFenced ? " without effect: fenced" : "")"
            )
        case .configuration:
            guard let configuration = Configuration(decoding: entry.data) else {
                return say("\(id) CANNOT READ \(entry.index)")
            }
            peers[id]?.appliedConfiguration = configuration
            say("\(id) applies \(entry.index) \(configuration)")
        }
    }

    private func words(_ leadership: Leadership) -> String {
        switch leadership.role {
        case .follower: "follows \(leadership.leader.map { "\($0)" } ?? "nobody") in term \(leadership.term)"
        case .candidate: "campaigns after term \(leadership.term)"
        case .leader: "leads term \(leadership.term) from \(leadership.termStart ?? .zero)"
        }
    }
}

extension Lab {
    /// Delivers the oldest message; false when there is none.
    mutating func deliverOne() -> Bool {
        guard !network.isEmpty else { return false }
        let message = network.removeFirst()
        if holds.contains([message.from, message.to]) { return putAside(message) }
        let isLost = cuts.contains([message.from, message.to]) || peers[message.to]?.core == nil
        if traces { say("  \(isLost ? "lost: " : "")\(words(message))") }
        let arriving = streamed.contains(message) ? message : whole(message)
        if case .installSnapshot(let sent) = arriving.body, !streamed.contains(message) {
            with(message.from) { $0.snapshotSent(to: message.to, through: isLost ? nil : sent.index) }
        }
        guard !isLost else { return true }
        peers[message.to]?.core?.step(arriving)
        drain(message.to)
        return true
    }

    /// A snapshot is what its sender has when it streams it.
    func whole(_ message: Message) -> Message {
        guard case .installSnapshot = message.body, let snapshot = peers[message.from]?.snapshot else { return message }
        return Message(from: message.from, to: message.to, term: message.term, .installSnapshot(snapshot))
    }

    mutating func settle() {
        var count = 0
        while count < 10_000, deliverOne() { count += 1 }
        if count == 10_000 { say("DOES NOT SETTLE") }
    }

    func words(_ message: Message) -> String {
        "\(message.from)->\(message.to) term \(message.term) \(words(message.body))"
    }

    private func words(_ body: Message.Body) -> String {
        switch body {
        case .preVote(let last): "preVote? last \(last.index)/\(last.term)"
        case .preVoteResponse(let granted): granted ? "preVote yes" : "preVote no"
        case .vote(let last, let isTransfer): "vote? last \(last.index)/\(last.term)\(isTransfer ? " by transfer" : "")"
        case .voteResponse(let granted): granted ? "vote yes" : "vote no"
        case .append(let append):
            "append after \(append.previous.index)/\(append.previous.term) [\(append.entries.map(words).joined(separator: " "))] commit \(append.commit)"
        case .appendResponse(let response):
            response.rejection.map { "no \(response.index), try \($0.index)/\($0.term)" } ?? "has \(response.index)"
        case .heartbeat(let commit, let round): "heartbeat commit \(commit) round \(words(round: round))"
        case .heartbeatResponse(let round): "alive, round \(words(round: round))"
        case .commit(let index): "committed \(index)"
        case .readIndex: "readIndex?"
        case .readIndexResponse(_, let index): "readIndex \(index)"
        case .installSnapshot(let metadata): "snapshot \(metadata.index)/\(metadata.term)"
        case .timeoutNow: "campaign now"
        }
    }

    private func words(round: UInt64) -> String {
        let number = ReadRound.number(round)
        if ReadRound.isPromise(round) { return "\(number), promises" }
        return ReadRound.length(round) > 0 ? "\(number), promise?" : "\(number)"
    }

    mutating func sayLease(_ id: PeerID) {
        guard let core = peers[id]?.core else { return say("\(id) is down") }
        guard core.isLeader else {
            return say("\(id) is \(core.boundUnits > 0 ? "bound for \(core.boundUnits)" : "free")")
        }
        let clock = clocks[id, default: 0]
        guard let end = core.leaseEnd, end > .min else { return say("\(id) has no lease") }
        say(end == .max ? "\(id) needs nobody" : "\(id) has a lease for \(max(0, end - clock))")
    }

    /// A command without its bytes has a dash.
    func words(_ entry: Entry) -> String { "\(entry.index)/\(entry.term)\(entry.kind == .stripped ? "-" : "")" }

    mutating func status() {
        for id in peers.keys.sorted() {
            guard let core = peers[id]?.core else { say("\(id) down"); continue }
            say(
                "\(id) \(core.leadership.role) term \(core.term) log \(core.compactIndex)-\(core.lastIndex) commit \(core.commitIndex) (\(core.configuration))"
            )
        }
    }
}
