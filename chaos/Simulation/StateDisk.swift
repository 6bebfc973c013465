// The state of a host on its disk: the database as shipped, on a twin of its files. The process may end inside any
// operation on it.

import KVCore
import KVDisk
import Raft

/// The state of one host on its disk.
struct StateDisk {
    /// What an operation meets.
    struct Conditions {
        /// The process ends inside it.
        var isStruck = false
        var trouble: LogTwin.Trouble?
        var isFull = false
    }
    enum Ending {
        /// A checkpoint says how far.
        case done(LogIndex?)
        /// To be tried again.
        case full
        /// The process has ended, at a crash point or by an error of the disk.
        case crashed, failed
        /// Nothing went wrong, and it failed.
        case broken(String)
    }
    struct Found {
        var log: LogStore
        var restored: Restored
        var machine: StateMachine
        /// Why it is not believed.
        var damage: String?
        var isDamaged: Bool { damage != nil }
    }

    private let twin: StateTwin
    private let initial: Configuration
    private let planted: PlantedBug?
    /// What it holds, and what of it no power cut takes.
    private var written = StateCounters()
    private var writtenDurably = StateCounters()
    /// It was altered, or what was written to it was wrong.
    private(set) var isRotten = false
    /// A verdict on it is durable: no start may believe it.
    private(set) var isCondemned = false
    private var alteration: Alteration?
    private enum Alteration {
        case bits(place: Int, mask: UInt8)
        case unreadable
    }
    /// So often it was made anew from the log.
    private(set) var remakings = 0
    private(set) var condemnedRemakings = 0
    /// So often a file that could not be read was set aside.
    var setAsides: Int { twin.setAsides }

    init(_ initial: Configuration, seed: UInt64, planted: PlantedBug?) {
        twin = StateTwin(seed: seed)
        self.initial = initial
        self.planted = planted
        twin.files.ignoresSyncs = planted == .checkpointsWithoutSync
        twin.files.retriesSyncs = planted == .retriesStateSync
    }

    /// What is there, or at least will be after a power cut.
    var applied: EntryID { written.applied }
    /// What no power cut takes.
    var durable: EntryID { writtenDurably.applied }
    var counts: FileTwin.Counts { twin.files.counts }
    /// The process has ended inside a step.
    var isEnded: Bool { twin.files.isEnded }
}

// MARK: What a process does

extension StateDisk {
    mutating func write(_ changes: StateChanges, now: Int64, _ conditions: Conditions) -> Ending {
        var changes = changes
        changes.times = [RevisionTime(revision: changes.counters.revision, unixMilliseconds: now)]
        if planted == .appliesBeforeEffects, let claim = claim(of: changes) {
            _ = perform(Conditions()) { store throws(DiskError) in
                try store.write(claim)
                return nil
            }
            if conditions.isStruck { return .crashed }
        }
        let ending = perform(conditions) { store throws(DiskError) in
            try store.write(changes)
            return nil
        }
        if case .done = ending, changes.counters.applied.index > written.applied.index { written = changes.counters }
        return ending
    }

    /// The mistake: how far it is applied is written by itself, before what that did.
    private func claim(of changes: StateChanges) -> StateChanges? {
        let applied = changes.counters.applied
        guard applied.index.previous > written.applied.index else { return nil }
        var claim = StateChanges()
        claim.counters = written
        claim.counters.applied = EntryID(index: applied.index.previous, term: applied.term)
        claim.members = changes.members
        claim.configuration = changes.configuration
        return claim
    }

    mutating func checkpoint(_ conditions: Conditions) -> Ending {
        let ending = perform(conditions) { store throws(DiskError) in try store.checkpoint() }
        if case .done = ending { writtenDurably = written }
        return ending
    }

    mutating func install(
        _ machine: StateMachine, _ configuration: Configuration, _ conditions: Conditions
    ) -> Ending {
        let ending = perform(conditions) { store throws(DiskError) in
            try store.install(machine, configuration)
            return nil
        }
        if case .full = ending { return ending }
        // One that was struck may be there.
        isCondemned = false
        guard case .done = ending else { return ending }
        (written, writtenDurably) = (machine.counters, machine.counters)
        (isRotten, alteration) = (false, nil)
        return ending
    }

    /// The state is wrong, and the next start is to know it.
    mutating func distrust(_ conditions: Conditions) -> Ending {
        let ending =
            planted == .forgetsVerdict
            ? .done(nil)
            : perform(conditions) { store throws(DiskError) in
                try store.distrust()
                return nil
            }
        guard case .done = ending else { return ending }
        if planted != .forgetsVerdict { writtenDurably = written }
        isCondemned = true
        return ending
    }

    /// All revisions that the database keeps.
    func history() throws(DiskError) -> [RevisionEvents] {
        guard let store = twin.store else { return [] }
        var found: [RevisionEvents] = []
        while true {
            let more = try store.history(after: found.last?.revision ?? .zero, through: written.revision)
            if more.isEmpty { break }
            found += more
        }
        guard let last = found.last, last.revision < written.revision else { return found }
        throw .damaged("the past ends with \(last.revision), the state is at \(written.revision)")
    }

