// The twin of a replica's storage: writes become durable in order and late; a crash keeps what was durable, and perhaps
// some of what was under way, from the oldest on. The state is kept in parts, as the database keeps it, so that a
// change that was not written down is missing after a restart.

import KVCore
import Raft

/// What survives a crash, and what is on its way there.
struct Disk {
    enum Operation {
        case save(ReplicaSave)
        case state(StateChanges)
        case compact(to: EntryID)
    }
    private(set) var hardState = HardState()
    private(set) var base = EntryID.zero
    private(set) var entries: [Entry] = []
    private(set) var state: DurableState
    private(set) var pending: [Operation] = []
    /// The log is damaged up to here.
    private(set) var voteMark: LogIndex?

    init(configuration: Configuration) { state = DurableState(configuration: configuration) }

    private var last: LogIndex { entries.last?.index ?? base.index }

    mutating func begin(_ operation: Operation) { pending.append(operation) }

    /// The oldest write becomes durable.
    mutating func finish() -> Operation? {
        guard !pending.isEmpty else { return nil }
        let operation = pending.removeFirst()
        perform(operation)
        return operation
    }

    /// A power cut after `survivors` of the writes under way. Answers how many are lost.
    mutating func crash(survivors: Int) -> Int {
        for _ in 0..<min(survivors, pending.count) { _ = finish() }
        defer { pending = [] }
        return pending.count
    }

    /// The last entries are found to be damaged at the next start. Answers how many.
    mutating func damage(_ count: Int) -> Int {
        let lost = min(count, entries.count)
        guard lost > 0 else { return 0 }
        voteMark = max(voteMark ?? .zero, last)
        entries.removeLast(lost)
        return lost
    }

    private mutating func perform(_ operation: Operation) {
        switch operation {
        case .save(let save): perform(save)
        case .state(let changes): state.add(changes)
        case .compact(let id):
            let count = Int(id.index.distance(after: base.index))
            guard count > 0, count <= entries.count else { return }
            entries.removeFirst(count)
            base = id
        }
    }

    private mutating func perform(_ save: ReplicaSave) {
        if let metadata = save.raft.snapshot, let installed = save.state {
            state = DurableState(installed, configuration: metadata.configuration)
            base = metadata.id
            entries = []
        }
        if let first = save.raft.entries.first {
            entries.removeLast(max(0, entries.count - Int(first.index.distance(after: base.index)) + 1))
            entries += save.raft.entries
        }
        hardState = save.raft.hardState
    }

    /// The entry is here for good, by itself or as part of the state. What was damaged counts: its owner may have
    /// acknowledged it before, and keeps still until it is fetched again.
    func holds(_ id: EntryID) -> Bool {
        if let voteMark, id.index <= voteMark { return true }
        if id.index <= base.index || id.index <= state.applied.index { return true }
        let offset = Int(id.index.distance(after: base.index)) - 1
        return offset < entries.count && entries[offset].term == id.term
    }

    /// What a replica finds at start. State ahead of the log resets the log.
    mutating func restore() -> Restored {
        if state.applied.index > last {
            base = state.applied
            entries = []
        }
        return Restored(
            hardState: hardState, snapshot: state.metadata, base: base, entries: entries, voteMark: voteMark)
    }
}

/// The twin of the state database.
struct DurableState {
    private var records = OrderedTree()
    private var leases: [LeaseID: Lease] = [:]
    private var sessions: [ClientID: Session] = [:]
    private var members: [Member] = []
    private var history: [RevisionEvents] = []
    private var counters = StateCounters()
    private var configuration: Configuration
    private static let historyMax = 64

    init(configuration: Configuration) { self.configuration = configuration }

    init(_ machine: StateMachine, configuration: Configuration) {
        self.configuration = configuration
        records = machine.tree
        for lease in machine.leases.sorted { leases[lease.id] = DurableState.stored(lease) }
        for session in machine.sessions.sorted { sessions[session.client] = session }
        members = machine.sortedMembers
        history = machine.history
        counters = machine.counters
    }

    /// The database does not keep a lease's keys: the records name their lease.
    private static func stored(_ lease: Lease) -> Lease {
        Lease(id: lease.id, ttlMilliseconds: lease.ttlMilliseconds, deadline: lease.deadline)
    }

    var applied: EntryID { counters.applied }
    var metadata: SnapshotMetadata {
        SnapshotMetadata(index: applied.index, term: applied.term, configuration: configuration)
    }

    mutating func add(_ changes: StateChanges) {
        for item in changes.events {
            for event in item.events {
                if event.kind == .put { records.put(event.current) } else { records.remove(event.current.key) }
            }
        }
        history = (history + changes.events).suffix(DurableState.historyMax)
        for change in changes.leases { leases[change.id] = change.lease.map(DurableState.stored) }
        for change in changes.sessions { sessions[change.client] = change.session }
        members = changes.members
        counters = changes.counters
        configuration = changes.configuration
    }

    var machine: StateMachine {
        StateMachine(
            counters: counters, records: records, leases: leases.values.sorted { $0.id < $1.id },
            sessions: sessions.values.sorted { $0.client < $1.client }, members: members, history: history)
    }
}
