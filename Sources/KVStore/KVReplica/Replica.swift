// The replicated store of one master, as its users see it: propose, read, watch, and know who leads. Safe from any
// thread. Inside, one loop owns all state and drains a mailbox; nothing here decides anything about consensus.
import KVCore
import Logging
import NIOCore
import NIOPosix
import Raft
import Synchronization

/// One member of the replicated store.
package final class Replica: Sendable {
    package let configuration: ReplicaConfiguration
    let loop: ReplicaLoop
    private let group: MultiThreadedEventLoopGroup
    private let port = Atomic<Int>(0)
    private let lastWatch = Atomic<UInt64>(0)
    package let historyReads = HistoryReads()

    /// Opens (or makes) the data directory and loads what it holds. Throws when it is locked, damaged or unwritable.
    package init(_ wanted: ReplicaConfiguration) throws {
        let configuration = try wanted.identified()
        try configuration.validate()
        try configuration.remember()
        self.configuration = configuration
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let mailbox = Mailbox(inputsMax: configuration.pendingProposalsMax)
        do { loop = try ReplicaLoop(configuration, group.next(), mailbox) } catch {
            group.shutdownGracefully { _ in }
            throw error
        }
    }

    /// Listens for peers and takes part. Returns when it does; who leads is told by `onLeadership`.
    package func start() async throws { port.store(try await loop.start().get(), ordering: .relaxed) }

    /// Hands leadership over, answers what waits, and ends.
    package func stop() async {
        await handOver()
        await end(isGraceful: true)
    }

    /// Ends at once, as a crash would: nothing is handed over, written down or finished. For tests.
    package func halt() async { await end(isGraceful: false) }

    private func end(isGraceful: Bool) async {
        let endThreads: (@Sendable () -> Void)? = await loop.call(orElse: nil) { $0.end(isGraceful: isGraceful) }
        endThreads?()
        do { try await group.shutdownGracefully() } catch {
            configuration.logger.warning("event loop", metadata: ["error": "\(error)"])
        }
    }

    /// The bound port of the peer listener; 0 without one.
    package var peerPort: Int { port.load(ordering: .relaxed) }

    // MARK: Figures

    package var figures: ReplicaFigures { loop.figures }

    /// The next look at `figures` has newer round trips.
    package func measurePeers() { loop.post(.run { $0?.measurePeers() }) }

    // MARK: Writes

    /// Executes the transaction once, or says why not. `fence`: it has no effect unless the leader's term at append
    /// equals it.
    package func propose(_ txn: Txn, fence: Term? = nil) async throws(ProposeError) -> TxnResult {
        let result = await withUnsafeContinuation {
            (waiting: UnsafeContinuation<Result<TxnResult, ProposeError>, Never>) in
            propose(txn, fence: fence) { waiting.resume(returning: $0) }
        }
        return try result.get()
    }

    /// The same without a task; `done` is called on the replica's thread and must be quick.
    package func propose(
        _ txn: Txn, fence: Term?, _ done: @escaping @Sendable (Result<TxnResult, ProposeError>) -> Void
    ) {
        guard txn.hasRanges, !txn.pastRanges.isEmpty else { return proposeWhole(txn, fence: fence, done) }
        Task { done(await proposeWithPast(txn, fence: fence)) }
    }

    /// Ranges at a revision are answered with nothing.
    func proposeWhole(
        _ txn: Txn, fence: Term?, _ done: @escaping @Sendable (Result<TxnResult, ProposeError>) -> Void
    ) {
        loop.post(
            .propose(.txn(txn), fence: fence) { result in
                switch ProposeError.checked(result) {
                case .success(.txn(let result)): done(.success(result))
                case .success: done(.failure(.unknownOutcome))
                case .failure(let error): done(.failure(error))
                }
            })
    }

    /// History below the revision goes; refused when it is already gone or not there yet.
    package func compact(to revision: Revision) async throws(ProposeError) { _ = try await execute(.compact(revision)) }

    /// `id` none: the store picks one.
    package func grantLease(
        _ id: LeaseID, ttlSeconds: Int64
    ) async throws(ProposeError) -> (
        id: LeaseID, ttlSeconds: Int64
    ) {
        let seconds = min(max(ttlSeconds, 1), StateMachine.ttlMillisecondsMax / 1000)
        guard case .lease(let id, let ttl) = try await execute(.grantLease(id, ttlMilliseconds: seconds * 1000)) else {
            throw .unknownOutcome
        }
        return (id, ttl / 1000)
    }

    /// Answers the renewed lifetime in seconds; refused with `.leaseNotFound` when it is gone.
    package func keepAlive(_ id: LeaseID) async throws(ProposeError) -> Int64 {
        let result = await withUnsafeContinuation {
            (waiting: UnsafeContinuation<Result<Outcome, ReplicaFailure>, Never>) in
            loop.post(.keepAlive(id) { waiting.resume(returning: $0) })
        }
        guard case .kept(let left) = try ProposeError.checked(result).get(), let ttl = left.first else {
            throw .unknownOutcome
        }
        guard ttl > 0 else { throw .refused(.leaseNotFound) }
        return ttl / 1000
    }

    /// Ends the lease and deletes its keys.
    package func revokeLease(_ id: LeaseID) async throws(ProposeError) { _ = try await execute(.revokeLease(id)) }

    /// One lease of the local state, with log time now.
    package func lease(
        _ id: LeaseID
    ) async throws(ProposeError) -> (lease: Lease?, logTimeMilliseconds: Int64) {
        let found: (Lease?, Int64)? = await loop.call(orElse: nil) {
            ($0.core.state.leases[id], $0.core.state.logTime)
        }
        guard let found else { throw .stopped }
        return found
    }

    /// The leases of the local state, with their keys, and log time now (for remaining lifetimes).
    package func leases() async throws(ProposeError) -> (leases: [Lease], logTimeMilliseconds: Int64) {
        let found: ([Lease], Int64)? = await loop.call(orElse: nil) {
            ($0.core.state.leases.sorted, $0.core.state.logTime)
        }
        guard let found else { throw .stopped }
        return found
    }

    func execute(_ command: Command) async throws(ProposeError) -> Outcome {
        let result = await withUnsafeContinuation {
            (waiting: UnsafeContinuation<Result<Outcome, ReplicaFailure>, Never>) in
            loop.post(.propose(command, fence: nil) { waiting.resume(returning: $0) })
        }
        return try ProposeError.checked(result).get()
    }

    // MARK: Reads

    /// Afterwards `view()` shows everything that was committed before the call.
    package func barrier() async throws(ProposeError) {
        let result = await withUnsafeContinuation { (waiting: UnsafeContinuation<Result<Void, ProposeError>, Never>) in
            barrier { waiting.resume(returning: $0) }
        }
        return try result.get()
    }

    /// The same without a task; `done` is called on the replica's thread.
    package func barrier(_ done: @escaping @Sendable (Result<Void, ProposeError>) -> Void) {
        loop.post(.read { failure in done(failure.map { .failure(ProposeError($0)) } ?? .success(())) })
    }

    /// Whether this replica itself answers, whatever the others do. `done` is called on the replica's thread.
    package func ping(_ done: @escaping @Sendable (ProposeError?) -> Void) {
        loop.post(.ping { failure in done(failure.map { ProposeError($0) }) })
    }

    /// The local state, from memory: cheap, from any thread.
    package func view() -> KVView { loop.published.withLock { $0.read().view } }

    /// The local state at an earlier revision, as far as recent history reaches.
    package func view(at revision: Revision) throws(ReadError) -> KVView {
        let generation = loop.generation.load(ordering: .acquiring)
        let snapshot = loop.published.withLock { $0.read() }
        if revision < snapshot.view.compactRevision { throw .compacted(snapshot.view.compactRevision) }
        let now = Clock.milliseconds()
        if let known = loop.pastViews.withLock({ $0.find(revision, now: now) }) { return known }
        let view = try snapshot.view(at: revision)
        loop.pastViews.withLock { views in
            // Not one of a state that was replaced meanwhile.
            guard generation == loop.generation.load(ordering: .acquiring) else { return }
            views.add(revision, view, now: now)
        }
        return view
    }

    /// A number over the whole logical state: equal on peers that applied the same.
    package func stateHash() async -> (index: LogIndex, hash: UInt64) {
        await loop.call(orElse: (.zero, 0)) { ($0.core.state.appliedIndex, $0.core.state.stateHash) }
    }

    /// For tests: what a flipped bit in memory does to the state.
    package func flipState() async { await loop.call(orElse: ()) { $0.core.flipState() } }

    // MARK: Changes

    /// Delivers every change in the range after the revision (nil: from now), a revision at a time, in order and once.
    /// What memory does not hold any more comes from disk.
    package func watch(
        _ range: KeyRange, after: Revision?, _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) -> WatchID { watch(range, after: after, isWritable: { true }, deliver) }

    /// The same; what comes from disk comes no faster than `isWritable` allows.
    package func watch(
        _ range: KeyRange, after wished: Revision?, isWritable: @escaping @Sendable () -> Bool,
        _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) -> WatchID {
        // Nothing ever changed at the first revision: an empty store has it.
        let after = wished.map { max($0, Revision(1)) }
        let id = WatchID(rawValue: lastWatch.add(1, ordering: .relaxed).newValue)
        guard let after else {
            loop.post(.watch(id, range, after: nil, deliver, fromDisk: nil))
            return id
        }
        let fromDisk: @Sendable () -> Void = { [self] in replay(id, range, after: after, isWritable, deliver) }
        if isOnlyOnDisk(after) {
            fromDisk()
        } else {
            loop.post(.watch(id, range, after: after, deliver, fromDisk: fromDisk))
        }
        return id
    }

    /// Nothing is delivered any more, but for what is being delivered just now.
    package func cancel(_ watch: WatchID) {
        loop.replays.withLock { _ = $0.remove(watch) }
        loop.post(.cancel(watch))
    }

    /// Calls `body` on the replica's thread, behind everything that was asked before; never when the replica has ended.
    package func afterInputs(_ body: @escaping @Sendable () -> Void) { loop.post(.run { if $0 != nil { body() } }) }

    // MARK: Leadership

    package var status: ReplicaStatus { loop.status.withLock { $0 } }

    /// The numbers of `status` that every answer to a client carries, without a copy of the rest.
    package var standing: (term: Term, revision: Revision) { loop.status.withLock { ($0.term, $0.revision) } }

    /// Its state is not the others', and not to be served.
    package var isFenced: Bool { loop.status.withLock { $0.isFenced } }

    /// As in `status`.
    package var leaderlessSince: ContinuousClock.Instant? { loop.status.withLock { $0.leaderlessSince } }

    /// The observer is told the present state first, then each change, on the replica's thread.
    package func onLeadership(_ observe: @escaping @Sendable (Leadership) -> Void) { loop.post(.observe(observe)) }
}

