// Leases of etcd's clients. Lifetimes are whole seconds; what remains is counted from replicated log time, not from a
// clock.
import KVCore
import KVReplica
import NetGRPC
import Raft
import Synchronization

extension EtcdService {
    static let ttlSecondsMin: Int64 = 2
    static let ttlSecondsMax: Int64 = 9_000_000_000

    func grant(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let numbers = try EtcdRequests.numbers(message)
        guard numbers[1] ?? 0 <= Self.ttlSecondsMax else { throw EtcdStatus.leaseTTLTooLarge }
        let seconds = max(Self.ttlSecondsMin, numbers[1] ?? 0)
        let id = LeaseID(rawValue: numbers[2] ?? 0)
        task(call) { [self] () async throws(GRPCStatus) in
            let lease = try await asking { () async throws(ProposeError) in
                try await replica.grantLease(id, ttlSeconds: seconds)
            }
            return ProtobufWriter.response(header()) { writer in
                writer.int64(2, lease.id.rawValue)
                writer.int64(3, lease.ttlSeconds)
            }
        }
    }

    /// A lease that holds keys which outside clients may not write is not theirs to end.
    func revoke(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let id = LeaseID(rawValue: try EtcdRequests.numbers(message)[1] ?? 0)
        task(call) { [self] () async throws(GRPCStatus) in
            if let prefix = configuration.readOnlyPrefix {
                let kept = KeyRange.prefix(prefix)
                let (lease, _) = try await asking { () async throws(ProposeError) in try await replica.lease(id) }
                guard lease?.keys.contains(where: { kept.contains($0) }) != true else { throw EtcdStatus.readOnly }
            }
            try await asking { () async throws(ProposeError) in try await replica.revokeLease(id) }
            return ProtobufWriter.response(header())
        }
    }

    /// Each message renews one lease; a lease that is gone is answered with lifetime 0. A client that has sent its last
    /// message still gets every answer.
    func keepAlive(_ call: GRPCServerCall) {
        let open = KeepAlives()
        call.onMessageWhileWritable { [self] message in
            do throws(GRPCStatus) {
                let id = LeaseID(rawValue: try EtcdRequests.numbers(message)[1] ?? 0)
                open.begin()
                Task { [self] in
                    await renew(call, id)
                    if open.end() { call.finish() }
                }
            } catch { call.finish(error) }
        }
        call.onEnd { if open.inputEnded() { call.finish() } }
    }

    private func renew(_ call: GRPCServerCall, _ id: LeaseID) async {
        var seconds: Int64 = 0
        do throws(ProposeError) { seconds = try await replica.keepAlive(id) } catch {
            guard error == .refused(.leaseNotFound) else { return call.finish(EtcdStatus.status(error)) }
        }
        call.send(
            ProtobufWriter.response(header()) { writer in
                writer.int64(2, id.rawValue)
                writer.int64(3, seconds)
            })
    }

    func timeToLive(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let numbers = try EtcdRequests.numbers(message)
        let id = LeaseID(rawValue: numbers[1] ?? 0)
        task(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.barrier() }
            let (lease, now) = try await asking { () async throws(ProposeError) in try await replica.lease(id) }
            return ProtobufWriter.response(header()) { writer in
                writer.int64(2, id.rawValue)
                writer.int64(3, lease.map { max(0, $0.deadline - now) / 1000 } ?? -1)
                guard let lease else { return }
                writer.int64(4, lease.ttlMilliseconds / 1000)
                if numbers[2] ?? 0 != 0 { for key in lease.keys.sorted() { writer.byteArray(5, key.bytes) } }
            }
        }
    }

    func leases(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        task(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.barrier() }
            let (leases, _) = try await asking { () async throws(ProposeError) in try await replica.leases() }
            return ProtobufWriter.response(header()) { writer in
                for lease in leases { writer.message(2) { $0.int64(1, lease.id.rawValue) } }
            }
        }
    }
}

/// Renewals of one stream that are not answered yet.
private final class KeepAlives: Sendable {
    private let state = Mutex((open: 0, isOver: false))

    func begin() { state.withLock { $0.open += 1 } }

    /// True: it was the last of a stream whose input has ended.
    func end() -> Bool {
        state.withLock { state in
            state.open -= 1
            return state.isOver && state.open == 0
        }
    }

    /// True: nothing is open.
    func inputEnded() -> Bool {
        state.withLock { state in
            state.isOver = true
            return state.open == 0
        }
    }
}
