// Events go away by themselves: each is written under a lease of the store that many share. A new lease is taken now
// and then; without one (no leader, just now) an event is written all the same and stays until it is deleted.
import API
import KVCore
import Synchronization

final class EventLease: Sendable {
    static let timeToLiveSeconds: Int64 = 3600
    /// A lease is given to new events for so long.
    static let shareSeconds: Double = 600

    private let current = Mutex<(lease: LeaseID, since: Double)?>(nil)

    /// The lease to write an event under.
    func lease(_ store: any ReplicatedStore, now: Double) async -> LeaseID {
        let found = current.withLock { current in
            current.flatMap { now - $0.since < Self.shareSeconds && now >= $0.since ? $0.lease : nil }
        }
        if let found { return found }
        do {
            let made = try await store.grantLease(ttlSeconds: Self.timeToLiveSeconds + Int64(Self.shareSeconds))
            current.withLock { $0 = (made, now) }
            return made
        } catch {
            return .none
        }
    }

    /// The store does not know the lease (any more).
    func forget() { current.withLock { $0 = nil } }
}
