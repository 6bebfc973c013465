// The twin of a replica's storage, step by step as the real one works: a log whose saves are durable when done; a mark
// beside it that is written later and may lag, and is lowered for good before anything is cut off; a state that follows
// on its own and is synced by checkpoints. A crash may strike between any two steps; a power cut also takes what was not
// synced.

import KVCore
import Raft

/// Where a crash can strike a host's durable work.
enum CrashPoint: Int, CaseIterable, Sendable {
    case beforeSave, afterInstall, afterLowering, tornSave, beforeMark, afterSave
    case beforeState, beforeCheckpoint, afterCheckpoint
    case beforeCompaction, afterCompaction, afterApply
}

/// What survives a crash, and what is on its way there.
struct Disk {
    enum LogOperation {
        case save(ReplicaSave)
        case compact(to: EntryID)
    }
    enum StateOperation {
        case write(StateChanges)
        case checkpoint
    }
    /// How far the log was once durable.
    struct Mark: Equatable {
        var term = Term.zero
        var vote: PeerID?
        var id = EntryID.zero
    }
    private(set) var hardState = HardState()
    private(set) var base = EntryID.zero
    private(set) var entries: [Entry] = []
    private(set) var mark: Mark?
    /// Written since the mark was last synced; a power cut leaves any of them, or none that can be read.
    private var writtenMarks: [Mark] = []
    /// The log ended below this mark when it was read.
    private(set) var owed: Mark?
    /// What the damage took, whether its owner knows it yet or not.
    private(set) var lost: LogIndex?
    /// The log cannot be read from here on.
    private var rottenFrom: LogIndex?
    private(set) var state: DurableState
    private var synced: DurableState
    private var unsynced: [StateChanges] = []
    private(set) var logQueue: [LogOperation] = []
    private(set) var stateQueue: [StateOperation] = []
    let planted: PlantedBug?

    init(configuration: Configuration, planted: PlantedBug?) {
        state = DurableState(configuration: configuration)
        synced = state
        self.planted = planted
    }

    var last: LogIndex { entries.last?.index ?? base.index }

    func term(at index: LogIndex) -> Term? {
        if index == base.index { return base.term }
        let offset = Int(index.distance(after: base.index)) - 1
        return index > base.index && offset < entries.count ? entries[offset].term : nil
    }

    /// The entry is here for good, by itself or as part of the state. What was damaged counts: its owner may have
    /// acknowledged it before, and keeps still until it is fetched again.
    func holds(_ id: EntryID) -> Bool {
        if let lost, id.index <= lost { return true }
        if id.index <= base.index || id.index <= state.applied.index { return true }
        return term(at: id.index) == id.term
    }

    mutating func begin(_ operation: LogOperation) { logQueue.append(operation) }
    mutating func begin(_ operation: StateOperation) { stateQueue.append(operation) }
}

// MARK: Steps

extension Disk {
    /// Does the oldest work on the log; nil when `crash` was reached on the way.
    mutating func finishLog(crash: CrashPoint?) -> LogOperation? {
        guard let operation = logQueue.first else { return nil }
        let isDone: Bool
        switch operation {
        case .save(let save): isDone = perform(save, crash)
        case .compact(let id): isDone = compact(to: id, crash)
        }
        guard isDone else { return nil }
        return logQueue.removeFirst()
    }

    private mutating func perform(_ save: ReplicaSave, _ crash: CrashPoint?) -> Bool {
        if crash == .beforeSave { return false }
        if let metadata = save.raft.snapshot, let installed = save.state {
            state = DurableState(installed, configuration: metadata.configuration)
            synced = state
            unsynced = []
            if crash == .afterInstall { return false }
        }
        if lowerMark(before: save.raft), crash == .afterLowering { return false }
        if crash == .tornSave {
            tear(save.raft)
            return false
        }
        write(save.raft)
        if crash == .beforeMark { return false }
        writeMark()
        return crash != .afterSave
    }

    /// The mark must not lead: before entries go, it is lowered for good.
    private mutating func lowerMark(before save: Save) -> Bool {
        guard planted != .truncatesBelowMark, owed == nil, let first = save.entries.first?.index,
            first <= last || save.snapshot != nil
        else { return false }
        let kept = save.snapshot == nil ? first.previous : LogIndex.zero
        let term = kept <= base.index ? base.term : self.term(at: kept) ?? .zero
        mark = Mark(term: hardState.term, vote: hardState.vote, id: EntryID(index: kept, term: term))
        writtenMarks = []
        return true
    }

    /// Only the front of it gets through: the hard state first, without what the entries behind it bring, then some of
    /// these.
    private mutating func tear(_ save: Save) {
        var front = save
        if planted != .commitsTornEntries {
            let brought = save.snapshot != nil ? .zero : save.entries.first?.index.previous ?? save.hardState.commit
            front.hardState.commit = max(hardState.commit, min(save.hardState.commit, brought))
        }
        front.entries = Array(save.entries.prefix(save.entries.count / 2))
        write(front)
    }

