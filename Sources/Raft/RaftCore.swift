// The Raft algorithm of one peer as a value. Inputs are method calls (`step`, `tick`, `propose`, `saved`, ...);
// everything it wants done comes out of `takeReady`. It has no clock, no thread, no I/O and no chance but the injected
// seed: the same calls give the same results. Everything that depends on durability is held back here until `saved`, so
// that the shell cannot send it too early.

/// One peer. `Raft §n` below means the extended Raft paper.
package struct RaftCore: Sendable {
    package let id: PeerID
    package let settings: RaftSettings
    package internal(set) var hardTerm: Term
    package internal(set) var vote: PeerID?
    package internal(set) var commitIndex: LogIndex
    package internal(set) var appliedIndex: LogIndex
    /// The newest durable snapshot of the local state machine.
    package internal(set) var snapshot: SnapshotMetadata
    /// Set when an invariant is broken by what others sent: the shell logs it and exits; nothing more is done.
    package internal(set) var fault: String?

    var role = Role.follower(FollowerState())
    var log: Log
    /// In force from each index on, ascending; never empty.
    var configurations: [(index: LogIndex, value: Configuration)]
    var generator: SeededGenerator
    var ticks: UInt64 = 0
    /// The shell's monotonic clock, as last told.
    var clock: Int64?
    /// So much is left of the time in which this peer helps nobody else to lead. At start it may have promised that in
    /// a former life.
    var promiseLeft: Int64
    package internal(set) var leaseFigures = LeaseFigures()
    var electionElapsed = 0
    var electionTimeout = 0
    /// Campaigns since somebody led last.
    var fruitless = 0
    /// Campaign when it reaches zero: the leader is believed dead.
    var hintDelay: Int?
    var hintAttempts = 0
    var voteMark: LogIndex?
    /// As in `Restored`; false again once it has caught up. To be remembered until what ended it is saved.
    package internal(set) var isNewborn: Bool

    /// To be sent at once.
    var outbox: [Message] = []
    /// To be sent when everything up to now is durable.
    var held: [Message] = []
    var saves: [PendingSave] = []
    var lastSave = SaveID(rawValue: 0)
    var isHardStateDirty = false
    var installing: SnapshotMetadata?
    /// The state machine's state is wrong: nothing is applied until it is replaced.
    var isApplyingSuspended = false
    /// Timeouts that were let pass because of that.
    var campaignsSkipped = 0
    var handedToApply: LogIndex
    var forwarded: ForwardedReads
    var readResults: [ReadResult] = []
    var reported: Leadership?

    /// A peer as it was when it stopped. `seed` must differ from boot to boot.
    package init(id: PeerID, settings: RaftSettings = RaftSettings(), restored: Restored, seed: UInt64) {
        precondition(settings.isValid, "settings \(settings)")
        self.id = id
        self.settings = settings
        // What is applied may be durable before the save that brought its term: whoever has it lives in that term.
        let reached = max(restored.snapshot.term, restored.entries.last?.term ?? .zero)
        hardTerm = max(restored.hardState.term, reached)
        vote = restored.hardState.term < reached ? nil : restored.hardState.vote
        log = Log(base: restored.base, entries: restored.entries)
        snapshot = restored.snapshot
        precondition(
            log.term(at: snapshot.index) == snapshot.term,
            "snapshot \(snapshot.id) is not in the log \(log.base)-\(log.last)")
        appliedIndex = snapshot.index
        handedToApply = snapshot.index
        commitIndex = max(snapshot.index, min(restored.hardState.commit, log.last.index))
        configurations = [(snapshot.index, snapshot.configuration)]
        promiseLeft = settings.leaseReads || settings.mayHavePromised ? settings.promiseUnits + 1 : 0
        generator = SeededGenerator(seed: seed)
        forwarded = ForwardedReads(nextContext: generator.next() >> 1)
        isNewborn = restored.isNewborn
        voteMark = restored.voteMark.flatMap { $0 > commitIndex ? $0 : nil }
        readConfigurations(after: snapshot.index)
        resetElectionTimer()
        _ = knowsItsRole()
    }
}

