// A state machine, its log and its state database, both as shipped and both on twins of their files: what a start finds
// after any end must be a state that was written, not older than the last checkpoint, and with the log behind it the
// truth again.

import KVCore
import KVDisk
import Raft
import Simulation

struct StateLab {
    let state: StateTwin
    let log: LogTwin
    private var disk: ReplicaDisk?
    private var random: SeededGenerator
    private let seed: UInt64
    /// What the process has in memory.
    private(set) var machine = StateMachine()
    /// After every entry.
    private var truth = [StateMachine()]
    private var entries: [Entry] = []
    private var events: [Int64: RevisionEvents] = [:]
    /// Everything from here on must be kept.
    private var historyFloor = Revision(1)
    /// In the log, for good.
    private var saved = 0
    private var written: [Int] = [0]
    /// By the last checkpoint.
    private var durable = 0
    private var serial: UInt64 = 0
    /// Entries are applied, and their effects written, before the log has them.
    private let appliesBeforeSave: Bool
    /// The database was altered, and a reader of the past has met it.
    private var isRotten = false, isToldLate = false

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        state = StateTwin(seed: random.next())
        log = LogTwin(seed: random.next())
        appliesBeforeSave = seed % 3 == 0
        disk = try StateLab.open(state, log, isStruck: false)
        apply(.openSession)
    }

    mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }

    private static func open(_ state: StateTwin, _ log: LogTwin, isStruck: Bool) throws(DiskError) -> ReplicaDisk {
        let store = try state.open(isStruck: isStruck)
        return try ReplicaDisk(store, initial: configuration(at: 0)) { log }
    }

    private static func configuration(at index: Int) -> Configuration {
        Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)], learners: index % 2 == 0 ? [] : [PeerID(4)])
    }

    /// The first promise that was broken.
    private(set) var complaint: String?

    private mutating func require(_ isKept: Bool, _ text: @autoclosure () -> String) {
        if !isKept, complaint == nil { complaint = "\(place): \(text())" }
    }

    private var place: String { "seed \(seed), applied \(machine.appliedIndex), durable \(durable), saved \(saved)" }
}

// MARK: What a replica does

extension StateLab {
    private mutating func apply(_ command: Command) {
        serial += 1
        let id = ProposalID(client: ClientID(rawValue: 5), serial: serial, settledBelow: serial)
        let data = EntryFormat.entry(
            logTime: Int64(serial) * 300, proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
        let entry = Entry(term: Term(1), index: machine.appliedIndex.next, data: data)
        entries.append(entry)
        let before = machine.revision
        let applied = machine.apply(entry)
        if machine.revision > before {
            events[machine.revision.rawValue] = RevisionEvents(revision: machine.revision, events: applied.events)
        }
        truth.append(machine)
        historyFloor = max(historyFloor, machine.compactRevision)
    }

    mutating func applySome() {
        for _ in 0...below(8) {
            let key = Key("k\(below(20))"), lease = LeaseID(rawValue: Int64(1 + below(4)))
            let value = [UInt8](
                repeating: UInt8(truncatingIfNeeded: serial), count: Int(below(10) == 0 ? below(9000) : 40))
            switch below(20) {
            case 0..<11: apply(.txn(Txn(success: [.put(key, value)])))
            case 11..<14: apply(.txn(Txn(success: [.delete(key)])))
            case 14: apply(.grantLease(lease, ttlMilliseconds: 5000))
            case 15: apply(.revokeLease(lease))
            case 16: apply(.txn(Txn(success: [.put(key, value, lease: lease)])))
            case 17: apply(.compact(Revision(machine.revision.rawValue - Int64(below(5)))))
            case 18: apply(.setMember(Member(id: PeerID(1 + below(3)), name: "m\(serial)", host: "h", port: 1)))
            default: apply(.tick)
            }
        }
        if !appliesBeforeSave || below(2) == 0 { save() }
    }

    private mutating func save() {
        let new = Array(entries[saved...])
        let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(UInt64(entries.count)))
        save(Save(id: SaveID(rawValue: serial), hardState: hard, entries: new))
    }

    private mutating func save(_ save: Save) {
        do throws(DiskError) { try disk?.log.save([save]) } catch { require(false, "\(error)") }
        saved = entries.count
    }

