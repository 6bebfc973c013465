// What the API server asks of the replicated store: propose, read, wait, watch. `Replica` is the only implementation in
// a master; tests run the same suite over a one-peer replica. Every answer to a proposal is final or says that it is
// not.
import API
import KVCore
import KVReplica
import Raft

/// The replicated store as the machinery sees it.
package protocol ReplicatedStore: Sendable {
    func propose(_ txn: Txn, fence: Term?, _ done: @escaping @Sendable (Result<TxnResult, ProposeError>) -> Void)
    /// ReadIndex: afterwards `view()` holds everything that was acknowledged before the call.
    func barrier(_ done: @escaping @Sendable (Result<Void, ProposeError>) -> Void)
    func view() -> KVView
    func view(at revision: Revision) throws(ReadError) -> KVView
    func watch(_ range: KeyRange, after: Revision?, _ deliver: @escaping @Sendable (WatchDelivery) -> Void) -> WatchID
    func cancel(_ watch: WatchID)
    /// A new lease: keys written under it go when it expires in log time.
    func grantLease(ttlSeconds: Int64) async throws(ProposeError) -> LeaseID
    /// Whether nobody has led for longer than requests are held.
    var isLeaderless: Bool { get }
    /// Whether this peer knows itself too far behind to answer from memory.
    var isBehind: Bool { get }
}

extension ReplicatedStore {
    func propose(_ txn: Txn, fence: Term?) async throws(StatusError) -> TxnResult {
        let result: Result<TxnResult, ProposeError> = await withCheckedContinuation { continuation in
            propose(txn, fence: fence) { continuation.resume(returning: $0) }
        }
        do { return try result.get() } catch { throw StoreRefusal.status(error) }
    }

    func barrier() async throws(StatusError) {
        let result: Result<Void, ProposeError> = await withCheckedContinuation { continuation in
            barrier { continuation.resume(returning: $0) }
        }
        do { return try result.get() } catch { throw StoreRefusal.status(error) }
    }
}

/// The words for what the store could not do.
enum StoreRefusal {
    static func status(_ error: ProposeError) -> StatusError {
        switch error {
        case .noLeader: Status.serviceUnavailable("no leader: the control plane has no quorum now; nothing was written")
        case .unknownOutcome:
            Status.timeout("request did not complete within the allotted timeout; it may or may not have been executed")
        case .tooLarge(let bytes): Status.tooLarge("etcdserver: request is too large (\(bytes) bytes)")
        case .overloaded: Status.tooManyRequests("Too many requests, please try again later.", retryAfterSeconds: 1)
        case .fenced: Status.serviceUnavailable("leadership moved to another master; the change was not executed")
        case .noSpace: Status.failure("InternalError", "mvcc: database space exceeded", code: 500)
        case .stopped: Status.serviceUnavailable("this master is shutting down")
        case .refused(let refusal): Status.internalError("the store refused: \(refusal)")
        }
    }
}
