// Calls by method and how they ended, under the names that gRPC's Prometheus libraries use. One atomic addition at a
// call's begin and one at its end; how long calls took is measured only where it was asked for.
import KVReplica
import NetGRPC
import NetHTTP
import Synchronization

/// The counts of one method.
private final class MethodTally: Sendable {
    let labels: [String]
    let started = Atomic<UInt64>(0)
    private let ended: [Ending]
    let durations: MetricFamily?
    /// Made once: a call holds it, and allocates nothing.
    let count: @Sendable (GRPCCode) -> Void

    final class Ending: Sendable { let count = Atomic<UInt64>(0) }

    init(labels: [String], durations: MetricFamily?) {
        self.labels = labels
        self.durations = durations
        let ended = CallMetrics.codes.map { _ in Ending() }
        self.ended = ended
        count = { code in
            guard ended.indices.contains(code.rawValue) else { return }
            ended[code.rawValue].count.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func ended(_ code: Int) -> Double { Double(ended[code].count.load(ordering: .relaxed)) }
}

/// The calls of a service.
final class CallMetrics: Sendable {
    /// By number.
    static let codes = [
        "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
        "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
        "Internal", "Unavailable", "DataLoss", "Unauthenticated"
    ]
    private static let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    private static let labels = ["grpc_method", "grpc_service", "grpc_type"]
    private static let methods: [(service: String, type: String, methods: String)] = [
        ("etcdserverpb.KV", "unary", "Range Put DeleteRange Txn Compact"),
        ("etcdserverpb.KV", "server_stream", "RangeStream"),
        ("etcdserverpb.Watch", "bidi_stream", "Watch"),
        ("etcdserverpb.Lease", "unary", "LeaseGrant LeaseRevoke LeaseTimeToLive LeaseLeases"),
        ("etcdserverpb.Lease", "bidi_stream", "LeaseKeepAlive"),
        ("etcdserverpb.Cluster", "unary", "MemberAdd MemberRemove MemberUpdate MemberList MemberPromote"),
        ("etcdserverpb.Maintenance", "unary", "Alarm Status Defragment Hash HashKV MoveLeader Downgrade"),
        ("etcdserverpb.Maintenance", "server_stream", "Snapshot"),
        ("v3lockpb.Lock", "unary", "Lock Unlock"),
        ("v3electionpb.Election", "unary", "Campaign Proclaim Leader Resign"),
        ("v3electionpb.Election", "server_stream", "Observe"),
        ("grpc.health.v1.Health", "unary", "Check"),
        ("grpc.health.v1.Health", "server_stream", "Watch")
    ]
    private let tallies: [String: MethodTally]

    /// `isExtensive`: durations too.
    init(_ registry: MetricsRegistry, isExtensive: Bool) {
        let durations =
            isExtensive
            ? registry.histogram(
                "grpc_server_handling_seconds", help: "How long calls took.", labels: Self.labels,
                buckets: Self.seconds) : nil
        var made: [String: MethodTally] = [:]
        for group in Self.methods {
            for method in group.methods.split(separator: " ").map(String.init) {
                made["/\(group.service)/\(method)"] = MethodTally(
                    labels: [method, group.service, group.type], durations: durations)
            }
        }
        let tallies = made
        self.tallies = tallies
        let ranges = registry.counter("etcd_mvcc_range_total", help: "Ranges that this member's clients asked for.")
        let rangeTallies = ["Range", "RangeStream"].compactMap { made["/etcdserverpb.KV/\($0)"] }
        registry.onCollect {
            ranges.set(rangeTallies.reduce(0) { $0 + Double($1.started.load(ordering: .relaxed)) })
        }
        let started = registry.counter("grpc_server_started_total", help: "Calls that began.", labels: Self.labels)
        let handled = registry.counter(
            "grpc_server_handled_total", help: "Calls that ended, by code.", labels: ["grpc_code"] + Self.labels)
        registry.onCollect {
            for tally in tallies.values {
                started.set(Double(tally.started.load(ordering: .relaxed)), tally.labels)
                for (number, code) in Self.codes.enumerated() {
                    handled.set(tally.ended(number), [code] + tally.labels)
                }
            }
        }
    }

    /// At a call's head.
    func note(_ call: GRPCServerCall) {
        guard let tally = tallies[call.path] else { return }
        tally.started.wrappingAdd(1, ordering: .relaxed)
        guard let durations = tally.durations else { return call.onOutcome(tally.count) }
        let began = ContinuousClock.now
        call.onOutcome { code in
            tally.count(code)
            durations.observe((ContinuousClock.now - began) / .seconds(1), tally.labels)
        }
    }
}