    /// True unless the process has ended.
    mutating func write(isStruck: Bool) -> Bool {
        guard machine.appliedIndex > LogIndex(UInt64(written.last ?? 0)) else { return true }
        var changes = machine.takeChanges()
        let index = Int(changes.counters.applied.index.rawValue)
        changes.configuration = StateLab.configuration(at: index)
        written.append(index)
        changes.times = [
            RevisionTime(revision: changes.counters.revision, unixMilliseconds: Int64(serial) * 700)
        ]
        return perform(isStruck) { store throws(DiskError) in try store.write(changes) } != nil
    }

    mutating func checkpoint(isStruck: Bool) -> Bool {
        let synced = perform(isStruck) { store throws(DiskError) in try store.checkpoint() }
        guard let synced else { return false }
        durable = Int(synced.rawValue)
        guard durable <= saved, below(2) == 0 else { return true }
        let target = LogIndex(UInt64(max(0, durable - Int(below(6)))))
        do throws(DiskError) { try disk?.log.compact(to: target) } catch { require(false, "\(error)") }
        return true
    }

    /// True when it has waited for room, and says so.
    mutating func checkpointOnFullDisk() -> Bool {
        let synced = perform(false) { store throws(DiskError) in Optional.some(try store.checkpointIfRoom()) }
        return synced == .some(.some(nil))
    }

    /// A state from elsewhere: entries that this replica never had.
    mutating func install(isStruck: Bool, waits: Bool = false) -> Bool {
        let before = (machine, entries.count)
        applySome()
        let (machine, index) = (machine, entries.count)
        let configuration = StateLab.configuration(at: index)
        written.append(index)
        saved = min(saved, before.1)
        let files = state.files
        var tries = 0
        let isDone =
            perform(isStruck) { store throws(DiskError) in
                guard waits else { return try store.install(machine, configuration) }
                try store.install(machine, configuration) {
                    tries += 1
                    files.isFull = tries < 3
                    return true
                }
            } != nil
        guard isDone else { return false }
        self.machine.discardChanges()
        durable = index
        historyFloor = machine.history.first?.revision ?? machine.revision.next
        let snapshot = SnapshotMetadata(index: LogIndex(UInt64(index)), term: Term(1), configuration: configuration)
        let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(UInt64(index)))
        save(Save(id: SaveID(rawValue: serial), hardState: hard, entries: [], snapshot: snapshot))
        return true
    }

    /// A full disk is waited for, as the shell does. nil: the process has ended.
    private mutating func perform<Result>(
        _ isStruck: Bool, _ body: (StateStore) throws(DiskError) -> Result
    ) -> Result? {
        while true {
            do throws(DiskError) { return try state.perform(isStruck: isStruck, body) } catch {
                if state.files.isEnded { return nil }
                guard case .full = error, state.files.isFull else {
                    require(false, "\(error)")
                    return nil
                }
                if below(3) == 0 { state.files.isFull = false }
            }
        }
    }
}

// MARK: Ends and starts

extension StateLab {
    /// `isWhole`: the process alone has ended, and everything that it wrote is there.
    mutating func restart(losesPower: Bool, isWhole: Bool) {
        disk = nil
        state.end()
        var isWhole = isWhole && !losesPower
        if losesPower { losePower() }
        while disk == nil {
            let isStruck = below(4) == 0
            do throws(DiskError) { disk = try StateLab.open(state, log, isStruck: isStruck) } catch {
                guard isStruck, state.files.isEnded else {
                    require(false, "\(error)")
                    return
                }
                state.end()
                if below(2) == 0 {
                    losePower()
                    isWhole = false
                }
            }
        }
        state.files.stepsLeft = nil
        if let disk { check(disk, isWhole: isWhole) }
    }

    private mutating func losePower() {
        state.losePower()
        _ = log.losePower(mayTear: true)
    }

    private mutating func check(_ disk: ReplicaDisk, isWhole: Bool) {
        let index = Int(disk.machine.appliedIndex.rawValue)
        require(!disk.isStateDamaged, "the state is taken for damaged")
        require(disk.restored.voteMark == nil, "the log is taken for damaged")
        require(index >= durable, "found \(index)")
        require(written.contains(index), "found \(index), which nobody wrote")
        if isWhole { require(written.suffix(2).contains(index), "found \(index)") }
        guard truth.indices.contains(index) else { return }
        require(disk.machine.isSame(as: truth[index]), "found \(index) as it never was")
        if index > 0 {
            require(disk.restored.snapshot.configuration == StateLab.configuration(at: index), "other members")
        }
        checkHistory(disk)
        goOn(disk, after: index)
    }

