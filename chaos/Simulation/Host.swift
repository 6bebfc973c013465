// One simulated process: a replica and its disk. Everything that a crash takes away lives in `Life`.

import KVCore
import KVDisk
import Raft

/// A machine that runs one replica.
struct Host {
    /// Another after the disk was wiped: ids are never used twice.
    private(set) var id: PeerID
    private(set) var settings: RaftSettings
    let limits: ReplicaLimits
    private(set) var initialMembers: [Member]
    private(set) var disk: Disk
    var life: Life?
    /// Who took part when its last process ended, as far as it knew.
    var membersAtEnd: Configuration?
    /// Counts boots.
    private(set) var lives = 0
    /// Counts its rests: the end of a former one is not heeded.
    var rest: UInt64 = 0
    var pausedUntil: UInt64 = 0
    var stalledUntil: UInt64 = 0
    var fullUntil: UInt64 = 0
    var slowUntil: UInt64 = 0
    /// Little room is left on it.
    var lowUntil: UInt64 = 0
    /// The next write or sync fails.
    var ioError: LogTwin.Trouble?
    /// The same, of its state database.
    var stateError: LogTwin.Trouble?
    /// It crashes when its durable work gets here.
    var crashPoint: CrashPoint?
    let planted: PlantedBug?
    /// Of its data directory, from some time before.
    var copy: Disk.Copy?
    /// It was started with an older copy, had this once, and did not fetch it since.
    var forgot: EntryID?
    /// Its leader has told it so.
    var hasNoticed = false
    /// How fast its clock runs, out of 1000.
    let clockRate: Int64
    /// It may be started with or without reads by lease.
    private let mayLease: Bool
    /// Its data directory remembers that it ever promised something.
    private var hasPromised = false
    /// When its clock jumped last.
    var jumpedAt: UInt64?
    /// It begins with nothing, and has not heard yet whether it ever had anything.
    private(set) var newcomer: Newcomer?
    private var waiting: (life: Life, start: Start)?
    /// Its data directory was emptied: under its number it must not take part again.
    var isEmptied = false
    /// And it was told so: it does not begin any more.
    private(set) var isRefused = false
    private let initial: Configuration
    /// The newest version of entries that its program understands.
    var understands = EntryFormat.oldest

    /// What is in memory. A class only because copies of a replica at every look would cost most of the run.
    final class Life {
        var core: ReplicaCore
        var waiting: [Waiting] = []
        var lastTicket: UInt64 = 0
        var isLogBusy = false
        /// As its shell has told it.
        var isLow = false
        /// So many saves waited when the disk began: they are one batch.
        var batchMax = 1
        var isStateBusy = false
        /// Its own monotonic clock began here.
        var clockBase: Int64
        /// The revision that its watch of everything has delivered.
        var watched: Revision
        var watch = WatchID(rawValue: 1)
        /// Clients' watches, by their number here.
        var watchers: [WatchID: Int] = [:]
        var lastWatch: UInt64 = 1
        /// The last revision that a read of whatever is here has shown.
        var shown = Revision.zero
        /// A bit of its state was flipped, when so many states had been installed.
        var flippedAt: Int?
        /// When a lease was first seen here (only for `PlantedBug.expiresByLocalClock`).
        var leasesSeen: [LeaseID: Int64] = [:]
        var compactSeen = Revision.zero
        /// How far the witness was fed, and in which term (only for planted bugs).
        var fed = EntryID.zero
        /// The cluster's version of entries, as far as told.
        var versionSeen: UInt8 = 0

        init(core: ReplicaCore, clockBase: Int64, watched: Revision) {
            self.core = core
            self.clockBase = clockBase
            self.watched = watched
        }

        /// Its state is wrong and was not replaced yet.
        var isFlipped: Bool { flippedAt == core.statesInstalled }
        var raft: RaftCore { core.raft }
    }
    struct Waiting {
        var ticket: Ticket
        var request: Request
    }

    init(id: PeerID, plan: Plan, members: [Member], planted: PlantedBug?, seed: UInt64) {
        self.id = id
        self.planted = planted
        settings = plan.settings
        limits = plan.limits
        initialMembers = members
        let voters = members.map(\.id), witness = plan.witness.map { PeerID(UInt64($0) + 1) }
        settings.isWitness = id == witness
        clockRate = plan.leases?.rate(of: id) ?? 1000
        mayLease = plan.leases != nil
        plan.leases?.set(&settings, of: id)
        initial = voters.isEmpty ? .empty : Configuration(voters: voters, witness: witness)
        disk = Disk(configuration: initial, seed: seed, planted: planted)
    }

