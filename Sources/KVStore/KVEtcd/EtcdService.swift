// The etcd v3 face of a replica: routes gRPC calls by their path. It holds no state but watches and keep-alive streams
// of its calls, and knows nothing of Raft; every write is one proposal, every linearizable read one barrier.
import KVCore
import KVReplica
import Logging
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI
import Raft
import Synchronization

/// What the face needs to be told.
package struct EtcdConfiguration: Sendable {
    /// Reported by Status, and what clients decide features by.
    package var version = EtcdConfiguration.reportedVersion
    package static let reportedVersion = "3.6.0"
    package var clusterID: UInt64
    /// Keys that outside clients may read and not write; nil: none.
    package var readOnlyPrefix: Key?
    /// How clients reach a member that has not told itself; empty when it is not known.
    package var clientURLs: @Sendable (ReplicaMember) -> [String] = { _ in [] }
    /// How this member tells the others that clients reach it.
    package var advertisedURLs: [String] = []
    /// Of the peers' URLs.
    package var peerScheme = "https"
    /// How long calls take is measured too.
    package var measuresCalls = false
    /// A snapshot whose client takes nothing for so long is given up.
    package var snapshotStall = TimeAmount.seconds(30)
    /// Where what a slow client has not taken yet of a snapshot waits; nil: in the data directory.
    package var snapshotDirectory: String?
    /// Comparisons, or operations of one branch, of a transaction; a nested one has what is left.
    package var operationsMax = EtcdConfiguration.operationsMax
    package static let operationsMax = 128
    /// A request that writes is refused above this.
    package var requestBytesMax = EtcdConfiguration.requestBytesMax
    package static let requestBytesMax = 3 << 19
    /// Calls of one connection at a time.
    package var streamsMax = EtcdConfiguration.streamsMax
    package static let streamsMax = 10_000
    /// A message above this is not taken from the wire.
    var messageBytesMax: Int { requestBytesMax + (512 << 10) }

    package init(clusterID: UInt64) { self.clusterID = clusterID }
}

