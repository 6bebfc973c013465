// The replicated store's figures under the names that monitoring of etcd looks for. Read when metrics are asked for.
import KVCore
import KVReplica
import NetHTTP
import Raft

/// Gauges of one replica.
package struct StoreMetrics {
    private let registry: MetricsRegistry

    package init(_ registry: MetricsRegistry) { self.registry = registry }

    /// Reads the replica whenever the registry is rendered.
    package func follow(_ replica: Replica) {
        let gauges: [(String, String, @Sendable (ReplicaStatus) -> Double)] = [
            (
                "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
                { $0.leader == nil ? 0 : 1 }
            ),
            (
                "etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
                { $0.role == .leader ? 1 : 0 }
            ),
            (
                "etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.",
                { $0.role == .learner ? 1 : 0 }
            ),
            (
                "etcd_server_leader_changes_seen_total", "The number of leader changes seen.",
                { Double($0.counters.leaderChangesTotal) }
            ),
            (
                "etcd_server_proposals_committed_total", "The total number of consensus proposals committed.",
                { Double($0.commitIndex.rawValue) }
            ),
            (
                "etcd_server_proposals_applied_total", "The total number of consensus proposals applied.",
                { Double($0.appliedIndex.rawValue) }
            ),
            (
                "etcd_server_proposals_failed_total", "The total number of failed proposals seen.",
                { Double($0.counters.proposalsFailedTotal) }
            ),
            ("etcd_debugging_mvcc_keys_total", "Total number of keys.", { Double($0.keyCount) }),
            ("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", { Double($0.watchCount) }),
            ("etcd_mvcc_db_total_size_in_bytes", "Bytes of current state in memory.", { Double($0.stateBytes) }),
            ("tern_raft_term", "The term of this member.", { Double($0.term.rawValue) }),
            ("tern_store_revision", "The revision of the store on this member.", { Double($0.revision.rawValue) }),
            ("tern_store_log_bytes", "Bytes of the log in memory.", { Double($0.logBytes) })
        ]
        let families = gauges.map { (registry.gauge($0.0, help: $0.1), $0.2) }
        registry.onCollect {
            let status = replica.status
            for (family, read) in families { family.set(read(status)) }
        }
    }
}
