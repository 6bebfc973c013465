// The replicated store's figures under the names, types and buckets that dashboards and alert rules for etcd look for.
// Nothing is counted here: what others count anyway is read when metrics are asked for.
import KVCore
import KVReplica
import NetHTTP
import Raft
import Synchronization

/// Metrics of one replica.
package struct StoreMetrics {
    private let registry: MetricsRegistry
    private typealias Read = @Sendable (ReplicaStatus) -> Double

    package init(_ registry: MetricsRegistry) { self.registry = registry }

    /// Reads the replica whenever the registry is rendered.
    package func follow(_ replica: Replica, version: String = EtcdConfiguration.reportedVersion) {
        let gauges = Self.gauges.map { (registry.gauge($0.0, help: $0.1), $0.2) }
        let counters = Self.counters.map { (registry.counter($0.0, help: $0.1), $0.2) }
        let families = gauges + counters
        registry.onCollect {
            let status = replica.status
            for (family, read) in families { family.set(read(status)) }
        }
        name(replica, version)
        followDisk(replica)
        followPeers(replica)
    }

    private static let gauges: [(String, String, Read)] = [
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
            "etcd_server_proposals_committed_total", "The index of the newest entry that is agreed on.",
            { Double($0.commitIndex.rawValue) }
        ),
        (
            "etcd_server_proposals_applied_total", "The index of the newest entry that this member has applied.",
            { Double($0.appliedIndex.rawValue) }
        ),
        (
            "etcd_server_proposals_pending", "Proposals of this member's clients that wait for their outcome.",
            { Double($0.pendingProposals) }
        ),
        ("etcd_debugging_mvcc_keys_total", "Total number of keys.", { Double($0.keyCount) }),
        ("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", { Double($0.watchCount) }),
        ("etcd_debugging_mvcc_current_revision", "The newest revision.", { Double($0.revision.rawValue) }),
        (
            "etcd_debugging_mvcc_compact_revision", "The revision below which history is gone.",
            { Double($0.compactRevision.rawValue) }
        ),
        (
            "etcd_mvcc_db_total_size_in_bytes", "Bytes of current state, which the quota limits.",
            { Double($0.stateBytes) }
        ),
        (
            "etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of current state; there is nothing to defragment.",
            { Double($0.stateBytes) }
        ),
        ("tern_raft_term", "The term of this member.", { Double($0.term.rawValue) }),
        ("tern_store_revision", "The revision of the store on this member.", { Double($0.revision.rawValue) }),
        ("tern_store_leases", "Leases that have not ended.", { Double($0.leaseCount) }),
        (
            "tern_raft_is_witness", "Whether or not this member is a witness. 1 if is, 0 otherwise.",
            { $0.isWitness ? 1 : 0 }
        ),
        (
            "tern_raft_witness_counts",
            "1 on a leader that commits with the witness, as a member with data is out of reach: new writes are on one "
                + "member less.",
            { $0.isWitnessCounting ? 1 : 0 }
        ),
        (
            "tern_store_disk_free_bytes", "Bytes that are free on the file system of the data.",
            { Double($0.diskFreeBytes) }
        ),
        ("tern_store_disk_low", "1 while this member's disk is nearly full.", { $0.isDiskLow ? 1 : 0 }),
        (
            "tern_store_growth_refused", "1 while writes that make the state greater are refused.",
            { $0.refusesGrowth ? 1 : 0 }
        ),
        (
            "tern_store_states_wrong", "Members whose state is known to be wrong and is being replaced.",
            { Double($0.stateTroubles.wrong.count) }
        ),
        (
            "tern_store_state_undecided", "1 while no majority of the members agrees on a state.",
            { $0.stateTroubles.isUndecided ? 1 : 0 }
        ),
        ("tern_store_log_bytes", "Bytes of the log in memory.", { Double($0.logBytes) })
    ]

    private static let counters: [(String, String, Read)] = [
        (
            "etcd_server_leader_changes_seen_total", "How often somebody began to lead.",
            { Double($0.counters.leaderChangesTotal) }
        ),
        (
            "etcd_server_proposals_failed_total", "Proposals of this member's clients that failed.",
            { Double($0.counters.proposalsFailedTotal) }
        ),
        (
            "etcd_server_read_indexes_failed_total", "Linearizable reads that were not confirmed.",
            { Double($0.counters.readsFailedTotal) }
        ),
        (
            "tern_raft_lease_reads_total", "Reads, in batches, that this leader answered without asking the others.",
            { Double($0.counters.readsByLeaseTotal) }
        ),
        ("etcd_mvcc_put_total", "Puts that this member has applied.", { Double($0.counters.changes.puts) }),
        ("etcd_mvcc_delete_total", "Deletions that this member has applied.", { Double($0.counters.changes.deletes) }),
        (
            "etcd_mvcc_txn_total", "Transactions with more than one change that this member has applied.",
            { Double($0.counters.changes.transactions) }
        ),
        (
            "etcd_server_slow_apply_total", "Rounds of applying that took more than 100 ms.",
            { Double($0.counters.slowRoundsTotal) }
        )
    ]

    /// Who this is; these stay.
    private func name(_ replica: Replica, _ version: String) {
        registry.gauge("etcd_server_version", help: "The version that clients are told.", labels: ["server_version"])
            .set(1, [version])
        let short = version.split(separator: ".").prefix(2).joined(separator: ".")
        registry.gauge("etcd_cluster_version", help: "The same, as the cluster's.", labels: ["cluster_version"])
            .set(1, [short])
        registry.gauge("etcd_server_id", help: "This member's number.", labels: ["server_id"])
            .set(1, [String(replica.configuration.id.rawValue, radix: 16)])
        registry.gauge(
            "etcd_server_quota_backend_bytes", help: "Bytes of current state above which writes are refused."
        )
        .set(Double(replica.configuration.stateBytesMax))
    }

    private func followDisk(_ replica: Replica) {
        let syncs = replica.figures.logSyncs
        let log = registry.histogram(
            "etcd_disk_wal_fsync_duration_seconds", help: "How long saves of the log took, each with its sync.",
            buckets: syncs.bounds)
        let commits = replica.figures.stateSyncs
        let state = registry.histogram(
            "etcd_disk_backend_commit_duration_seconds",
            help: "How long checkpoints of the state took, each with its sync.", buckets: commits.bounds)
        registry.onCollect {
            log.set(syncs.counts)
            state.set(commits.counts)
        }
    }

    private func followPeers(_ replica: Replica) {
        let sent = registry.counter(
            "etcd_network_peer_sent_bytes_total", help: "Bytes sent to members.", labels: ["To"])
        let received = registry.counter(
            "etcd_network_peer_received_bytes_total", help: "Bytes received from members.", labels: ["From"])
        let failed = registry.counter(
            "etcd_network_peer_sent_failures_total", help: "Messages to members that were dropped.", labels: ["To"])
        let active = registry.gauge(
            "etcd_network_active_peers", help: "1 while this member is connected to that one.",
            labels: ["Local", "Remote"])
        let trips = registry.histogram(
            "etcd_network_peer_round_trip_time_seconds", help: "Round trips, one a member and scrape.", labels: ["To"],
            buckets: DurationHistogram.roundTripBounds)
        let local = String(replica.configuration.id.rawValue, radix: 16)
        let shown = Mutex<Set<PeerID>>([])
        registry.onCollect {
            let peers = replica.figures.peers
            let gone = shown.withLock { shown in
                defer { shown = Set(peers.map(\.id)) }
                return shown.subtracting(peers.map(\.id))
            }
            // Only these: another scrape may be looking.
            for id in gone {
                let peer = String(id.rawValue, radix: 16)
                for family in [sent, received, failed, trips] { family.remove([peer]) }
                active.remove([local, peer])
            }
            for (id, tally) in peers {
                let peer = String(id.rawValue, radix: 16)
                sent.set(Double(tally.sentBytes.load(ordering: .relaxed)), [peer])
                received.set(Double(tally.receivedBytes.load(ordering: .relaxed)), [peer])
                failed.set(Double(tally.sentFailures.load(ordering: .relaxed)), [peer])
                active.set(tally.isConnected.load(ordering: .relaxed) ? 1 : 0, [local, peer])
                trips.set(tally.roundTrips.counts, [peer])
            }
            replica.measurePeers()
        }
    }
}

extension MetricFamily {
    /// A histogram that is kept elsewhere.
    func set(_ counts: DurationHistogram.Counts, _ values: [String] = []) {
        set(buckets: counts.buckets, sum: counts.sum, count: counts.count, values)
    }
}
