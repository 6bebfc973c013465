// Leases: keys that vanish when nobody keeps them alive. Deadlines are in log time (milliseconds that leaders add up
// and replicate). A lease never expires by a local clock: the leader proposes an expiry, and every peer checks it
// against log time.

/// A granted lease.
package struct Lease: Hashable, Sendable {
    package var id: LeaseID
    package var ttlMilliseconds: Int64
    /// In log time.
    package var deadline: Int64
    /// The keys that end with it: deleted in order when it does.
    package var keys: Set<Key>

    package init(id: LeaseID, ttlMilliseconds: Int64, deadline: Int64, keys: Set<Key> = []) {
        self.id = id
        self.ttlMilliseconds = ttlMilliseconds
        self.deadline = deadline
        self.keys = keys
    }
}

extension Lease {
    /// Without its keys: the records name their lease.
    var hash64: UInt64 {
        var hash = Hash64()
        hash.add(UInt64(bitPattern: id.rawValue))
        hash.add(UInt64(bitPattern: ttlMilliseconds))
        hash.add(UInt64(bitPattern: deadline))
        return hash.value
    }
}

/// All leases by id.
package struct LeaseTable: Sendable {
    package static let leasesMax = 100_000
    package private(set) var leases: [LeaseID: Lease] = [:]
    /// The sum of the hashes of all leases: kept as they change.
    private(set) var hash: UInt64 = 0
    /// Changed since the disk was last told.
    var dirty: Set<LeaseID> = []

    package init() {}

    package subscript(_ id: LeaseID) -> Lease? { leases[id] }
    package var sorted: [Lease] { leases.values.sorted { $0.id < $1.id } }

    mutating func set(_ lease: Lease) {
        hash &-= leases[lease.id]?.hash64 ?? 0
        hash &+= lease.hash64
        leases[lease.id] = lease
        dirty.insert(lease.id)
    }

    mutating func remove(_ id: LeaseID) -> Lease? {
        dirty.insert(id)
        let lease = leases.removeValue(forKey: id)
        hash &-= lease?.hash64 ?? 0
        return lease
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