    /// A few of them, as the shell asks.
    func history(after: Revision, through: Revision) -> [RevisionEvents]? {
        do throws(DiskError) { return try twin.store?.history(after: after, through: through) } catch { return nil }
    }

    var writtenRevision: Revision { twin.store?.writtenRevision ?? .zero }

    private func perform(
        _ conditions: Conditions, _ body: (StateStore) throws(DiskError) -> LogIndex?
    ) -> Ending {
        let files = twin.files
        (files.trouble, files.isFull) = (conditions.trouble, conditions.isFull)
        defer { (files.trouble, files.isFull) = (nil, false) }
        do throws(DiskError) { return .done(try twin.perform(isStruck: conditions.isStruck, body)) } catch {
            if case .full = error, conditions.isFull { return .full }
            if conditions.trouble != nil, files.trouble == nil { return .failed }
            return files.isEnded || isRotten ? .crashed : .broken("\(error)")
        }
    }
}

// MARK: Ends and starts

extension StateDisk {
    func end() { twin.end() }

    /// Of what was not synced only a part is there.
    mutating func losePower() {
        twin.losePower()
        written = writtenDurably
    }

    /// What somebody put aside.
    struct Copy {
        fileprivate var files: [String: [UInt8]]
        fileprivate var members: [UInt8]?
        fileprivate var written: StateCounters
    }

    var copy: Copy { Copy(files: twin.files.contents, members: twin.members.read(), written: written) }

    mutating func bringBack(_ copy: Copy) {
        end()
        twin.files.replace(with: copy.files)
        twin.members.replace(by: copy.members)
        (written, writtenDurably) = (copy.written, copy.written)
    }

    /// What a replica finds at start. Damage that no start meets is taken back: it would not count as the one fault
    /// that there may be.
    mutating func start(_ medium: LogTwin, isStruck: Bool) throws(DiskError) -> Found {
        let found: Found
        do throws(DiskError) { found = try open(medium, isStruck: isStruck) } catch {
            // Another state may be there already.
            isCondemned = false
            throw error
        }
        guard isRotten, !found.isDamaged, !found.machine.isFlipped else { return found }
        if let one = alteration {
            guard twin.files.steps == 0 else { return found }
            end()
            switch one {
            case .bits(let place, let mask): twin.files.alter(StateTwin.path, at: place, mask: mask)
            case .unreadable: twin.files.makeReadable(StateTwin.path)
            }
        }
        let isAltered = alteration != nil
        (isRotten, alteration) = (false, nil)
        return isAltered ? try open(medium, isStruck: isStruck) : found
    }

    private mutating func open(_ medium: LogTwin, isStruck: Bool) throws(DiskError) -> Found {
        if planted == .forgetsUnfolded { twin.forgetUnfolded() }
        let store = try twin.open(isStruck: isStruck)
        let disk = try ReplicaDisk(
            store, initial: initial,
            anew: { [twin] () throws(DiskError) in try twin.openAnew() }, medium: { medium })
        if twin.files.isEnded { throw .failed("the process has ended") }
        twin.files.stepsLeft = nil
        written = disk.machine.counters
        if disk.isStateRemade {
            remakings += 1
            if isCondemned { condemnedRemakings += 1 }
            (isRotten, isCondemned, alteration) = (false, false, nil)
        }
        return Found(
            log: disk.log, restored: disk.restored, machine: disk.machine, damage: disk.stateDamage)
    }
}

// MARK: Damage

extension StateDisk {
    /// What the process has in memory is wrong, and it goes on writing.
    mutating func noteWrong() { isRotten = true }

    /// A bit of a page is another than was written, or the disk does not give a page back, for good. False when there is nothing yet.
    mutating func rot(isUnreadable: Bool) -> Bool {
        guard applied.index > .zero, !isRotten, case .done = checkpoint(Conditions()) else { return false }
        end()
        // Everything in it was moved: the pages are read from the database.
        twin.files.empty(StateTwin.path + "-wal")
        let bytes = twin.files.contents(of: StateTwin.path)
        var place = twin.files.below(bytes.count)
        // What is not in use is mostly zero.
        for _ in 0..<50 where bytes[place] == 0 { place = twin.files.below(bytes.count) }
        isRotten = true
        if isUnreadable {
            twin.files.makeUnreadable(StateTwin.path, at: place)
            alteration = .unreadable
        } else {
            let mask = UInt8(1) << UInt8(twin.files.below(8))
            twin.files.alter(StateTwin.path, at: place, mask: mask)
            alteration = .bits(place: place, mask: mask)
        }
        // In directories of earlier programs nothing else tells who takes part.
        if twin.files.below(2) == 0 { twin.members.replace(by: nil) }
        return true
    }
}

extension StateMachine {
    /// It holds what no client ever wrote.
    var isFlipped: Bool { view.get(StateMachine.flippedKey) != nil }
}
