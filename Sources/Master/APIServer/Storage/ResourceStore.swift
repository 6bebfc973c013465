// Every change is the same write: read current state from memory, transform the tree, propose one guarded transaction,
// and begin again when a guard failed. Several masters do this at the same time; the guards make it race-free. A
// refusal that stems from local state is told to nobody before ReadIndex has confirmed it: a lagging follower must not
// deny what another master just made.
import API
import KVCore
import KVReplica
import Raft

/// The objects of all kinds over the replicated store.
package struct ResourceStore: Sendable {
    static let attemptsMax = 24

    /// A write that began longer ago is not planned anew when a guard fails. One that was held while leadership moved
    /// would else overwrite what its own client, which gave up and asked another master, has changed since.
    let replansWithin: Duration
    let store: any ReplicatedStore
    let schema: SchemaTable
    let policy: ServerPolicy
    let trees: TreeCache
    let roles = RoleStamp()
    let eventLease = EventLease()
    let now: @Sendable () -> Double

    package init(
        store: any ReplicatedStore, schema: SchemaTable, policy: ServerPolicy,
        replansWithin: Duration = .seconds(2), now: @escaping @Sendable () -> Double = { Timestamp.nowSeconds() }
    ) {
        self.store = store
        self.schema = schema
        self.policy = policy
        self.replansWithin = replansWithin
        self.now = now
        trees = TreeCache()
    }

    package func reader(_ view: KVView) -> ViewReader {
        ViewReader(view: view, schema: schema, trees: trees, stamp: nil)
    }

    /// Of now. The stamp is taken before the view, so that what is compiled from the view is never older than its
    /// stamp.
    package func reader() -> ViewReader {
        let stamp = roles.stamp
        return ViewReader(view: store.view(), schema: schema, trees: trees, stamp: stamp)
    }

    /// Events are stored under a lease, so that they expire.
    func leased(_ call: WriteCall) async -> WriteCall {
        guard call.gvr.stored == GroupVersionResource("", "", "events"), !call.isDryRun else { return call }
        var leased = call
        leased.lease = await eventLease.lease(store, now: now())
        return leased
    }

    func behavior(_ call: WriteCall) -> any KindBehavior { policy.kinds.behavior(call.resource.resource) }
}

/// A write that was asked for: who, what, where, how.
struct WriteCall: Sendable {
    var attributes: RequestAttributes
    var resource: ResourceSchema
    /// Nil for cluster-scoped kinds.
    var namespace: String?
    var name: String
    var subresource = ""
    var isDryRun = false
    var fieldManager = ""
    /// What owners of fields are noted with, where it is not `subresource`.
    var fieldSubresource: String?
    /// The owners of the object's fields, when an apply has found them.
    var managed: ManagedFields?
    /// The entry does nothing unless this is the leader's term when it is appended.
    var fence: Term?
    /// The lease that the object is stored under.
    var lease = LeaseID.none
    /// What decoding warned of.
    var warnings: [String] = []

    var gvr: GroupVersionResource { resource.resource }
    var key: Key { StoreKey.object(gvr, namespace: namespace, name: name) }
}

/// What came of a write.
struct WriteOutcome: Sendable {
    var object: JSON
    var warnings: [String] = []
    var isCreated = false
    /// The object is not in the store any more.
    var isRemoved = false
}

/// A decided write: what to propose and what to answer when it is done.
struct WritePlan: Sendable {
    var txn: Txn?
    var outcome: WriteOutcome

    /// Nothing to write: a dry run, or an update that changes nothing.
    static func answer(_ outcome: WriteOutcome) -> WritePlan { WritePlan(txn: nil, outcome: outcome) }
}

extension ResourceStore {
    /// Plans on local state, proposes, and repeats both while guards fail. `plan` is run again from admission each
    /// time.
    func commit(
        _ fence: Term?, _ plan: @Sendable (KVView) throws(StatusError) -> WritePlan
    ) async throws(StatusError) -> WriteOutcome {
        var view = store.view()
        let began = ContinuousClock.now
        for _ in 0..<Self.attemptsMax {
            let decided = try await decide(view, plan)
            guard let txn = decided.txn else { return decided.outcome }
            let result = try await propose(txn, fence)
            if result.succeeded { return decided.outcome.stamped(result.revision) }
            guard !Task.isCancelled, .now - began < replansWithin else {
                throw Status.timeout("the request was held too long and others wrote meanwhile; nothing was written")
            }
            view = store.view()
            if view.revision < result.revision {
                try await store.barrier()
                view = store.view()
            }
        }
        throw Status.failure("Conflict", "the object is written too often by others; please try again", details: [:])
    }

    private func propose(_ txn: Txn, _ fence: Term?) async throws(StatusError) -> TxnResult {
        do { return try await store.propose(txn, fence: fence) } catch {
            // It may have been the lease that is gone.
            eventLease.forget()
            throw error
        }
    }

    /// A refusal counts only when the state after ReadIndex gives it too.
    private func decide(
        _ view: KVView, _ plan: (KVView) throws(StatusError) -> WritePlan
    ) async throws(StatusError) -> WritePlan {
        do { return try plan(view) } catch {
            try await store.barrier()
            let confirmed = store.view()
            if confirmed.revision == view.revision { throw error }
            return try plan(confirmed)
        }
    }
}

extension WriteOutcome {
    func stamped(_ revision: Revision) -> WriteOutcome {
        var outcome = self
        outcome.object["metadata", "resourceVersion"] = .string("\(revision)")
        return outcome
    }

    /// Nothing was written: the stored revision stays.
    func unstamped(_ stored: Revision) -> WriteOutcome { stamped(stored) }

    /// Keeps the place of resourceVersion in metadata for `stamped`.
    static func of(_ object: JSON, _ kind: GroupVersionKind, _ warnings: [String]) -> WriteOutcome {
        var object = object
        object["metadata", "resourceVersion"] = ""
        return WriteOutcome(object: object.ordered(kind), warnings: warnings)
    }
}
