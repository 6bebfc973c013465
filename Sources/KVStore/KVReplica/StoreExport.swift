// The whole store at one moment, as a value, with the way to what is only on disk: for snapshots that leave the cluster.
// Taken on the replica's loop, used anywhere; it holds nothing up.
import KVCore
import KVDisk
import Raft
import Synchronization

/// Everything that a snapshot is made of.
package struct StoreExport: Sendable {
    package var snapshot: StoreSnapshot
    package var leases: [Lease]
    package var members: [Member]
    package var learners: Set<PeerID>
    package var applied: EntryID
    package var cluster: UInt64
    let store: StateStore
    /// The latest ones, on disk or not yet.
    let recentTimes: [RevisionTime]
}

extension StoreExport {
    /// Revisions from disk, oldest first, a few at a time; see `StateStore.encodedHistory`.
    package func history(after: Revision, through: Revision) throws -> [EncodedRevision] {
        try store.encodedHistory(after: after, through: through)
    }

    /// Which revision was the first of which second, as far as this member noted that.
    package func times(after revision: Revision) throws -> [RevisionTime] {
        let written = try store.times(after: revision)
        let last = written.last?.revision ?? .zero
        return written + recentTimes.filter { $0.revision > last && $0.revision <= snapshot.view.revision }
    }
}

extension Replica {
    /// nil: the replica has ended, or its state is wrong.
    package func export() async -> StoreExport? {
        let cluster = configuration.clusterID
        return await loop.call(orElse: nil) { loop in
            guard !loop.core.isFenced, let store = loop.stateStore.withLock({ $0 }) else { return nil }
            let raft = loop.core.raft.configuration
            return StoreExport(
                snapshot: loop.core.snapshot, leases: loop.core.state.leases.sorted,
                members: loop.core.members.filter { raft.contains($0.id) }, learners: Set(raft.learners),
                applied: loop.core.state.counters.applied, cluster: cluster, store: store,
                recentTimes: loop.stateWriter?.times.kept ?? [])
        }
    }
}
