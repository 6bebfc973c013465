// What the state database has not been told yet: whole revisions, and the leases and sessions that changed, with the
// counters of the moment. One value is one transaction on disk, so that `applied` is never there without its effects.
import Raft

/// One write of the state database.
package struct StateChanges: Sendable {
    /// What these changes follow on: without everything up to here they would leave a gap.
    package var after = LogIndex.zero
    package var events: [RevisionEvents] = []
    /// nil: it ended.
    package var leases: [(id: LeaseID, lease: Lease?)] = []
    package var sessions: [(client: ClientID, session: Session?)] = []
    package var members: [Member] = []
    /// When its revisions were, as the shell's clock says.
    package var times: [RevisionTime] = []
    package var counters = StateCounters()
    /// Of the state with these changes: what is read back later must have it too.
    package var hash: UInt64?
    /// Who takes part at `counters.applied`.
    package var configuration = Configuration.empty
    package init() {}
}

/// The single numbers of the state.
package struct StateCounters: Hashable, Sendable {
    package var applied = EntryID.zero
    package var revision = Revision(1)
    package var compactRevision = Revision.zero
    package var logTime: Int64 = 0
    package var clusterVersion = EntryFormat.oldest
    package init() {}

    /// Nobody lives to see a store count further.
    package static let revisionMax = Revision(1 << 62)

    /// Whether a store can have counted so.
    package var isPossible: Bool {
        revision >= Revision(1) && revision <= Self.revisionMax && compactRevision >= .zero
            && compactRevision <= revision
    }
}

extension StateMachine {
    package var counters: StateCounters {
        var counters = StateCounters()
        counters.applied = EntryID(index: appliedIndex, term: appliedTerm)
        counters.revision = revision
        counters.compactRevision = compactRevision
        counters.logTime = logTime
        counters.clusterVersion = clusterVersion
        return counters
    }

    /// How many revisions wait to be written.
    package var unsavedRevisions: Int { unsaved.events.count }

    /// Everything since the last call.
    package mutating func takeChanges() -> StateChanges {
        var changes = unsaved
        unsaved = StateChanges()
        unsaved.after = appliedIndex
        unsavedBytes = 0
        changes.leases = leases.dirty.sorted().map { ($0, leases[$0]) }
        changes.sessions = sessions.dirty.sorted().map { ($0, sessions[$0]) }
        leases.dirty = []
        sessions.dirty = []
        changes.members = sortedMembers
        changes.counters = counters
        changes.hash = stateHash
        return changes
    }

    /// Forgets what was not written: used after the whole state was.
    package mutating func discardChanges() {
        unsaved = StateChanges()
        unsaved.after = appliedIndex
        unsavedBytes = 0
        leases.dirty = []
        sessions.dirty = []
    }

    /// The state as found on disk or in a snapshot. Events come in revision order.
    package init(
        counters: StateCounters, records: OrderedTree, leases: [Lease], sessions: [Session], members: [Member],
        history: [RevisionEvents]
    ) {
        self.init()
        appliedIndex = counters.applied.index
        appliedTerm = counters.applied.term
        revision = counters.revision
        compactRevision = counters.compactRevision
        logTime = counters.logTime
        clusterVersion = counters.clusterVersion
        for lease in leases { self.leases.set(lease) }
        for session in sessions { self.sessions.set(session) }
        for member in members { self.members[member.id] = member }
        hashMembers()
        tree = records
        records.forEach(.all) { record in
            account(added: record, removed: nil)
            self.leases.attach(record.key, to: record.lease)
            return true
        }
        restoreWindow(history)
        discardChanges()
    }

    /// Only an unbroken run of revisions up to the current one is of use.
    private mutating func restoreWindow(_ history: [RevisionEvents]) {
        var first = history.count
        var expected = revision
        while first > 0, history[first - 1].revision == expected {
            expected = Revision(expected.rawValue &- 1)
            first -= 1
        }
        window = EventWindow(floor: expected)
        for item in history[first...] { window.append(item) }
    }
}
