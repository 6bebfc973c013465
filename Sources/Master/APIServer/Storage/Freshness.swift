// How fresh a read must be, and how it gets a view of the store that is fresh enough: by ReadIndex, by waiting, or from
// memory at once. No task is made: the answer comes in a callback, at once where memory is good enough.
import API
import KVCore
import KVReplica

/// What `resourceVersion` and `resourceVersionMatch` mean.
package enum Freshness: Sendable, Hashable {
    /// Everything acknowledged before the request.
    case linearizable
    /// Whatever is in memory.
    case any
    case atLeast(Revision)
    case exactly(Revision)

    /// `resourceVersion` of a get; nil when it is no number.
    static func parse(_ version: String) -> Freshness? {
        switch version {
        case "": return .linearizable
        case "0": return .any
        default: return UInt64(version).flatMap { Int64(exactly: $0) }.map { .atLeast(Revision($0)) }
        }
    }

    /// Upstream's words for a resourceVersion that is no number.
    static func badNumber(_ version: String) -> String {
        "resourceVersion: Invalid value: \(Go.quote(version)): strconv.ParseUint: parsing \(Go.quote(version)): invalid syntax"
    }
}

/// A view, and whether it may be stale because nobody leads.
struct ReadView: Sendable {
    var view: KVView
    var isStale: Bool
}

extension ReplicatedStore {
    /// Calls `done` once, on this thread or on the store's.
    func read(_ freshness: Freshness, _ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void) {
        switch freshness {
        case .linearizable: afterBarrier(done) { .success(ReadView(view: view(), isStale: false)) }
        case .any: readAny(done)
        case .atLeast(let revision): readAtLeast(revision, done)
        case .exactly(let revision): readExactly(revision, done)
        }
    }

    func read(_ freshness: Freshness) async throws(StatusError) -> ReadView {
        let result: Result<ReadView, StatusError> = await withCheckedContinuation { continuation in
            read(freshness) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    private func afterBarrier(
        _ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void,
        _ answer: @escaping @Sendable () -> Result<ReadView, StatusError>
    ) {
        barrier { outcome in
            switch outcome {
            case .success: done(answer())
            case .failure(let error): done(.failure(StoreRefusal.status(error)))
            }
        }
    }

    private func readAny(_ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void) {
        let leaderless = isLeaderless
        if leaderless || !isBehind { return done(.success(ReadView(view: view(), isStale: leaderless))) }
        afterBarrier(done) { .success(ReadView(view: view(), isStale: false)) }
    }

    private func readAtLeast(_ revision: Revision, _ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void)
    {
        let now = view()
        if now.revision >= revision { return done(.success(ReadView(view: now, isStale: isLeaderless))) }
        afterBarrier(done) {
            let now = view()
            if now.revision >= revision { return .success(ReadView(view: now, isStale: false)) }
            return .failure(Status.resourceVersionTooLarge("\(revision)", current: "\(now.revision)"))
        }
    }

    private func readExactly(_ revision: Revision, _ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void)
    {
        switch viewAt(revision) {
        case .success(let view): done(.success(ReadView(view: view, isStale: false)))
        case .failure(.compacted(let oldest)):
            done(.failure(Status.expired(requested: "\(revision)", oldest: "\(oldest)")))
        case .failure(.future):
            afterBarrier(done) {
                switch viewAt(revision) {
                case .success(let view): .success(ReadView(view: view, isStale: false))
                case .failure(.compacted(let oldest)):
                    .failure(Status.expired(requested: "\(revision)", oldest: "\(oldest)"))
                case .failure(.future(let current)):
                    .failure(Status.resourceVersionTooLarge("\(revision)", current: "\(current)"))
                }
            }
        }
    }

    func viewAt(_ revision: Revision) -> Result<KVView, ReadError> {
        do { return .success(try view(at: revision)) } catch { return .failure(error) }
    }
}
