// Leases: keys that vanish when nobody keeps them alive. Deadlines are in log time (milliseconds that leaders add up
// and replicate). A lease never expires by a local clock: the leader proposes an expiry, and every peer checks it
// against log time.

/// A granted lease.
package struct Lease: Hashable, Sendable {
    package var id: LeaseID
    package var ttlMilliseconds: Int64
    /// In log time.
    package var deadline: Int64
    /// The keys that end with it, in order.
    package var keys: Set<Key>

    package init(id: LeaseID, ttlMilliseconds: Int64, deadline: Int64, keys: Set<Key> = []) {
        self.id = id
        self.ttlMilliseconds = ttlMilliseconds
        self.deadline = deadline
        self.keys = keys
    }
}

/// All leases by id.
package struct LeaseTable: Sendable {
    package static let leasesMax = 100_000
    package private(set) var leases: [LeaseID: Lease] = [:]
    /// Changed since the disk was last told.
    var dirty: Set<LeaseID> = []

    package init() {}

    package subscript(_ id: LeaseID) -> Lease? { leases[id] }
    package var sorted: [Lease] { leases.values.sorted { $0.id < $1.id } }

    mutating func set(_ lease: Lease) {
        leases[lease.id] = lease
        dirty.insert(lease.id)
    }

    mutating func remove(_ id: LeaseID) -> Lease? {
        dirty.insert(id)
        return leases.removeValue(forKey: id)
    }

    mutating func attach(_ key: Key, to id: LeaseID) {
        guard id != .none else { return }
        leases[id]?.keys.insert(key)
    }

    mutating func detach(_ key: Key, from id: LeaseID) {
        guard id != .none else { return }
        leases[id]?.keys.remove(key)
    }

    /// Leases whose deadline log time has reached, in order.
    package func expired(at logTime: Int64) -> [LeaseID] {
        leases.values.filter { $0.deadline <= logTime }.map(\.id).sorted()
    }
}