extension ReplicaLoop {
    /// Runs a body on the loop; `orElse` when it has ended.
    func call<T: Sendable>(orElse fallback: T, _ body: @escaping @Sendable (ReplicaLoop) -> T) async -> T {
        await withUnsafeContinuation { (waiting: UnsafeContinuation<T, Never>) in
            let input = ReplicaInput.run { loop in
                if let loop { waiting.resume(returning: body(loop)) } else { waiting.resume(returning: fallback) }
            }
            switch mailbox.post(input) {
            case .queued: return
            case .first: wake()
            case .overloaded, .stopped: waiting.resume(returning: fallback)
            }
        }
    }
}

extension ProposeError {
    init(_ failure: ReplicaFailure) {
        switch failure {
        case .noLeader: self = .noLeader
        case .unknownOutcome: self = .unknownOutcome
        case .tooLarge(let bytes): self = .tooLarge(bytes: bytes)
        case .overloaded: self = .overloaded
        case .noSpace: self = .noSpace
        case .stopped: self = .stopped
        }
    }

    /// Refusals and fences are errors too.
    static func checked(_ result: Result<Outcome, ReplicaFailure>) -> Result<Outcome, ProposeError> {
        switch result {
        case .failure(let failure): .failure(ProposeError(failure))
        case .success(.refused(let refusal)): .failure(.refused(refusal))
        case .success(.fenced): .failure(.fenced)
        case .success(let outcome): .success(outcome)
        }
    }
}

extension Replica {
    /// As after a verdict of the others: it takes the leader's state.
    package func distrustState() async {
        await loop.call(orElse: ()) { loop in
            loop.core.distrustState(at: loop.core.state.appliedIndex)
            loop.pump()
        }
    }

    /// Asks to lead at once, unless somebody leads. For tests whose members never lose patience.
    package func campaign() async { await loop.call(orElse: ()) { if $0.core.raft.leader == nil { $0.campaign() } } }

    /// Up to where the log is gone; who needs less is sent a snapshot.
    package func compactedLogIndex() async -> LogIndex { await loop.call(orElse: .zero) { $0.core.raft.compactIndex } }
}
