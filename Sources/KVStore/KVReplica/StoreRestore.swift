// A new cluster out of old data: from a snapshot file, or from what one member had when the others were lost. The new
// cluster has another number, so that members of the old one that come back are strangers to it, and a revision that
// nobody has seen, with nothing before it, so that every watcher reads anew.
import Glibc
import KVCore
import KVDisk
import Raft

/// What a new cluster begins with.
package struct NewStore: Sendable {
    package var records: OrderedTree
    package var leases: [Lease]
    package var revision: Revision

    package init(records: OrderedTree, leases: [Lease], revision: Revision) {
        self.records = records
        self.leases = leases
        self.revision = revision
    }

    /// Makes the data directory of one of the members; all of them must be made from the same store. A witness's has
    /// none of the keys. `supersedes`: the clusters in whose place the new one is. Throws when there is data already.
    package func write(
        to directory: String, members: [Member], me: PeerID, cluster: UInt64, witness: PeerID? = nil,
        supersedes: [UInt64] = []
    ) throws {
        guard members.contains(where: { $0.id == me }) else { throw ConfigurationError("it is not among its members") }
        guard access(directory + "/state.sqlite", F_OK) != 0 else {
            throw ConfigurationError("\(directory) has data already")
        }
        var counters = StateCounters()
        counters.applied = EntryID(index: LogIndex(1), term: Term(1))
        counters.revision = revision
        counters.compactRevision = revision
        let isWitness = witness == me
        let configuration = Configuration(voters: members.map(\.id), witness: witness)
        guard witness == nil || configuration.dataVoters.count >= Configuration.dataVotersMin else {
            throw ConfigurationError("a witness needs at least two members with data beside it")
        }
        let machine = StateMachine(
            counters: counters, records: records, leases: leases, sessions: [], members: members, history: [])
        // Makes the directory when there is none.
        _ = try DataDirectory(directory)
        let identity = StoreIdentity(cluster: cluster, member: me, isWitness: isWitness, supersedes: supersedes)
        try identity.write(to: directory) {
            try ReplicaDisk.begin(
                directory, isWitness ? machine.withoutKeys : machine, configuration, cluster: cluster)
        }
    }
}

/// A data directory that no process uses, with everything that its log holds applied.
package struct StoppedStore: Sendable {
    package let machine: StateMachine
    package let configuration: Configuration
    package let identity: StoreIdentity?
    /// Entries that were in the log and not known to be committed.
    package let uncommitted: UInt64
    /// The log was longer once.
    package let isDamaged: Bool
    /// The numbers of its cluster and of those before it, as far as it knows.
    package var clusters: [UInt64] {
        (identity?.supersedes ?? []) + [identity?.cluster ?? disk.state.copiedMembers()?.cluster].compactMap { $0 }
    }
    /// It keeps no keys: nothing can be recovered from it.
    package var isWitness: Bool { identity?.isWitness ?? false }
    /// Room enough above it.
    private static let revisionMax: Int64 = 1 << 62
    private let disk: ReplicaDisk

    package init(_ directory: String) throws {
        guard access(directory + "/state.sqlite", F_OK) == 0 else {
            throw ConfigurationError("\(directory) is no data directory")
        }
        identity = try StoreIdentity(directory)
        let disk = try ReplicaDisk(path: directory, initial: .empty, cluster: identity?.cluster)
        guard !disk.isStateDamaged else {
            throw ConfigurationError(
                "the keys in \(directory) are not what was written: use another member's data, or a snapshot")
        }
        var machine = disk.machine
        var configuration = disk.restored.snapshot.configuration
        for entry in disk.restored.entries where entry.index > machine.appliedIndex {
            guard EntryFormat.version(of: entry) ?? 0 <= EntryFormat.newest else {
                throw ConfigurationError("entry \(entry.index) is of a newer version than this program understands")
            }
            _ = machine.apply(entry)
            if entry.kind == .configuration { configuration = Configuration(decoding: entry.data) ?? configuration }
        }
        uncommitted = machine.appliedIndex.distance(after: disk.restored.hardState.commit)
        isDamaged = disk.restored.voteMark != nil
        self.disk = disk
        self.machine = machine
        self.configuration = configuration
    }

    /// As a running member would hand it out.
    package func export() -> StoreExport {
        StoreExport(
            snapshot: machine.snapshot, leases: machine.leases.sorted, members: machine.sortedMembers,
            learners: Set(configuration.learners), applied: machine.counters.applied, cluster: identity?.cluster ?? 0,
            store: disk.state, recentTimes: [])
    }

    /// Everything that this member has, for a new cluster. Throws when the new revision is none.
    package func begin(after bump: Int64) throws(ConfigurationError) -> NewStore {
        let (revision, isTooLarge) = machine.revision.rawValue.addingReportingOverflow(bump)
        guard bump >= 0, !isTooLarge, revision < Self.revisionMax else {
            throw ConfigurationError("the revision cannot be raised by \(bump)")
        }
        var records = OrderedTree()
        machine.view.forEach(.all) { record in
            records.put(record)
            return true
        }
        let leases = machine.leases.sorted.map { lease in
            Lease(id: lease.id, ttlMilliseconds: lease.ttlMilliseconds, deadline: lease.ttlMilliseconds)
        }
        return NewStore(
            records: records, leases: leases, revision: Revision(revision))
    }
}
