// One replica as a synchronous value: Raft, the state machine it feeds, the proposals and reads that wait, snapshots,
// watches and the leader's duties. Inputs are method calls, everything that is to be done comes out of `takeOutput`. No
// clock, thread, chance or dictionary order: the simulator drives the same code. Effects carry tickets, never closures;
// the shell knows who holds them.
import Raft

/// The shell's name for something that waits for an answer.
package struct Ticket: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Ticket, right: Ticket) -> Bool { left.rawValue < right.rawValue }
}

/// Why a proposal or a read has no outcome.
package enum ReplicaFailure: Error, Hashable, Sendable {
    /// Nothing was appended anywhere.
    case noLeader
    /// It may have been appended.
    case unknownOutcome
    case tooLarge(bytes: Int)
    case overloaded
    case noSpace
    case stopped
}

/// What the shell does; in any order, except that saves are done in the order of their ids, before `saved` is reported.
/// Messages may be sent at once: what must wait for a save was held back.
package struct ReplicaOutput: Sendable {
    package var messages: [Envelope] = []
    package var save: ReplicaSave?
    package var outcomes: [(ticket: Ticket, result: Result<Outcome, ReplicaFailure>)] = []
    package var reads: [(ticket: Ticket, failure: ReplicaFailure?)] = []
    package var notices: [WatchNotice] = []
    package var leadership: LeadershipNews?
    /// `view` is another than before.
    package var hasNewState = false
    package var hasNewMembers = false
    package var alarms: [StateAlarm] = []
    /// The state is known to be wrong: its database is to say so too, until another one is installed.
    package var condemnsState = false
    /// To be executed on another thread; `executed` is told what came of it.
    package var execution: Execution?
    /// The log up to here is not needed any more; may be done late.
    package var compactLog: LogIndex?

    package var isEmpty: Bool {
        messages.isEmpty && save == nil && outcomes.isEmpty && reads.isEmpty && notices.isEmpty && leadership == nil
            && !hasNewState && !hasNewMembers && alarms.isEmpty && !condemnsState && execution == nil
            && compactLog == nil
    }
}

/// One durable step. With a state: it is installed and synced first, then the log is reset to `raft.snapshot`.
package struct ReplicaSave: Sendable {
    package var raft: Save
    package var state: StateMachine?

    package init(raft: Save, state: StateMachine? = nil) {
        self.raft = raft
        self.state = state
    }
}

/// Who leads, for those who act only where the leader is.
package enum LeadershipNews: Hashable, Sendable {
    /// This replica, with everything of its predecessors applied.
    case leading(Term)
    case following(PeerID?)
}

/// Limits and timings, in milliseconds of the shell's monotonic clock.
package struct ReplicaLimits: Hashable, Sendable {
    package var tickMilliseconds: Int64 = 10
    package var holdMilliseconds: Int64 = 2000
    /// With a leader: give up on an answer after this.
    package var answerMilliseconds: Int64 = 10_000
    /// Forwarded and unanswered: sent again.
    package var resendMilliseconds: Int64 = 1000
    package var proposalBytesMax = 8 << 20
    package var pendingMax = 65_536
    package var stateBytesMax = 2 << 30
    /// Of the recent changes in memory.
    package var windowRevisionsMax = EventWindow.revisionsMaxDefault
    package var windowBytesMax = EventWindow.bytesMaxDefault
    package var compaction = CompactionPolicy.age(milliseconds: 300_000)
    package var sessionIdleMilliseconds: Int64 = 3_600_000
    /// The same while the table of sessions is full; above `answerMilliseconds`, or what still waits might be cut off.
    package var crowdedIdleMilliseconds: Int64 = 60_000
    /// Entries kept behind the durable state for followers that lag.
    package var logTailEntries: UInt64 = 4096
    /// A snapshot is sent in pieces of about this size, one at a time.
    package var snapshotPieceBytes = 256 << 10
    /// Above, only a short tail is kept.
    package var logBytesMax = 64 << 20
    /// Above, that is so although a follower needs more of it behind the snapshot that it is being sent.
    package var logBytesHeldMax = 256 << 20
    /// Above, a leader takes no proposals.
    package var logBytesFullMax = 512 << 20
    /// A command that deletes or looks at more keys is executed aside.
    package var applyKeysMax = 10_000
    /// One output applies entries until they, the keys that they look at, their changes and what watchers are told of them
    /// are so many; what is left comes with the next.
    package var applyWorkMax = 10_000
    /// At every so many entries replicas compare their states; the same on all of them.
    package var hashEntries: UInt64 = 256
    package init() {}

    /// Of a state as it comes from the leader, with its history and what was under way when it reached its limit.
    package var snapshotBytesMax: Int {
        let (sum, isTooMuch) = max(0, stateBytesMax).addingReportingOverflow(1 << 30)
        return isTooMuch ? .max : sum
    }
}

