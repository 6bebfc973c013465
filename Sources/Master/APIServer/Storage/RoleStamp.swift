// When roles or bindings changed last: authorization keeps its compiled rules while this stays the same.
// Written on the replica's thread while it publishes a change, read by every request.
import KVCore
import KVReplica
import Synchronization

package final class RoleStamp: Sendable {
    private let revision = Atomic<Int64>(-1)

    /// Nil until the store is followed: nothing may be kept then.
    package var stamp: Int64? {
        let value = revision.load(ordering: .acquiring)
        return value < 0 ? nil : value
    }

    func follow(_ store: any ReplicatedStore) {
        let start = store.view().revision
        _ = store.watch(.prefix(Key("/registry/rbac.authorization.k8s.io/")), after: start) { [weak self] delivery in
            guard let self else { return }
            switch delivery {
            case .events(let changed, _): revision.store(changed.rawValue, ordering: .releasing)
            case .progress: break
            case .compacted, .reset:
                revision.store(-1, ordering: .releasing)
                follow(store)
            }
        }
        revision.store(start.rawValue, ordering: .releasing)
    }
}
