// The etcd v3 face of a replica: routes gRPC calls by their path. It holds no state but watches and keep-alive streams
// of its calls, and knows nothing of Raft; every write is one proposal, every linearizable read one barrier.
import KVCore
import KVReplica
import NIOCore
import NetGRPC
import NetPKI
import Raft

/// What the face needs to be told.
package struct EtcdConfiguration: Sendable {
    /// Reported by Status, and what clients decide features by.
    package var version = "3.6.0"
    package var clusterID: UInt64
    /// Keys that outside clients may read and not write; nil: none.
    package var readOnlyPrefix: Key?
    /// How clients reach a member; empty when it is not known.
    package var clientURLs: @Sendable (ReplicaMember) -> [String] = { _ in [] }
    package var peerURL: @Sendable (ReplicaMember) -> String = { "https://\($0.host):\($0.port)" }

    package init(clusterID: UInt64) { self.clusterID = clusterID }
}

/// Answers etcd's clients; give it to a `GRPCServer`.
package final class EtcdService: GRPCService {
    let replica: Replica
    let configuration: EtcdConfiguration

    package init(_ replica: Replica, _ configuration: EtcdConfiguration) {
        self.replica = replica
        self.configuration = configuration
    }

    package func handle(_ call: GRPCServerCall) {
        switch call.path {
        case "/etcdserverpb.KV/Range": unary(call, range)
        case "/etcdserverpb.KV/Put": unary(call, put)
        case "/etcdserverpb.KV/DeleteRange": unary(call, delete)
        case "/etcdserverpb.KV/Txn": unary(call, txn)
        case "/etcdserverpb.KV/Compact": unary(call, compact)
        case "/etcdserverpb.Watch/Watch": EtcdWatchStream(self, call).begin()
        case "/etcdserverpb.Lease/LeaseGrant": unary(call, grant)
        case "/etcdserverpb.Lease/LeaseRevoke": unary(call, revoke)
        case "/etcdserverpb.Lease/LeaseKeepAlive": keepAlive(call)
        case "/etcdserverpb.Lease/LeaseTimeToLive": unary(call, timeToLive)
        case "/etcdserverpb.Lease/LeaseLeases": unary(call, leases)
        case "/etcdserverpb.Cluster/MemberList": unary(call, memberList)
        case "/etcdserverpb.Cluster/MemberRemove": unary(call, memberRemove)
        case "/etcdserverpb.Cluster/MemberPromote": unary(call, memberPromote)
        case "/etcdserverpb.Maintenance/Status": unary(call, status)
        case "/etcdserverpb.Maintenance/Alarm": unary(call, nothing)
        case "/etcdserverpb.Maintenance/Defragment": unary(call, nothing)
        case "/etcdserverpb.Maintenance/HashKV": unary(call, hashKV)
        case "/etcdserverpb.Maintenance/MoveLeader": unary(call, moveLeader)
        case "/etcdserverpb.Auth/AuthStatus": unary(call, nothing)
        case "/grpc.health.v1.Health/Check": unary(call, health)
        default: call.finish(GRPCStatus(.unimplemented, "unknown method \(call.path)"))
        }
    }

    typealias Unary = @Sendable (GRPCServerCall, [UInt8]) throws(GRPCStatus) -> Void

    private func unary(_ call: GRPCServerCall, _ body: @escaping Unary) {
        call.onUnary { message in
            do throws(GRPCStatus) { try body(call, message) } catch { call.finish(error) }
        }
    }

    /// For what is rare and waits: one task.
    func task(_ call: GRPCServerCall, _ body: @escaping @Sendable () async throws(ProposeError) -> [UInt8]) {
        Task {
            do throws(ProposeError) { call.reply(try await body()) } catch { call.finish(EtcdStatus.status(error)) }
        }
    }

    func header(_ revision: Revision? = nil) -> EtcdHeader {
        let status = replica.status
        return EtcdHeader(
            cluster: configuration.clusterID, member: status.id.rawValue, revision: revision ?? status.revision,
            term: status.term)
    }

    func nothing(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        call.reply(ProtobufWriter.response(header()))
    }

    private func health(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        var writer = ProtobufWriter()
        writer.int(1, replica.status.leader == nil ? 2 : 1)
        call.reply(writer.bytes)
    }
}
