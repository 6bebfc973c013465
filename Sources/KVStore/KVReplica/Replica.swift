// The replicated store of one master, as its users see it: propose, read, watch, and know who leads. Safe from any thread.
// Inside, one loop owns all state and drains a mailbox; nothing here decides anything about consensus.
import KVCore
import Logging
import Raft
import Synchronization

/// One member of the replicated store.
package final class Replica: Sendable {
    package let configuration: ReplicaConfiguration
    private let shared: Mutex<ReplicaStatus>

    /// Opens (or makes) the data directory and loads what it holds. Throws when it is locked, damaged or unwritable.
    package init(_ configuration: ReplicaConfiguration) throws {
        self.configuration = configuration
        shared = Mutex(ReplicaStatus(id: configuration.id, name: configuration.name))
    }

    package func start() async throws {}
    /// Hands leadership over, answers what waits, and ends.
    package func stop() async {}

    // MARK: Writes

    /// Executes the transaction once, or says why not. `fence`: it has no effect unless the leader's term at append equals it.
    package func propose(_ txn: Txn, fence: Term? = nil) async throws(ProposeError) -> TxnResult { throw .stopped }

    /// The same without a task; `done` is called on the replica's thread and must be quick.
    package func propose(_ txn: Txn, fence: Term?, _ done: @escaping @Sendable (Result<TxnResult, ProposeError>) -> Void) {
        done(.failure(.stopped))
    }

    package func compact(to revision: Revision) async throws(ProposeError) { throw .stopped }
    /// `id` none: the store picks one.
    package func grantLease(_ id: LeaseID, ttlSeconds: Int64) async throws(ProposeError) -> (id: LeaseID, ttlSeconds: Int64) {
        throw .stopped
    }
    /// Answers the renewed lifetime; refused with `.leaseNotFound` when it is gone.
    package func keepAlive(_ id: LeaseID) async throws(ProposeError) -> Int64 { throw .stopped }
    package func revokeLease(_ id: LeaseID) async throws(ProposeError) { throw .stopped }
    package func leases() async -> [Lease] { [] }

    // MARK: Reads

    /// Afterwards `view()` shows everything that was committed before the call.
    package func barrier() async throws(ProposeError) { throw .stopped }
    package func barrier(_ done: @escaping @Sendable (Result<Void, ProposeError>) -> Void) { done(.failure(.stopped)) }
    /// The local state, from memory: cheap, from any thread.
    package func view() -> KVView { KVView() }
    package func view(at revision: Revision) throws(ReadError) -> KVView { KVView() }

    // MARK: Changes

    /// Delivers every change in the range after the revision (nil: from now), a revision at a time, in order and once.
    package func watch(
        _ range: KeyRange, after: Revision?, _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) -> WatchID { WatchID(rawValue: 0) }
    package func cancel(_ watch: WatchID) {}

    // MARK: Leadership and members

    package var status: ReplicaStatus { shared.withLock { $0 } }
    /// The observer is told the present state first, then each change, on the replica's thread.
    package func onLeadership(_ observe: @escaping @Sendable (Leadership) -> Void) {}
    /// nil: to whoever is best caught up.
    package func transferLeadership(to peer: PeerID?) async throws(ProposeError) { throw .stopped }
    package func members() -> [ReplicaMember] { status.members }
    /// Adds a learner.
    package func addMember(_ peer: PeerAddress) async throws(ProposeError) { throw .stopped }
    package func promoteMember(_ peer: PeerID) async throws(ProposeError) { throw .stopped }
    package func removeMember(_ peer: PeerID) async throws(ProposeError) { throw .stopped }
    /// The bound port of the peer listener.
    package var peerPort: Int { 0 }
}
