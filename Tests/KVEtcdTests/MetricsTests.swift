// What alert rules and dashboards for etcd read: each family with the type and labels that they match.
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: Shell.has("curl"))) struct MetricsTests {
    static let types = [
        "etcd_server_has_leader": "gauge", "etcd_server_is_leader": "gauge",
        "etcd_server_leader_changes_seen_total": "counter", "etcd_server_proposals_failed_total": "counter",
        "etcd_server_proposals_committed_total": "gauge", "etcd_server_proposals_applied_total": "gauge",
        "etcd_server_proposals_pending": "gauge", "etcd_server_slow_apply_total": "counter",
        "etcd_server_read_indexes_failed_total": "counter", "etcd_server_quota_backend_bytes": "gauge",
        "etcd_server_version": "gauge", "etcd_cluster_version": "gauge", "etcd_server_id": "gauge",
        "etcd_server_health_success": "counter", "etcd_server_health_failures": "counter",
        "etcd_disk_wal_fsync_duration_seconds": "histogram", "etcd_disk_backend_commit_duration_seconds": "histogram",
        "etcd_mvcc_db_total_size_in_bytes": "gauge", "etcd_mvcc_db_total_size_in_use_in_bytes": "gauge",
        "etcd_mvcc_put_total": "counter", "etcd_mvcc_delete_total": "counter", "etcd_mvcc_txn_total": "counter",
        "etcd_mvcc_range_total": "counter", "etcd_network_client_grpc_received_bytes_total": "counter",
        "etcd_network_client_grpc_sent_bytes_total": "counter", "grpc_server_started_total": "counter",
        "grpc_server_handled_total": "counter",
        "process_resident_memory_bytes": "gauge", "process_virtual_memory_bytes": "gauge",
        "process_virtual_memory_max_bytes": "gauge", "process_cpu_seconds_total": "counter",
        "process_open_fds": "gauge", "process_max_fds": "gauge", "process_start_time_seconds": "gauge"
    ]

    private func scrape(_ face: Face) -> [String] {
        face.get("/metrics").body.split(separator: "\n").map(String.init)
    }

    /// Asked again until it is true; false when it never is.
    private func comes(_ condition: () -> Bool) async -> Bool {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if condition() { return true }
            await Task.yield()
        }
        return false
    }

    private func value(_ series: String, _ lines: [String]) -> Double? {
        lines.first { $0.hasPrefix(series + " ") }.flatMap { Double($0.dropFirst(series.count + 1)) }
    }

    /// Over all labels.
    private func sum(_ name: String, _ lines: [String]) -> Double {
        lines.filter { $0.hasPrefix(name + "{") }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
            .reduce(0, +)
    }

    private func types(_ lines: [String]) -> [String: String] {
        var types: [String: String] = [:]
        for line in lines where line.hasPrefix("# TYPE ") {
            let words = line.split(separator: " ").map(String.init)
            types[words[2]] = words[3]
        }
        return types
    }

    @Test func `each family that alerts match is there with its type`() async throws {
        let face = try await Face()
        try await face.put("a", "b")
        _ = face.get("/health")
        let lines = scrape(face)
        let found = types(lines)
        for (name, type) in Self.types { #expect(found[name] == type, "\(name)") }
        #expect(value("etcd_server_leader_changes_seen_total", lines) == 1)
        #expect(value("etcd_server_health_success", lines) == 1)
        #expect(value("etcd_server_health_failures", lines) == 0)
        #expect(value(#"etcd_server_version{server_version="3.6.0"}"#, lines) == 1)
        #expect(value(#"etcd_cluster_version{cluster_version="3.6"}"#, lines) == 1)
        #expect(value(#"etcd_server_id{server_id="8334a407e5b01cb2"}"#, lines) == 1)
        #expect((value("etcd_disk_wal_fsync_duration_seconds_count", lines) ?? 0) > 0)
        let bounds = lines.filter { $0.hasPrefix("etcd_disk_wal_fsync_duration_seconds_bucket") }
        #expect(bounds.count == 15 && bounds[0].contains(#"le="0.001""#) && bounds[13].contains(#"le="8.192""#))
        #expect((value("process_resident_memory_bytes", lines) ?? 0) > 1e6)
        #expect((value("process_start_time_seconds", lines) ?? 0) > 1e9)
        try await face.end()
    }

    @Test func `changes, ranges and bytes of clients are counted`() async throws {
        let face = try await Face()
        let before = scrape(face)
        func grown(_ name: String) -> Double { (value(name, scrape(face)) ?? -1) - (value(name, before) ?? 0) }
        for _ in 0..<3 { try await face.put("a", String(repeating: "v", count: 1000)) }
        _ = try await face.range("a")
        _ = try await face.replica.propose(
            Txn(success: [.put(Key("b"), [1]), .delete(Key("a")), .put(Key("c"), [1])]))
        #expect(grown("etcd_mvcc_put_total") == 5)
        #expect(grown("etcd_mvcc_delete_total") == 1)
        #expect(grown("etcd_mvcc_txn_total") == 1)
        #expect(grown("etcd_mvcc_range_total") == 1)
        #expect(grown("etcd_network_client_grpc_received_bytes_total") > 3000)
        #expect(grown("etcd_network_client_grpc_sent_bytes_total") > 1000)
        try await face.end()
    }

    @Test func `locks and elections are counted too`() async throws {
        let face = try await Face()
        await #expect(throws: GRPCStatus.self) { _ = try await face.channel.unary("/v3lockpb.Lock/Unlock", [1]) }
        await #expect(throws: GRPCStatus.self) {
            _ = try await face.channel.unary("/v3electionpb.Election/Leader", [])
        }
        let lines = scrape(face)
        for (service, method) in [("v3lockpb.Lock", "Unlock"), ("v3electionpb.Election", "Leader")] {
            let labels = #"grpc_method="\#(method)",grpc_service="\#(service)",grpc_type="unary""#
            #expect(value("grpc_server_started_total{\(labels)}", lines) == 1, "\(method)")
        }
        try await face.end()
    }

    @Test func `calls are counted by method and code`() async throws {
        let face = try await Face()
        func counted(_ code: String, _ method: String) -> Double? {
            let labels = #"grpc_method="\#(method)",grpc_service="etcdserverpb.KV",grpc_type="unary""#
            return value("grpc_server_handled_total{grpc_code=\"\(code)\",\(labels)}", scrape(face))
        }
        for _ in 0..<3 { try await face.put("a", "b") }
        await #expect(throws: GRPCStatus.self) { try await face.put("", "no key") }
        await #expect(throws: GRPCStatus.self) { _ = try await face.range("a", revision: 99) }
        #expect(counted("OK", "Put") == 3)
        #expect(counted("InvalidArgument", "Put") == 1)
        #expect(counted("OutOfRange", "Range") == 1)
        #expect(counted("OK", "Range") == 0)
        // A stream that its client leaves.
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        var create = ProtobufWriter()
        create.message(1) { $0.string(1, "k") }
        call.send(create.bytes)
        _ = try await call.next()
        call.cancel()
        let left =
            #"grpc_code="Canceled",grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream""#
        #expect(await comes { value("grpc_server_handled_total{\(left)}", scrape(face)) == 1 })
        try await face.end()
    }

    @Test func `members are measured one by one`() async throws {
        let (face, others) = try await Face.ofThree()
        for _ in 0..<20 { try await face.put("a", "b") }
        let trips = #"etcd_network_peer_round_trip_time_seconds_count{To="2"}"#
        // What one look asks for the next one shows.
        #expect(await comes { value(trips, scrape(face)) ?? 0 > 0 })
        let lines = scrape(face)
        for peer in ["2", "3"] {
            #expect((value("etcd_network_peer_sent_bytes_total{To=\"\(peer)\"}", lines) ?? 0) > 0)
            let active = "etcd_network_active_peers{Local=\"1\",Remote=\"\(peer)\"}"
            #expect(await comes { value(active, scrape(face)) == 1 })
        }
        // Followers have nothing to say to each other.
        #expect(sum("etcd_network_peer_received_bytes_total", lines) > 0)
        let before = sum("etcd_network_peer_sent_failures_total", lines)
        for other in others { await other.halt() }
        #expect(await comes { sum("etcd_network_peer_sent_failures_total", scrape(face)) > before })
        #expect(types(scrape(face))["etcd_network_peer_round_trip_time_seconds"] == "histogram")
        try await face.end()
        for other in others { Shell.remove(other.configuration.dataDirectory) }
    }

    @Test(.enabled(if: Shell.has("etcdctl"))) func `etcdctl finds what its check of scale needs`() async throws {
        let face = try await Face()
        let output = Shell.run(
            "etcdctl --endpoints \(face.endpoint) check datascale --load s --auto-compact=false 2>&1 | tail -3",
            environment: ["ETCDCTL_API": "3"])
        #expect(output.contains("PASS"), "\(output)")
        try await face.end()
    }
}