    var lastIndex: LogIndex? { life?.raft.lastIndex }
    /// It votes, keeps no commands, and serves nobody.
    var isWitness: Bool { settings.isWitness }

    struct Start {
        var isLogDamaged: Bool
        var stateDamage: String?
        var isStateDamaged: Bool { stateDamage != nil }
        /// And it does not know.
        var isStateWrong: Bool
    }

    /// nil: the process ended before it ran. `isStruck`: it may.
    mutating func boot(seed: UInt64, now: UInt64, isStruck: Bool) throws(DiskError) -> Start? {
        guard let found = try disk.start(isStruck: isStruck) else { return nil }
        chooseLeases(seed)
        lives += 1
        let (restored, machine) = (found.restored, found.machine)
        let isDamaged = found.isDamaged && planted != .trustsState
        let clock = Int64(seed % 1_000_000)
        let core = ReplicaCore(
            id: id, settings: settings, limits: limits, restored: restored, state: machine,
            initialMembers: initialMembers, seed: seed, now: clock, isStateDamaged: isDamaged,
            understands: planted == .guessesVersions ? 9 : understands)
        let life = Life(core: core, clockBase: clock - shown(now), watched: machine.revision)
        if planted == .forgetsPromises { forgetPromises(life, clock) }
        if isDamaged || machine.isFlipped { life.flippedAt = 0 }
        if !isWitness { life.core.watch(life.watch, .all, after: machine.revision) }
        let start = Start(
            isLogDamaged: restored.voteMark != nil || restored.isNewborn, stateDamage: isDamaged ? found.damage : nil,
            isStateWrong: machine.isFlipped && !isDamaged)
        if mustAsk(restored) {
            newcomer = Newcomer(members: initialMembers.count, others: initialMembers.count - 1, joins: false)
            waiting = (life, start)
        } else {
            self.life = life
        }
        return start
    }

    /// Now and then somebody starts it with other settings; what it promised before is kept.
    private mutating func chooseLeases(_ seed: UInt64) {
        guard mayLease else { return }
        if lives > 0, seed % 8 == 0 {
            settings.leaseReads.toggle()
            settings.usesConnectionLossHint = !settings.leaseReads
        }
        if settings.leaseReads { hasPromised = true }
        settings.mayHavePromised = hasPromised && !settings.leaseReads && planted != .forgetsPromises
    }

    func clock(at now: UInt64) -> Int64 { (life?.clockBase ?? 0) + shown(now) }

    /// Milliseconds by the rate of its clock.
    func shown(_ microseconds: UInt64) -> Int64 { Int64(microseconds) * clockRate / 1_000_000 }

    /// A new machine in the place of a lost one: it knows nothing and nobody knows it.
    mutating func replace(by id: PeerID, seed: UInt64, isWitness: Bool) {
        self.id = id
        settings.isWitness = isWitness
        (initialMembers, membersAtEnd) = ([], nil)
        hasPromised = false
        (copy, forgot, hasNoticed) = (nil, nil, false)
        (isEmptied, isRefused) = (false, false)
        disk = Disk(configuration: .empty, seed: seed, planted: planted)
    }

    /// Who joins is told its number by somebody who runs; that it has none of the past is not simulated.
    private mutating func mustAsk(_ restored: Restored) -> Bool {
        if planted == .emptiedVotesAtOnce, isEmptied {
            isEmptied = false
            return false
        }
        return Newcomer.mustAsk(restored, isWitness: isWitness, members: initialMembers.count, joins: false)
    }

    mutating func note(_ tookPart: Bool, by peer: PeerID) { newcomer?.note(tookPart, by: peer) }

    /// The others know nothing of it: it takes part.
    mutating func endProbation() -> Start? {
        defer { (newcomer, waiting) = (nil, nil) }
        life = waiting?.life
        return waiting?.start
    }

    /// One of them knows it: its process ends for good.
    mutating func refuse() {
        (newcomer, waiting, isRefused) = (nil, nil, true)
        _ = disk.crash(survivors: 0)
    }

    /// Nothing is left in its data directory.
    mutating func emptyDisk(seed: UInt64) {
        let lost = disk.lastID
        disk = Disk(configuration: initial, seed: seed, planted: planted)
        disk.emptied = lost.index
        (membersAtEnd, copy, hasPromised) = (nil, nil, false)
        guard isWitness else { return }
        disk.expectLoss(upTo: lost.index)
        // Its leader tells it, too.
        (forgot, hasNoticed) = (lost, true)
    }

    mutating func withDisk<Result>(_ body: (inout Disk) -> Result) -> Result { body(&disk) }
}