/// A save under way.
struct PendingSave: Sendable {
    var id: SaveID
    /// What it makes durable of the log; lowered when the log is truncated meanwhile.
    var through: LogIndex?
    var snapshot: SnapshotMetadata?
    var messages: [Message]
    var startTick: UInt64

    /// Of acknowledgements to one leader the furthest says all: while a disk hangs each heartbeat asks for another one.
    mutating func hold(_ message: Message) {
        guard case .appendResponse(let new) = message.body, new.rejection == nil else {
            return messages.append(message)
        }
        let known = messages.lastIndex { other in
            guard case .appendResponse(let old) = other.body, old.rejection == nil else { return false }
            return other.to == message.to && other.term == message.term && old.isAmnesiac == new.isAmnesiac
        }
        guard let known else { return messages.append(message) }
        if case .appendResponse(let old) = messages[known].body, old.index < new.index { messages[known] = message }
    }
}

extension RaftCore {
    package var term: Term { hardTerm }
    package var lastIndex: LogIndex { log.last.index }
    /// What the log in memory costs.
    package var logBytes: Int { log.bytes }
    /// Everything up to here is gone from the log.
    package var compactIndex: LogIndex { log.base.index }
    package var durableIndex: LogIndex { log.durable }

    package var isLeader: Bool {
        if case .leader = role { return true }
        return false
    }

    package var leader: PeerID? {
        switch role {
        case .follower(let state): return state.leader
        case .leader: return id
        case .preCandidate, .candidate: return nil
        }
    }

    /// May not vote or campaign: its log is known to be damaged, or older than what it acknowledged, or it may have lost
    /// everything.
    package var isAmnesiac: Bool { voteMark != nil || isNewborn }
    /// Something decided is not durable yet.
    package var hasUnsaved: Bool { isHardStateDirty || log.hasUnsaved || installing != nil || !saves.isEmpty }

    package var leadership: Leadership {
        switch role {
        case .follower(let state): return Leadership(role: .follower, term: term, leader: state.leader)
        case .preCandidate, .candidate: return Leadership(role: .candidate, term: term)
        case .leader(let state): return Leadership(role: .leader, term: term, leader: id, termStart: state.termStart)
        }
    }

    /// The leader's state, changed in place; only for code that runs when this peer leads.
    var leading: LeaderState {
        get {
            guard case .leader(let state) = role else { preconditionFailure("not leading: \(leadership)") }
            return state
        }
        _modify {
            guard case .leader(var state) = role else { preconditionFailure("not leading: \(leadership)") }
            role = .follower(FollowerState())
            defer { role = .leader(state) }
            yield &state
        }
    }

    func message(to peer: PeerID, _ body: Message.Body) -> Message {
        Message(from: id, to: peer, term: term, body)
    }

    mutating func send(to peer: PeerID, _ body: Message.Body) {
        outbox.append(message(to: peer, body))
    }

    /// Sends when everything that was decided up to now is durable.
    mutating func sendWhenSaved(to peer: PeerID, _ body: Message.Body) {
        held.append(message(to: peer, body))
    }
}

extension RaftCore {
    /// What is to be done now; nil when nothing is. Ask until nil after every input or batch of inputs.
    package mutating func takeReady() -> Ready? {
        guard fault == nil else { return nil }
        if isLeader {
            serveByLease()
            beginReadRound()
            replicate()
        } else {
            forwardReads()
        }
        var ready = Ready()
        ready.save = takeSave()
        ready.committed = takeCommitted()
        ready.messages = take(&outbox)
        ready.reads = take(&readResults)
        if leadership != reported {
            reported = leadership
            ready.leadership = leadership
        }
        return ready.isEmpty ? nil : ready
    }

    private func take<Element>(_ list: inout [Element]) -> [Element] {
        defer { list = [] }
        return list
    }
}
