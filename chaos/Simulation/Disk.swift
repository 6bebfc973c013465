// The twin of a replica's storage: log and state as shipped, on twins of their files (`LogTwin`, `StateDisk`). The state
// follows on its own and is synced by checkpoints. A crash may strike between any two steps; a power cut also takes what was not synced.

import KVCore
import KVDisk
import Raft

/// Where a crash can strike a host's durable work.
package enum CrashPoint: Int, CaseIterable, Sendable {
    case beforeSave, afterInstall, afterLowering, tornHead, tornSave, beforeMark, afterSave
    case beforeState, insideState, beforeCheckpoint, insideCheckpoint, afterCheckpoint, insideInstall, insideStart
    case beforeCompaction, tornCompaction, afterCompaction, afterApply
    case beforeVerdict, insideVerdict, afterVerdict
}

/// What survives a crash, and what is on its way there.
struct Disk {
    enum LogOperation {
        case save(ReplicaSave)
        case compact(to: LogIndex)
        /// The state is known to be wrong: its database is to say so.
        case distrust
    }
    enum StateOperation {
        case write(StateChanges)
        case checkpoint
    }
    enum LogResult {
        /// How far it was saved; nil after anything else.
        case done(SaveID?)
        /// To be tried again.
        case full
        /// The process has ended, at a crash point or by an error of the disk.
        case crashed, failed
        /// Nothing went wrong, and it failed.
        case broken(String)
    }
    private var twin: LogTwin
    /// Of the present life, or of the last one: what is durable.
    private var log: LogStore
    /// The log ended below its mark when it was read.
    private(set) var isDamageKnown = false
    /// Its mark was lost: nobody can tell how far its log was, and it must catch up as who lost all.
    private(set) var isNewborn = false
    /// What the damage took, whether its owner knows it yet or not.
    private(set) var lost: LogIndex?
    /// Before all of it was taken away: what its owner acknowledged until then may be on its way.
    var emptied = LogIndex.zero
    private var state: StateDisk
    private(set) var logQueue: [LogOperation] = []
    private(set) var stateQueue: [StateOperation] = []
    let planted: PlantedBug?
    /// The commit index of a save that was torn, for `PlantedBug.commitsTornEntries`.
    private var tornCommit = LogIndex.zero

    init(configuration: Configuration, seed: UInt64, planted: PlantedBug?) {
        state = StateDisk(configuration, seed: mix64(seed), planted: planted)
        twin = LogTwin(seed: seed, planted: planted)
        log = Disk.open(twin).log
        self.planted = planted
    }

    private static func open(_ twin: LogTwin) -> (log: LogStore, found: LogStore.Found) {
        do throws(DiskError) { return try LogStore.open(twin) } catch {
            preconditionFailure("a log that cannot be opened: \(error)")
        }
    }

    var last: LogIndex { log.last.index }
    /// Of the log, or of the state where that is ahead.
    var lastID: EntryID { state.applied.index > log.last.index ? state.applied : lastOfLog }
    private var lastOfLog: EntryID {
        EntryID(index: log.last.index, term: log.term(at: log.last.index) ?? log.base.term)
    }
    var logCounts: LogTwin.Counts { twin.counts }
    var hardState: HardState { log.hardState }
    /// From it the state can be made anew.
    var isLogWhole: Bool { log.base.index == .zero }
    var isStateRotten: Bool { state.isRotten }
    /// It says so, durably.
    var isStateCondemned: Bool { state.isCondemned }
    var stateCounts: FileTwin.Counts { state.counts }
    var remadeStates: Int { state.remakings }
    var statesSetAside: Int { state.setAsides }
    var condemnedRemakings: Int { state.condemnedRemakings }

    /// The entry is here for good, by itself or as part of the state. What was damaged counts: its owner may have
    /// acknowledged it before, and keeps still until it is fetched again.
    func holds(_ id: EntryID) -> Bool {
        if let lost, id.index <= lost { return true }
        if id.index <= emptied { return true }
        if id.index <= log.base.index || id.index <= state.applied.index { return true }
        return log.term(at: id.index) == id.term
    }

    /// `busy`: so many are being done. What is known of the state is written before all that waits.
    mutating func begin(_ operation: LogOperation, busy: Int) {
        guard case .distrust = operation else { return logQueue.append(operation) }
        logQueue.insert(operation, at: busy == 0 ? 0 : min(logQueue.count, max(1, batch(busy).count)))
    }

    mutating func begin(_ operation: StateOperation) { stateQueue.append(operation) }
}