/// What was applied since the start.
package struct ChangeCounts: Hashable, Sendable {
    package var puts: UInt64 = 0
    package var deletes: UInt64 = 0
    /// With more than one change.
    package var transactions: UInt64 = 0
    package init() {}

    mutating func note(_ events: [KVEvent]) {
        if events.count > 1 { transactions &+= 1 }
        for event in events { if event.kind == .put { puts &+= 1 } else { deletes &+= 1 } }
    }
}

/// One replica.
package struct ReplicaCore: Sendable {
    package let id: PeerID
    package let limits: ReplicaLimits
    package internal(set) var raft: RaftCore
    package internal(set) var state: StateMachine
    var hub = WatchHub()
    /// The shell's monotonic clock, as last told.
    private var told: Int64
    /// Milliseconds in which this process ran: what all its patience and log time are counted in.
    var now: Int64
    var lastTick: Int64
    /// Ticks up to the moment until which the shell was told that it may rest; 1 when it does not rest.
    private var ticksToRest = 1
    var output = ReplicaOutput()
    var proposals: ProposalTable
    /// From other peers, to be appended when the time is told.
    var incoming: [(peer: PeerID, list: [ForwardedProposal])] = []
    var reads = ReadTable()
    var duties: LeaderDuties
    var senders: [SnapshotSender] = []
    var holds: [LogHold] = []
    var receiver: SnapshotReceiver?
    /// A received state that Raft was told of, until its save is done.
    var staged: StateMachine?
    var installing: SaveID?
    var committed = CommittedEntries()
    /// Entries, changes and notices of this output.
    var appliedWork = 0
    var lastTransfer: UInt64
    var agreement = StateAgreement()
    /// How often another state took the place of this replica's own.
    package internal(set) var statesInstalled = 0
    /// How far the state database has been told.
    var toldState: LogIndex
    var reported: LeadershipNews?
    /// Since when nobody leads, as far as this peer knows; nil while somebody does.
    package internal(set) var leaderlessSince: Int64?
    /// Members of the first configuration, until the directory has them.
    let initialMembers: [Member]
    var versions: VersionAgreement
    /// Of a witness: who is reached where, as others said, and as of which entry.
    var toldMembers: (index: LogIndex, members: [Member])?
    var shortage = DiskShortage()
    var troubles = TroubleReports()
    package internal(set) var changes = ChangeCounts()

    /// `seed` must differ from boot to boot. `state` is what the disk held at `restored.snapshot`; when it is damaged,
    /// nothing is served before another one has been fetched. `understands`: the newest version of entries.
    package init(
        id: PeerID, settings: RaftSettings, limits: ReplicaLimits, restored: Restored, state: StateMachine,
        initialMembers: [Member], seed: UInt64, now: Int64, isStateDamaged: Bool = false,
        understands: UInt8 = EntryFormat.newest
    ) {
        self.id = id
        self.limits = limits
        self.state = state
        self.state.window.limit(revisions: limits.windowRevisionsMax, bytes: limits.windowBytesMax)
        self.now = now
        told = now
        lastTick = now
        self.initialMembers = initialMembers.sorted { $0.id < $1.id }
        var settings = settings
        settings.tickUnits = Int(clamping: limits.tickMilliseconds)
        raft = RaftCore(id: id, settings: settings, restored: restored, seed: seed)
        proposals = ProposalTable(seed: seed)
        duties = LeaderDuties(now: now)
        lastTransfer = mix64(seed)
        toldState = state.appliedIndex
        leaderlessSince = now
        output.hasNewMembers = true
        output.hasNewState = true
        versions = VersionAgreement(understands: understands)
        noteVersion(of: state)
        if isStateDamaged { fenceAtStart() } else { agreement.isUnseen = state.appliedIndex > .zero }
        if raft.configuration.allVoters == [id] { startAlone() }
    }

    /// Nobody else can lead: the election timeout need not be waited for.
    private mutating func startAlone() {
        for _ in 0...raft.settings.electionTicksMax where raft.leadership.role == .follower { raft.tick() }
    }

    /// The election timeout is over.
    package mutating func campaign() {
        for _ in 0...raft.settings.electionTicksMax where raft.leadership.role != .leader { raft.tick() }
    }

    /// The numbers of `status`, taken in place.
    package struct Numbers: Sendable {
        package var term: Term
        package var leader: PeerID?
        package var role: Leadership.Role
        package var isLearner: Bool
        package var commitIndex: LogIndex
        package var appliedIndex: LogIndex
        package var revision: Revision
        package var compactRevision: Revision
        package var keyCount: Int
        package var stateBytes: Int
        package var leaseCount: Int
        package var refusesGrowth: Bool
    }

    package var numbers: Numbers {
        let leadership = raft.leadership
        return Numbers(
            term: raft.term, leader: leadership.leader, role: leadership.role,
            isLearner: leadership.role == .follower && raft.configuration.learners.contains(id),
            commitIndex: raft.commitIndex, appliedIndex: state.appliedIndex, revision: state.revision,
            compactRevision: state.compactRevision, keyCount: state.tree.count, stateBytes: state.stateBytes,
            leaseCount: state.leases.leases.count, refusesGrowth: refusesGrowth)
    }

    package var view: KVView { state.view }
    package var watchCount: Int { hub.count }
    /// What watchers are told with the next output.
    package var noticesGathered: Int { output.notices.count }
    /// What no election can undo any more.
    package var committedConfiguration: Configuration {
        raft.configuration(at: state.appliedIndex) ?? raft.configuration
    }
    /// This program is too old for what the cluster writes.
    package var isOutdated: Bool { versions.fault != nil }
    /// Why nothing more is done.
    package var fault: String? { raft.fault ?? versions.fault }
    package var pendingCount: Int { proposals.count + reads.count }
    package var snapshot: StoreSnapshot { state.snapshot }
    package var clientID: ClientID { proposals.client }

    /// Current members with addresses: the directory, or what was configured where it says nothing yet.
    package var members: [Member] {
        var known = state.members
        for member in toldMembers?.members ?? [] { known[member.id] = member }
        let isUnknown = known.isEmpty
        for member in initialMembers
        where known[member.id] == nil && (isUnknown || raft.configuration.contains(member.id)) {
            known[member.id] = member
        }
        return known.values.sorted { $0.id < $1.id }
    }

    /// Of a longer silence only so much is counted: the process slept or its clock jumped, and nobody could be served.
    package static let silenceMillisecondsMax: Int64 = 1000

    /// Something falls due before the end of the rest that the shell was granted: it asks anew.
    package var restsTooLong: Bool { calmTicks < ticksToRest }

    private var calmTicks: Int {
        guard pendingCount == 0, senders.isEmpty, receiver == nil, !isFenced else { return 1 }
        // What passes unseen does not shorten a promise.
        return raft.settings.leaseReads ? min(raft.restTicks, raft.settings.leaseMarginTicks) : raft.restTicks
    }

    /// Ticks that may be made up for although nobody planned to.
    private static let lateTicksMax = 3

    /// The shell has nothing to do and asks for how many milliseconds it need not tell the time. If something happens
    /// before, it begins with `wake`.
    package mutating func rest() -> Int64 {
        ticksToRest = calmTicks
        return max(1, lastTick + Int64(ticksToRest) * limits.tickMilliseconds - now)
    }

    /// Before the inputs that end a rest: what has passed of it passed before them. Nothing falls due by this.
    package mutating func wake(at time: Int64) {
        guard ticksToRest > 1 else { return }
        pass(to: time)
        tick(atMost: ticksToRest - 1)
    }

    /// Time passed. To be told after inputs and before `takeOutput`: what is appended is stamped with it.
    package mutating func advance(to time: Int64) {
        // Reads that came before this moment may be answered by what holds at it.
        if raft.settings.leaseReads { dispatchReads() }
        tell(time)
        pass(to: time)
        guard tick(atMost: .max) > 0 else { return }
        expireProposals()
        expireReads()
        performDuties()
        tickSnapshots()
        askForState()
        askForComparison()
        tellVersion()
        tellRoom()
        tellTroubles()
    }

    /// The clock alone, before a message is received: what it asks for counts from now, not from the last tick.
    package mutating func tell(_ time: Int64) { raft.tell(clock: time) }

    private mutating func pass(to time: Int64) {
        now += min(max(0, time &- told), Self.silenceMillisecondsMax)
        told = time
    }

    /// Makes up for the ticks of a rest and a few more. Later than that, this peer was frozen: only for the few, so that
    /// it hears the others before it campaigns.
    @discardableResult
    private mutating func tick(atMost most: Int) -> Int {
        var due = Int((now - lastTick) / limits.tickMilliseconds)
        if due >= ticksToRest + Self.lateTicksMax {
            due = Self.lateTicksMax
            lastTick = now - Int64(due) * limits.tickMilliseconds
        }
        let count = min(due, most)
        for _ in 0..<max(0, count) { raft.tick() }
        lastTick += Int64(max(0, count)) * limits.tickMilliseconds
        ticksToRest = max(1, ticksToRest - count)
        return count
    }

    /// A message from another peer, which the transport has identified.
    package mutating func receive(_ message: PeerMessage, from peer: PeerID) {
        guard isHeard(message, from: peer) else { return }
        switch message {
        case .raft(let message):
            guard message.from == peer else { return }
            if case .installSnapshot = message.body { return }
            raft.step(message)
        case .propose(let list): takeForwarded(list, from: peer)
        case .proposeRefused(let serials): forwardRefused(serials)
        case .snapshotChunk(let chunk): receive(chunk, from: peer)
        case .snapshotAnswer(let transfer, let next): snapshotAnswered(transfer, next, by: peer)
        case .stateReport(let index, let hash): judge(index, hash, from: peer)
        case .stateVerdict(let index, let hash): if peer == raft.leader { takeVerdict(index, hash) }
        case .stateWanted: sendState(to: peer)
        case .understands(let version): if raft.isLeader { versions.hear(version, from: peer, at: now) }
        case .diskLow(let isLow): hearRoom(isLow, from: peer)
        case .growthRefused(let isRefused): hearRefusal(isRefused, from: peer)
        case .stateTroubles(let news): hear(news, from: peer)
        case .change(let change): if raft.isLeader { _ = request(change) }
        case .directory(let index, let members): takeDirectory(members, as: index)
        }
    }

    /// A leader knows all members, also those that are not known elsewhere yet: who is none asks it for nothing.
    private func isHeard(_ message: PeerMessage, from peer: PeerID) -> Bool {
        if case .raft = message { return true }
        return !raft.isLeader || !raft.isStranger(peer) || raft.configuration.former.contains(peer)
    }

    /// The save with this id, and all before it, are durable.
    package mutating func saved(_ id: SaveID) {
        raft.saved(id)
        if let installing, installing <= id { adoptInstalled() }
    }

    /// A connection was reset and a new one refused: the process at the other end is gone.
    package mutating func connectionLost(to peer: PeerID) { raft.connectionLost(to: peer) }

    /// The transport dropped something for this peer.
    package mutating func unreachable(_ peer: PeerID) { raft.peerUnreachable(peer) }

    package var hasUnsavedState: Bool { state.appliedIndex > toldState }

    /// What the state database has not been told, with the members of that moment.
    package mutating func takeStateChanges() -> StateChanges? {
        guard installing == nil, committed.execution == nil, !isFenced,
            let configuration = raft.configuration(at: state.appliedIndex)
        else {
            return nil
        }
        var changes = state.takeChanges()
        changes.configuration = configuration
        toldState = state.appliedIndex
        return changes
    }

    package mutating func watch(_ watch: WatchID, _ range: KeyRange, after: Revision?) {
        output.notices += hub.add(watch, range, after: after, state)
    }

    package mutating func cancel(_ watch: WatchID) { hub.cancel(watch) }
}