/// Answers etcd's clients; give it to a `GRPCServer`.
package final class EtcdService: GRPCService {
    let replica: Replica
    let configuration: EtcdConfiguration
    let leaderWatch: LeaderWatch
    let snapshotSlots = SnapshotSlots()
    let eventBytes = EventBytes()
    let healthWatch: HealthWatch
    private let calls: CallMetrics
    private let isWitness: Bool
    private let hasSentOn = Atomic<Bool>(false)

    /// `metrics`: where calls are counted.
    package init(
        _ replica: Replica, _ configuration: EtcdConfiguration, metrics: MetricsRegistry = MetricsRegistry()
    ) {
        calls = CallMetrics(metrics, isExtensive: configuration.measuresCalls)
        self.replica = replica
        self.configuration = configuration
        isWitness = replica.configuration.raft.isWitness
        leaderWatch = LeaderWatch(replica)
        healthWatch = HealthWatch(replica)
    }

    package func handle(_ call: GRPCServerCall) {
        calls.note(call)
        guard leaderWatch.admit(call) else { return call.finish(EtcdStatus.noLeader) }
        let path = call.path
        guard !isWitness || isAnsweredByWitness(path) else { return sendOn(call) }
        guard let slash = path.dropFirst().firstIndex(of: "/") else { return unknown(call) }
        let method = path[path.index(after: slash)...]
        switch path[path.startIndex..<slash] {
        case "/etcdserverpb.KV": handleKV(call, method)
        case "/etcdserverpb.Watch": if method == "Watch" { EtcdWatchStream(self, call).begin() } else { unknown(call) }
        case "/etcdserverpb.Lease": handleLease(call, method)
        case "/etcdserverpb.Cluster": handleCluster(call, method)
        case "/etcdserverpb.Maintenance": handleMaintenance(call, method)
        case "/etcdserverpb.Auth": handleAuth(call, method)
        case "/v3lockpb.Lock": handleLock(call, method)
        case "/v3electionpb.Election": handleElection(call, method)
        case "/grpc.health.v1.Health": handleHealth(call, method)
        default: unknown(call)
        }
    }

    /// For monitoring; everything else would need keys, or a word in the log.
    private func isAnsweredByWitness(_ path: String) -> Bool {
        path == "/etcdserverpb.Maintenance/Status" || path.hasPrefix("/grpc.health.v1.Health/")
    }

    /// Refused in the words after which etcd's clients ask another member even for a write.
    private func sendOn(_ call: GRPCServerCall) {
        if !hasSentOn.exchange(true, ordering: .relaxed) {
            replica.configuration.logger.notice(
                "a client asks this witness for keys: it has none, and refuses", metadata: ["call": "\(call.path)"])
        }
        call.finish(EtcdStatus.noKeysHere)
    }

    private func handleKV(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "Range": unary(call, range)
        case "RangeStream": unary(call, rangeStream)
        case "Put": unary(call, put)
        case "DeleteRange": unary(call, delete)
        case "Txn": unary(call, txn)
        case "Compact": unary(call, compact)
        default: unknown(call)
        }
    }

    private func handleLease(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "LeaseGrant": unary(call, grant)
        case "LeaseRevoke": unary(call, revoke)
        case "LeaseKeepAlive": keepAlive(call)
        case "LeaseTimeToLive": unary(call, timeToLive)
        case "LeaseLeases": unary(call, leases)
        default: unknown(call)
        }
    }

    private func handleCluster(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "MemberList": unary(call, memberList)
        case "MemberAdd": unary(call, memberAdd)
        case "MemberUpdate": unary(call, memberUpdate)
        case "MemberRemove": unary(call, memberRemove)
        case "MemberPromote": unary(call, memberPromote)
        default: unknown(call)
        }
    }

    private func handleMaintenance(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "Status": unary(call, status)
        case "Alarm": unary(call, alarm)
        case "Defragment": unary(call, nothing)
        case "Hash": unary(call, hash)
        case "HashKV": unary(call, hashKV)
        case "Snapshot": unary(call, snapshot)
        case "MoveLeader": unary(call, moveLeader)
        case "Downgrade": unary(call) { _, _ throws(GRPCStatus) in throw EtcdStatus.noDowngrade }
        default: unknown(call)
        }
    }

    /// There are no users: what only looks is answered, what would change something is refused.
    private func handleAuth(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "AuthStatus", "AuthDisable", "UserList", "RoleList": unary(call, nothing)
        case "Authenticate": unary(call) { _, _ throws(GRPCStatus) in throw EtcdStatus.authNotEnabled }
        default: unary(call) { _, _ throws(GRPCStatus) in throw EtcdStatus.noAuth }
        }
    }

    private func handleHealth(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "Check": unary(call, health)
        case "Watch": unary(call, healthWatch)
        default: unknown(call)
        }
    }

    func unknown(_ call: GRPCServerCall) {
        call.finish(EtcdStatus.unknownMethod(call.path))
    }

    typealias Unary = @Sendable (GRPCServerCall, [UInt8]) throws(GRPCStatus) -> Void

    func unary(_ call: GRPCServerCall, _ body: @escaping Unary) {
        call.onUnary { message in
            do throws(GRPCStatus) { try body(call, message) } catch { call.finish(error) }
        }
    }

    /// For what is rare and waits: one task.
    func task(_ call: GRPCServerCall, _ body: @escaping @Sendable () async throws(GRPCStatus) -> [UInt8]) {
        Task {
            do throws(GRPCStatus) { call.reply(try await body()) } catch { call.finish(error) }
        }
    }

    /// The replica's errors become statuses.
    func asking<T: Sendable>(
        _ body: @Sendable () async throws(ProposeError) -> T
    ) async throws(GRPCStatus) -> T {
        do throws(ProposeError) { return try await body() } catch { throw EtcdStatus.status(error) }
    }

    func header(_ revision: Revision? = nil) -> EtcdHeader {
        let standing = replica.standing
        return EtcdHeader(
            cluster: configuration.clusterID, member: replica.configuration.id.rawValue,
            revision: revision ?? standing.revision, term: standing.term)
    }

    func nothing(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        call.reply(ProtobufWriter.response(header()))
    }
}
