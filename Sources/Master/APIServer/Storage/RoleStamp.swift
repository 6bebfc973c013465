// When roles or bindings changed last: authorization keeps its compiled rules while this stays the same.
// Written on the replica's thread while it publishes a change, read by every request.
import KVCore
import KVReplica
import NIOCore
import Synchronization

package final class RoleStamp: Sendable {
    /// Pause before the store is followed again after it was reset (or stopped).
    static let retryAfter: TimeAmount = .milliseconds(100)

    private let revision = Atomic<Int64>(-1)
    private let isEnded = Atomic<Bool>(false)

    /// Nil while the store is not followed: nothing may be kept then.
    package var stamp: Int64? {
        let value = revision.load(ordering: .acquiring)
        return value < 0 ? nil : value
    }

    func follow(_ store: any ReplicatedStore, on eventLoop: any EventLoop) {
        if isEnded.load(ordering: .relaxed) { return }
        let start = store.view().revision
        revision.store(start.rawValue, ordering: .releasing)
        _ = store.watch(.prefix(Key("/registry/rbac.authorization.k8s.io/")), after: start) { [weak self] delivery in
            guard let self else { return }
            switch delivery {
            case .events(let changed, _): revision.store(changed.rawValue, ordering: .releasing)
            case .progress: break
            case .compacted, .tooMany, .reset, .ended:
                revision.store(-1, ordering: .releasing)
                eventLoop.scheduleTask(in: Self.retryAfter) { self.follow(store, on: eventLoop) }
            }
        }
    }

    func end() { isEnded.store(true, ordering: .relaxed) }
}
