// The applied state on disk: every record, the history of kept revisions, leases, sessions, members, and how far the
// log was applied, always in one transaction with its effects. It follows memory in batches and is synced by
// checkpoints only; the table of records follows the history later still (see StateStore+Folding); what a power cut takes
// from its end is applied again from the log, which is never compacted beyond a checkpoint.
import KVCore
import Raft
import Synchronization

/// The state database of one replica. Safe to call from the log's and the state's thread: a lock keeps whole operations
/// apart.
package final class StateStore: Sendable {
    struct Guarded {
        var applied = LogIndex.zero
        var compacted = Revision.zero
        var folding = Folding()
        /// Why what was found is not what was written.
        var damage: String?
        /// As found at start.
        var schema = Schema()
        /// As of the last write, and as the copy has them.
        var present: MembersCopy?
        var copied: MembersCopy?
    }
    package static let historyRowsPerStep = 4096
    /// A revision that is larger has more rows than one.
    static let historyRowBytesMax = 8 << 20
    /// Of the rows. In 1 the table of records was never behind the history; before 3 rows had no checksums; before 4 every
    /// revision was one row; before 5 it was not said whose the state is.
    static let format: Int64 = 5
    static let formats: ClosedRange<Int64> = 1...5
    let database: Database
    let guarded = Mutex(Guarded())
    /// Room within the database's file, as of the last write: what was deleted and compacted left it.
    let reusable = Atomic<Int>(0)

    /// Whose the state is; written with it, and compared at start. nil: not known here.
    let cluster: UInt64?
    let members: (any MembersMedium)?

    /// Throws `.damaged` when the file is no database at all. `vfs`: in simulations, SQLite's name for a twin of the files.
    package init(
        path: String, vfs: String? = nil, cluster: UInt64? = nil, members: (any MembersMedium)? = nil
    ) throws(DiskError) {
        self.cluster = cluster
        self.members = members
        database = try Database(path: path, durability: .normal, vfs: vfs)
        let schema = try Self.prepareTables(database)
        guarded.withLock { $0.schema = schema }
    }

    /// What is no database is set aside: a new one takes its place, which waits for another state.
    package static func open(
        path: String, vfs: String? = nil, cluster: UInt64? = nil, members: (any MembersMedium)? = nil,
        setAside: () throws(DiskError) -> Void
    ) throws(DiskError) -> StateStore {
        let stood = try openOrStandIn(path: path, vfs: vfs, cluster: cluster, members: members)
        guard let damage = stood.unreadable else { return stood }
        try setAside()
        let store = try StateStore(path: path, vfs: vfs, cluster: cluster, members: members)
        store.condemnAtStart(damage)
        return store
    }

    /// What is no database is not touched: an empty store stands in for it until it is known whether its owner can do
    /// without it.
    static func openOrStandIn(
        path: String, vfs: String? = nil, cluster: UInt64?, members: (any MembersMedium)?
    ) throws(DiskError) -> StateStore {
        var damage = ""
        // A second look: a disk may fail once.
        for _ in 0..<2 {
            do throws(DiskError) {
                return try StateStore(path: path, vfs: vfs, cluster: cluster, members: members)
            } catch {
                guard case .damaged(let text) = error else { throw error }
                damage = text
            }
        }
        let store = try StateStore(path: ":memory:", cluster: cluster, members: members)
        store.condemnAtStart(damage)
        store.database.isUnreadable = true
        return store
    }

    /// One transaction. Changes that are not newer than what is there are ignored: a snapshot overtook them. Those that
    /// do not follow on what is there are refused.
    package func write(_ changes: StateChanges) throws(DiskError) {
        try condemningDamage { guarded throws(DiskError) in
            guard changes.counters.applied.index > guarded.applied else { return }
            guard changes.after <= guarded.applied else {
                throw .failed("state.sqlite: changes after \(changes.after) were given to \(guarded.applied)")
            }
            try database.transaction { () throws(DiskError) in
                try writeHistory(changes.events)
                for (id, lease) in changes.leases { try write(id, lease) }
                for (client, session) in changes.sessions { try write(client, session) }
                try writeMeta(changes.counters, changes.hash, changes.configuration, changes.members)
                try write(changes.times, compacted: changes.counters.compactRevision)
            }
            guarded.applied = changes.counters.applied.index
            guarded.present = copy(changes.configuration, changes.members)
            guarded.folding.note(changes.events, through: changes.counters.revision)
            try foldIfDue(needs: changes.counters.compactRevision, &guarded)
            try trimHistory(
                to: changes.counters.compactRevision, rows: max(Self.historyRowsPerStep, 2 * changes.events.count),
                &guarded)
            try noteReusable()
        }
    }

    /// Everything written is synced when this returns; answers how far that is applied.
    package func checkpoint() throws(DiskError) -> LogIndex {
        try locked { guarded throws(DiskError) in
            try copyMembers(&guarded)
            try database.checkpoint()
            return guarded.applied
        }
    }

    /// Replaces everything, synced when it returns. Of a damaged database not a page is kept.
    package func install(_ state: StateMachine, _ configuration: Configuration) throws(DiskError) {
        try condemningDamage { guarded throws(DiskError) in
            if guarded.damage != nil {
                try rebuild(state, configuration)
            } else {
                do throws(DiskError) { try replaceRows(state, configuration) } catch {
                    guard case .damaged = error else { throw error }
                    try rebuild(state, configuration)
                }
            }
            try database.checkpoint()
            let copied = guarded.copied
            guarded = Guarded(applied: state.appliedIndex, folding: Folding(through: state.revision))
            (guarded.present, guarded.copied) = (copy(configuration, state.sortedMembers), copied)
            try copyMembers(&guarded)
        }
    }

    private func replaceRows(_ state: StateMachine, _ configuration: Configuration) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            for table in ["current", "history", "more", "leases", "sessions", "times"] {
                try database.execute("DELETE FROM \(table)")
            }
            try writeAll(state)
            try writeMeta(state.counters, state.stateHash, configuration, state.sortedMembers)
            try writeFolded(state.revision)
            try database.execute("PRAGMA user_version = 0")
        }
    }

    /// `Mutex` passes typed errors through only when told so.
    func locked<T: Sendable>(_ body: (inout Guarded) throws(DiskError) -> T) throws(DiskError) -> T {
        let result: Result<T, DiskError> = guarded.withLock { guarded in
            do throws(DiskError) { return .success(try body(&guarded)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// A new store, before anything was applied.
    func create(_ configuration: Configuration) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            try writeMeta(StateCounters(), nil, configuration, [])
            try writeFolded(StateCounters().revision)
        }
        try database.checkpoint()
        try locked { guarded throws(DiskError) in
            guarded.present = copy(configuration, [])
            try copyMembers(&guarded)
        }
    }

    func copy(_ configuration: Configuration, _ members: [Member]) -> MembersCopy {
        MembersCopy(cluster: cluster, configuration: configuration, members: members)
    }
}

// MARK: Writing

extension StateStore {
    private func writeHistory(_ items: [RevisionEvents]) throws(DiskError) {
        guard !items.isEmpty else { return }
        let statement = try database.prepare("INSERT OR REPLACE INTO history(revision, events) VALUES(?1, ?2)")
        for item in items {
            let parts = item.parts(bytesMax: Self.historyRowBytesMax)
            try statement.bind(1, item.revision.rawValue).bind(2, row(parts[0])).run()
            for (number, part) in parts.enumerated().dropFirst() {
                try database.prepare("INSERT OR REPLACE INTO more(revision, part, events) VALUES(?1, ?2, ?3)")
                    .bind(1, part.revision.rawValue).bind(2, Int64(number)).bind(3, row(part)).run()
            }
        }
    }

    private func row(_ part: RevisionEvents) -> [UInt8] {
        var writer = ByteWriter(capacity: part.bytes)
        writer.put(part)
        writer.put(fixed: Self.sum([writer.bytes]))
        return writer.bytes
    }

    private func write(_ id: LeaseID, _ lease: Lease?) throws(DiskError) {
        guard let lease else {
            return try database.prepare("DELETE FROM leases WHERE id = ?1").bind(1, id.rawValue).run()
        }
        var writer = ByteWriter()
        writer.put(lease)
        try database.prepare("INSERT OR REPLACE INTO leases(id, lease) VALUES(?1, ?2)").bind(1, id.rawValue)
            .bind(2, writer.bytes).run()
    }

    private func write(_ client: ClientID, _ session: Session?) throws(DiskError) {
        guard let session else {
            return try database.prepare("DELETE FROM sessions WHERE client = ?1").bind(1, bits: client.rawValue).run()
        }
        var writer = ByteWriter()
        writer.put(session)
        try database.prepare("INSERT OR REPLACE INTO sessions(client, session) VALUES(?1, ?2)").bind(
            1, bits: client.rawValue
        )
        .bind(2, writer.bytes).run()
    }

    private func writeMeta(
        _ counters: StateCounters, _ hash: UInt64?, _ configuration: Configuration, _ members: [Member]
    )
        throws(DiskError)
    {
        var writer = ByteWriter()
        writer.put(counters)
        writer.put(byte: counters.clusterVersion)
        writer.put(optional: hash) { $0.put(fixed: $1) }
        writer.put(optional: cluster) { $0.put(fixed: $1) }
        var directory = ByteWriter()
        directory.put(list: members) { $0.put($1) }
        let peers = configuration.voters.isEmpty ? [] : configuration.encode()
        writer.put(fixed: Self.sum([writer.bytes, peers, directory.bytes]))
        try database.prepare(
            "INSERT OR REPLACE INTO meta(id, format, counters, configuration, members) VALUES(0, \(Self.format), ?1, ?2, ?3)"
        ).bind(1, writer.bytes).bind(2, peers).bind(3, directory.bytes).run()
    }

    /// Bounded, by more than a batch brings: what is left goes with later batches.
    private func trimHistory(to revision: Revision, rows: Int, _ guarded: inout Guarded) throws(DiskError) {
        guard revision > guarded.compacted else { return }
        let statement = try database.prepare("SELECT min(revision) FROM history")
        let oldest = try statement.step() ? statement.integer(0) : revision.rawValue
        statement.reset()
        let needless = min(revision.rawValue, guarded.folding.folded.rawValue &+ 1)
        let bound = min(needless, max(oldest, 0) &+ Int64(rows))
        try database.prepare("DELETE FROM history WHERE revision < ?1").bind(1, bound).run()
        try database.prepare("DELETE FROM more WHERE revision < ?1").bind(1, bound).run()
        if bound == revision.rawValue { guarded.compacted = revision }
    }

    private func writeAll(_ state: StateMachine) throws(DiskError) {
        var failure: DiskError?
        state.view.forEach(.all) { record in
            do throws(DiskError) { try write(record) } catch { failure = error }
            return failure == nil
        }
        if let failure { throw failure }
        try writeHistory(state.history)
        for lease in state.leases.sorted { try write(lease.id, lease) }
        for session in state.sessions.sorted { try write(session.client, session) }
    }
}