// MARK: Steps

extension Disk {
    /// Does the oldest work on the log: a compaction, or as many of `countMax` saves as make one batch.
    mutating func finishLog(countMax: Int, crash: CrashPoint?, trouble: LogTwin.Trouble?, isFull: Bool) -> LogResult {
        guard let first = logQueue.first else { return .done(nil) }
        (twin.crash, twin.trouble, twin.isFull) = (crash, trouble, isFull)
        defer { (twin.crash, twin.trouble, twin.isFull) = (nil, nil, false) }
        do throws(DiskError) {
            switch first {
            case .save: return try save(batch(countMax), crash, isFull)
            case .compact(let index): return try compact(to: index, crash)
            case .distrust: return distrust(crash, isFull)
            }
        } catch {
            if case .full = error { return .full }
            return trouble != nil && twin.trouble == nil ? .failed : .crashed
        }
    }

    /// As the log's thread does: a save that installs a state begins a batch.
    private func batch(_ countMax: Int) -> [ReplicaSave] {
        var batch: [ReplicaSave] = []
        for operation in logQueue.prefix(max(1, countMax)) {
            guard case .save(let save) = operation, batch.isEmpty || save.state == nil else { break }
            batch.append(save)
        }
        return batch
    }

    private mutating func save(
        _ batch: [ReplicaSave], _ crash: CrashPoint?, _ isFull: Bool
    ) throws(DiskError) -> LogResult {
        if crash == .beforeSave { return .crashed }
        if let first = batch.first, let metadata = first.raft.snapshot, let installed = first.state {
            let conditions = StateDisk.Conditions(
                isStruck: crash == .insideInstall, trouble: twin.trouble, isFull: isFull)
            if let end = Disk.end(of: state.install(installed, metadata.configuration, conditions)) { return end }
            if crash == .afterInstall { return .crashed }
        }
        if planted == .commitsTornEntries { tornCommit = batch.last?.raft.hardState.commit ?? .zero }
        try log.save(batch.map(\.raft))
        tornCommit = .zero
        if let index = lost, hardState.commit >= index, !isNewborn { (lost, isDamageKnown) = (nil, false) }
        logQueue.removeFirst(batch.count)
        if crash == .afterSave { return .crashed }
        do throws(DiskError) { try log.prepare() } catch {
            // A full disk: later will do.
        }
        return .done(batch.last?.raft.id)
    }

    /// What can be done later is not done on a full disk.
    private mutating func compact(to index: LogIndex, _ crash: CrashPoint?) throws(DiskError) -> LogResult {
        if crash == .beforeCompaction { return .crashed }
        twin.isCompacting = true
        defer { twin.isCompacting = false }
        do throws(DiskError) { try log.compact(to: index) } catch {
            guard case .full = error else { throw error }
        }
        logQueue.removeFirst()
        return crash == .afterCompaction ? .crashed : .done(nil)
    }

    private mutating func distrust(_ crash: CrashPoint?, _ isFull: Bool) -> LogResult {
        if crash == .beforeVerdict { return .crashed }
        let conditions = StateDisk.Conditions(
            isStruck: crash == .insideVerdict, trouble: twin.trouble, isFull: isFull)
        if let end = Disk.end(of: state.distrust(conditions)) { return end }
        logQueue.removeFirst()
        return crash == .afterVerdict ? .crashed : .done(nil)
    }

    /// nil: it was done.
    private static func end(of ending: StateDisk.Ending) -> LogResult? {
        switch ending {
        case .done: nil
        case .full: .full
        case .crashed: .crashed
        case .failed: .failed
        case .broken(let text): .broken(text)
        }
    }

    /// Does the oldest work on the state. A checkpoint answers how far it got. `now`: milliseconds of a wall clock.
    mutating func finishState(
        crash: CrashPoint?, trouble: LogTwin.Trouble?, isFull: Bool, now: Int64
    ) -> StateDisk.Ending {
        guard let operation = stateQueue.first else { return .done(nil) }
        var conditions = StateDisk.Conditions(trouble: trouble, isFull: isFull)
        let ending: StateDisk.Ending
        switch operation {
        case .write(let changes):
            if crash == .beforeState { return .crashed }
            conditions.isStruck = crash == .insideState
            ending = state.write(changes, now: now, conditions)
        case .checkpoint:
            if crash == .beforeCheckpoint { return .crashed }
            conditions.isStruck = crash == .insideCheckpoint
            ending = state.checkpoint(conditions)
        }
        guard case .done(let synced) = ending else { return ending }
        stateQueue.removeFirst()
        return synced != nil && crash == .afterCheckpoint ? .crashed : ending
    }