    /// What watchers may ask for, and the marks of time.
    private mutating func checkHistory(_ disk: ReplicaDisk) {
        let found = disk.machine
        let first = max(found.compactRevision, historyFloor)
        guard first <= found.revision else { return }
        do throws(DiskError) {
            let rows = try disk.state.history(after: Revision(first.rawValue - 1), through: found.revision)
            let wanted = (first.rawValue...found.revision.rawValue).compactMap { events[$0] }
            require(
                rows == Array(wanted.prefix(rows.count)) && rows.count >= min(wanted.count, 256),
                "history \(rows.map(\.revision)), \(wanted.map(\.revision)) were written")
            _ = try disk.state.times(after: .zero)
        } catch {
            if case .damaged = error, isRotten { isToldLate = true } else { require(false, "\(error)") }
        }
    }

    /// The log brings the state to where it was; what is nowhere was never promised.
    private mutating func goOn(_ disk: ReplicaDisk, after index: Int) {
        machine = disk.machine
        for entry in disk.restored.entries where entry.index > machine.appliedIndex { _ = machine.apply(entry) }
        let reached = Int(machine.appliedIndex.rawValue)
        require(reached >= saved, "reached \(reached)")
        guard truth.indices.contains(reached) else {
            require(false, "reached \(reached)")
            return
        }
        require(machine.isSame(as: truth[reached]), "the log leads elsewhere")
        truth.removeLast(truth.count - reached - 1)
        entries.removeLast(entries.count - reached)
        events = events.filter { $0.key <= machine.revision.rawValue }
        saved = max(saved, Int(disk.log.last.index.rawValue))
        written.removeAll { $0 > index }
    }
}

// MARK: Damage

extension StateLab {
    enum Finding: CaseIterable { case same, damaged, remade }

    /// One byte of the database is altered while nobody runs. What is found is the truth, or told apart from it; and the
    /// state of another member takes its place.
    mutating func rot() -> Finding? {
        disk = nil
        state.end()
        // Everything in it was moved: the pages are read from the database.
        if below(4) > 0 { state.files.empty("state.sqlite-wal") }
        let name = "state.sqlite", count = state.files.contents(of: name).count
        let place = Int(below(UInt64(count))), mask = UInt8(1 << below(8))
        state.files.alter(name, at: place, mask: mask)
        isRotten = true
        let isCopyLost = below(2) == 0
        if isCopyLost { state.members.replace(by: nil) }
        var finding = look()
        if isToldLate {
            disk = nil
            state.end()
            finding = look()
            require(finding == .damaged, "damage was met and forgotten")
        }
        if complaint != nil { complaint? += " (byte \(place) of \(count), bit \(mask))" }
        return complaint == nil ? finding : nil
    }

    private mutating func look() -> Finding {
        do throws(DiskError) {
            let disk = try StateLab.open(state, log, isStruck: false)
            self.disk = disk
            if disk.isStateDamaged {
                replace(disk)
                return .damaged
            }
            guard !disk.isStateRemade else {
                remade(disk)
                return .remade
            }
            check(disk, isWhole: true)
            return .same
        } catch {
            require(false, "refused: \(error)")
            return .same
        }
    }

    /// The log had all of it.
    private mutating func remade(_ disk: ReplicaDisk) {
        require(disk.log.base == .zero && disk.machine.appliedIndex == .zero, "begins at \(disk.machine.appliedIndex)")
        (durable, written) = (0, [0])
        goOn(disk, after: 0)
        isRotten = false
        restart(losesPower: true, isWhole: false)
    }

    private mutating func replace(_ disk: ReplicaDisk) {
        let index = truth.count - 1
        do throws(DiskError) {
            try disk.state.install(truth[index], StateLab.configuration(at: index))
            (durable, written, saved) = (index, [index], min(saved, Int(disk.log.last.index.rawValue)))
        } catch { require(false, "a damaged database takes no other state: \(error)") }
        isRotten = false
        restart(losesPower: true, isWhole: false)
    }
}

extension StateMachine {
    func isSame(as other: StateMachine) -> Bool {
        stateHash == other.stateHash && counters == other.counters && sortedMembers == other.sortedMembers
            && leases.sorted == other.leases.sorted
            && view.range(RangeRequest(.all)).items == other.view.range(RangeRequest(.all)).items
    }
}
