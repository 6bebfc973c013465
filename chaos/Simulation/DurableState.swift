// The twin of the state database, kept in parts as the database keeps it, so that a change that was not written down is
// missing after a restart.

import KVCore
import Raft

/// The twin of the state database.
struct DurableState {
    private var records = OrderedTree()
    private var leases: [LeaseID: Lease] = [:]
    private var sessions: [ClientID: Session] = [:]
    private var members: [Member] = []
    private var history: [RevisionEvents] = []
    private var counters = StateCounters()
    private var configuration: Configuration
    private var hash: UInt64?
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
        hash = machine.stateHash
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
        hash = changes.hash
        configuration = changes.configuration
    }

    /// Answers whether it is what was written, too.
    func load() -> (machine: StateMachine, isDamaged: Bool) {
        let machine = machine
        return (machine, hash.map { $0 != machine.stateHash } ?? false)
    }

    /// A value is another than was written.
    mutating func rot() {
        var record: KeyValue?
        records.forEach(.all) { one in
            record = one
            return false
        }
        guard var record else { return counters.logTime += 1 }
        record.value = record.value.isEmpty ? [1] : record.value.map { $0 ^ 1 }
        records.put(record)
    }

    private var machine: StateMachine {
        StateMachine(
            counters: counters, records: records, leases: leases.values.sorted { $0.id < $1.id },
            sessions: sessions.values.sorted { $0.client < $1.client }, members: members, history: history)
    }
}