    /// The log's end behind a snapshot that it holds stays.
    private mutating func write(_ save: Save) {
        if let metadata = save.snapshot {
            let isHeld = term(at: metadata.index) == metadata.term
            entries = isHeld ? entries.filter { $0.index > metadata.index } : []
            base = metadata.id
        }
        if let first = save.entries.first {
            entries.removeLast(max(0, entries.count - Int(first.index.distance(after: base.index)) + 1))
            entries += save.entries
        }
        hardState = save.hardState
    }

    private mutating func writeMark() {
        if let known = owed, hardState.commit >= known.id.index || planted == .forgetsDamage { owed = nil }
        if let index = lost, hardState.commit >= index { lost = nil }
        let id = owed?.id ?? EntryID(index: last, term: term(at: last) ?? .zero)
        writtenMarks.append(Mark(term: hardState.term, vote: hardState.vote, id: id))
    }

    private mutating func compact(to id: EntryID, _ crash: CrashPoint?) -> Bool {
        if crash == .beforeCompaction { return false }
        let count = Int(id.index.distance(after: base.index))
        if count > 0, count <= entries.count {
            entries.removeFirst(count)
            base = id
        }
        return crash != .afterCompaction
    }

    /// Does the oldest work on the state; nil when `crash` was reached on the way. A checkpoint answers how far it got.
    mutating func finishState(crash: CrashPoint?) -> (isDone: Bool, synced: LogIndex?) {
        guard let operation = stateQueue.first else { return (true, nil) }
        switch operation {
        case .write(let changes):
            if crash == .beforeState { return (false, nil) }
            write(changes)
            stateQueue.removeFirst()
            return (true, nil)
        case .checkpoint:
            if crash == .beforeCheckpoint { return (false, nil) }
            synced = state
            unsynced = []
            stateQueue.removeFirst()
            return (crash != .afterCheckpoint, synced.applied.index)
        }
    }

    /// What a snapshot overtook is ignored.
    private mutating func write(_ changes: StateChanges) {
        guard changes.counters.applied.index > state.applied.index else { return }
        state.add(changes)
        unsynced.append(changes)
    }
}

// MARK: Trouble

extension Disk {
    /// The process ends. `survivors` of the waiting writes were done before. Answers how many are lost.
    mutating func crash(survivors: Int) -> Int {
        for _ in 0..<min(survivors, logQueue.count) { _ = finishLog(crash: nil) }
        for _ in 0..<min(survivors, stateQueue.count) { _ = finishState(crash: nil) }
        defer { (logQueue, stateQueue) = ([], []) }
        return logQueue.count
    }

    /// The machine loses power: of what was not synced only a beginning is there. `chance` draws below its argument.
    /// Answers whether the mark was torn.
    mutating func losePower(_ chance: (Int) -> Int) -> Bool {
        let kept = unsynced.prefix(chance(unsynced.count + 1))
        state = synced
        for changes in kept { state.add(changes) }
        synced = state
        unsynced = []
        guard !writtenMarks.isEmpty else { return false }
        defer { writtenMarks = [] }
        let pick = chance(writtenMarks.count + 2)
        // The mark of a damaged log is all that is left to tell.
        if pick == writtenMarks.count + 1, owed == nil, lost == nil {
            mark = nil
            return true
        }
        if pick < writtenMarks.count { mark = writtenMarks[pick] }
        return false
    }

    /// An entry cannot be read any more, nor what stands behind it. Only where the mark is up to date: an old mark and
    /// damage at once are one fault too many. False when there is nothing to take.
    mutating func rot(_ chance: (Int) -> Int) -> Bool {
        let end = EntryID(index: last, term: term(at: last) ?? .zero)
        guard !entries.isEmpty, owed == nil, lost == nil, (writtenMarks.last ?? mark)?.id == end else { return false }
        rottenFrom = LogIndex(last.rawValue - UInt64(chance(min(entries.count, 20))))
        lost = last
        return true
    }

    /// What a replica finds at start.
    mutating func restore() -> Restored {
        if let written = writtenMarks.last { mark = written }
        writtenMarks = []
        synced = state
        unsynced = []
        if let first = rottenFrom { entries.removeAll { $0.index >= first } }
        rottenFrom = nil
        readMark()
        let applied = state.applied
        if term(at: applied.index) != applied.term {
            base = applied
            entries = []
        }
        return Restored(
            hardState: hardState, snapshot: state.metadata, base: base, entries: entries,
            voteMark: planted == .corruptIsShort ? nil : owed?.id.index)
    }

    private mutating func readMark() {
        guard let mark else { return owed = nil }
        if mark.term > hardState.term { (hardState.term, hardState.vote) = (mark.term, mark.vote) }
        let isSeen = mark.id.index <= base.index || term(at: mark.id.index) == mark.id.term
        owed = isSeen ? nil : mark
    }
}
