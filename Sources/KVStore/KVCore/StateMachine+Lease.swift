// Lease commands. Deadlines move in log time only; an expiry names leases, and each is checked again when it is
// applied, so that a keep-alive that was committed first wins.

extension StateMachine {
    package static let ttlMillisecondsMax: Int64 = 9_000_000_000 * 1000

    mutating func grant(_ wanted: LeaseID, _ ttl: Int64, seed: UInt64) -> Outcome {
        guard leases.leases.count < LeaseTable.leasesMax else { return .refused(.tooManyLeases) }
        var id = wanted
        if id == .none {
            var pick = mix64(seed)
            while id == .none || leases[id] != nil {
                id = LeaseID(rawValue: Int64(bitPattern: pick & 0x7fff_ffff_ffff_ffff))
                pick = mix64(pick)
            }
        }
        guard leases[id] == nil else { return .refused(.leaseExists) }
        let bounded = min(max(ttl, 1), Self.ttlMillisecondsMax)
        leases.set(Lease(id: id, ttlMilliseconds: bounded, deadline: logTime &+ bounded))
        return .lease(id, ttlMilliseconds: bounded)
    }

    mutating func revoke(_ id: LeaseID, _ change: inout Change) -> Outcome {
        guard end(id, &change) else { return .refused(.leaseNotFound) }
        return .done(change.events.isEmpty ? revision : change.revision)
    }

    mutating func keepAlive(_ ids: [LeaseID]) -> Outcome {
        .kept(
            ids.map { id in
                guard var lease = leases[id] else { return 0 }
                lease.deadline = max(lease.deadline, logTime &+ lease.ttlMilliseconds)
                leases.set(lease)
                return lease.ttlMilliseconds
            })
    }

    mutating func expire(_ ids: [LeaseID], _ change: inout Change) -> Outcome {
        for id in ids {
            guard let lease = leases[id], lease.deadline <= logTime else { continue }
            _ = end(id, &change)
        }
        return .done(change.events.isEmpty ? revision : change.revision)
    }

    private mutating func end(_ id: LeaseID, _ change: inout Change) -> Bool {
        guard let lease = leases.remove(id) else { return false }
        for key in lease.keys.sorted() { _ = remove(key, &change) }
        return true
    }
}