    func history() throws(DiskError) -> [RevisionEvents] { try state.history() }

    /// Some of what the database keeps; nil when it cannot be read.
    func history(after: Revision, through: Revision) -> [RevisionEvents]? {
        state.history(after: after, through: through)
    }

    var writtenRevision: Revision { state.writtenRevision }

    /// So far no power cut takes the state back.
    var stateDurable: LogIndex { state.durable.index }

    /// How far the state is, synced or not.
    var stateApplied: LogIndex { state.applied.index }
}

// MARK: Trouble

extension Disk {
    /// The process ends. `survivors` of the waiting writes were done before. Answers how many are lost.
    mutating func crash(survivors: Int) -> Int {
        for _ in 0..<min(survivors, logQueue.count) where !logQueue.isEmpty {
            _ = finishLog(countMax: 1, crash: nil, trouble: nil, isFull: false)
        }
        for _ in 0..<min(survivors, stateQueue.count) {
            _ = finishState(crash: nil, trouble: nil, isFull: false, now: 0)
        }
        state.end()
        defer { (logQueue, stateQueue) = ([], []) }
        return logQueue.count
    }

    /// The machine loses power: of what was not synced only a part is there. Answers
    /// whether the mark was torn. The mark of a damaged log is all that is left to tell: it is spared.
    mutating func losePower() -> Bool {
        state.losePower()
        return twin.losePower(mayTear: !isDamageKnown && lost == nil)
    }

    /// What lies there is altered. Only where the mark is up to date: an old mark and damage at once are one fault too
    /// many. False when there is nothing to take.
    mutating func rot(_ kind: Report.Counter) -> Bool {
        guard !isDamageKnown, lost == nil, let mark = twin.readMark().flatMap(LogMark.init(decoding:)),
            mark.index == last, mark.term == hardState.term, mark.vote == hardState.vote, twin.rot(kind)
        else { return false }
        // A power cut must not bring an older one back before a start has synced it.
        twin.settleMark()
        lost = last
        return true
    }

    mutating func rotState(isUnreadable: Bool) -> Bool { state.rot(isUnreadable: isUnreadable) }
    mutating func noteWrongState() { state.noteWrong() }

    /// What somebody put aside: the files as a process that ended leaves them.
    struct Copy {
        fileprivate var log: LogTwin.Image
        fileprivate var state: StateDisk.Copy
        var hardState: HardState
        var last: EntryID
    }

    var copy: Copy { Copy(log: twin.image, state: state.copy, hardState: hardState, last: lastID) }

    /// Starts again from a copy: what came after it is gone.
    mutating func bringBack(_ copy: Copy) {
        twin.restore(copy.log)
        state.bringBack(copy.state)
        log = Disk.open(twin).log
    }

    /// The term of an entry that is still in the log.
    func term(at index: LogIndex) -> Term? { log.term(at: index) }

    /// What a replica finds at start; nil when the process ended meanwhile.
    mutating func start(isStruck: Bool) throws(DiskError) -> StateDisk.Found? {
        do throws(DiskError) {
            // As `ReplicaDisk` on files: said before the new mark takes the place of the old one.
            if twin.isMarkUnreadable {
                isNewborn = true
                twin.replaceMark()
            }
            var found = try state.start(twin, isStruck: isStruck)
            log = found.log
            mistake(&found.restored)
            found.restored.isNewborn = isNewborn
            isDamageKnown = found.restored.voteMark != nil || isNewborn
            return found
        } catch {
            guard isStruck, state.isEnded else { throw error }
            return nil
        }
    }

    private mutating func mistake(_ restored: inout Restored) {
        if planted == .corruptIsShort || (planted == .forgetsDamage && isDamageKnown) { restored.voteMark = nil }
        if planted == .commitsTornEntries { restored.hardState.commit = max(restored.hardState.commit, tornCommit) }
        tornCommit = .zero
    }

    /// There is nothing, and its owner takes that for a loss, as a witness does.
    mutating func expectLoss(upTo index: LogIndex) { (isNewborn, isDamageKnown, lost) = (true, true, index) }

    /// It has caught up, and that is durable.
    mutating func forgetNewborn() { (isNewborn, isDamageKnown, lost) = (false, false, nil) }

    /// The owner has looked at its log and found nothing missing.
    mutating func forgetLoss() { lost = nil }
}
