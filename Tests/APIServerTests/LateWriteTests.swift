// A write that was held while leadership moved: the client has long asked another master, and more has happened since. Once its
// guard fails it must not be planned anew over what is there now.
import API
import APIServer
import KVCore
import KVReplica
import NIOPosix
import NetHTTP
import Raft
import Synchronization
import Testing

/// A replica before whose next transaction something else happens.
private final class MeddledStore: ReplicatedStore {
    private let replica: Replica
    private let before = Mutex<(@Sendable () async -> Void)?>(nil)

    init(_ replica: Replica) { self.replica = replica }

    func beforeNextProposal(_ f: @escaping @Sendable () async -> Void) { before.withLock { $0 = f } }

    func propose(_ txn: Txn, fence: Term?, _ done: @escaping @Sendable (Result<TxnResult, ProposeError>) -> Void) {
        guard let meddle = before.withLock({ $0.take() }) else { return replica.propose(txn, fence: fence, done) }
        Task {
            await meddle()
            replica.propose(txn, fence: fence, done)
        }
    }

    func barrier(_ done: @escaping @Sendable (Result<Void, ProposeError>) -> Void) { replica.barrier(done) }
    func view() -> KVView { replica.view() }
    func view(at revision: Revision) throws(ReadError) -> KVView { try replica.view(at: revision) }
    func watch(_ range: KeyRange, after: Revision?, _ deliver: @escaping @Sendable (WatchDelivery) -> Void) -> WatchID {
        replica.watch(range, after: after, deliver)
    }
    func cancel(_ watch: WatchID) { replica.cancel(watch) }
    func grantLease(ttlSeconds: Int64) async throws(ProposeError) -> LeaseID {
        try await replica.grantLease(.none, ttlSeconds: ttlSeconds).id
    }
    var isLeaderless: Bool { replica.isLeaderless }
    var isBehind: Bool { replica.isBehind }
}

@Suite struct LateWriteTests {
    /// The answer to a patch to `late` while another changes the object to `later`, and what is there in the end.
    private func patch(
        within: Duration, cancelled: Bool = false
    ) async throws -> (refusal: StatusError?, value: String?) {
        let base = try await TestServer()
        let store = MeddledStore(base.replica)
        var configuration = APIServerConfiguration(name: "m1")
        configuration.replansWithin = within
        let server = APIServer(
            configuration, store: store, schema: SchemaTable(), policy: base.policy.server, metrics: MetricsRegistry(),
            group: base.group, logger: base.logger)
        server.start()
        let other = base.client
        let object: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "a"], "data": ["k": "first"]]
        _ = try await other.create(.configMaps, namespace: "default", object)
        let own = Mutex<Task<StatusError?, Never>?>(nil)
        store.beforeNextProposal {
            do {
                _ = try await other.patch(
                    .configMaps, namespace: "default", name: "a", subresource: nil, type: .merge,
                    ["data": ["k": "later"]])
            } catch { Issue.record("\(error)") }
            if cancelled { own.withLock { $0?.cancel() } }
        }
        let client = server.client()
        let gate = AsyncStream<Void>.makeStream()
        let task = Task { () -> StatusError? in
            for await _ in gate.stream { break }
            do throws(StatusError) {
                _ = try await client.patch(
                    .configMaps, namespace: "default", name: "a", subresource: nil, type: .merge,
                    ["data": ["k": "late"]])
                return nil
            } catch { return error }
        }
        own.withLock { $0 = task }
        gate.continuation.yield()
        let refusal = await task.value
        let value = try await other.get(.configMaps, namespace: "default", name: "a")["data", "k"]?.string
        server.drain()
        await base.stop()
        return (refusal, value)
    }

    @Test func `a write whose guard fails soon is planned anew over the new state`() async throws {
        let seen = try await patch(within: .seconds(60))
        #expect(seen.refusal == nil)
        #expect(seen.value == "late")
    }

    @Test func `a write that was held too long does not overwrite what came after it`() async throws {
        let seen = try await patch(within: .zero)
        #expect(seen.refusal?.code == 504)
        #expect(seen.value == "later")
    }

    @Test func `a write whose client is gone is not planned anew`() async throws {
        let seen = try await patch(within: .seconds(60), cancelled: true)
        #expect(seen.refusal?.code == 504)
        #expect(seen.value == "later")
    }
}
