// What leases promise: none ends before its time (counted from when it was asked for, or last kept alive), each ends by
// log time only, and no change of leaders moves a deadline.

import KVCore
import Raft

/// What clients were promised about their leases.
struct LeaseOracle {
    private struct Promise {
        var ttl: UInt64
        /// In simulated microseconds.
        var end: UInt64
        /// Keep-alives that were begun and have no answer: some never get one.
        var open = 0
        /// Where they have moved it to.
        var deadlines: Set<Int64> = []
        var mayBeRevoked = false
        /// `jumped` when the keep-alive under way began.
        var jumpedBefore: UInt64 = 0
    }
    /// Log time is in whole milliseconds.
    static let resolution: UInt64 = 1_000
    /// A leader's clock may run so much faster than time, out of 1000.
    var fastest: UInt64 = 1_000
    private var promises: [LeaseID: Promise] = [:]
    private(set) var ended = 0
    /// By how much leaders' clocks jumped, as far as it counts.
    private var jumped: UInt64 = 0

    /// Asked for at `now`.
    mutating func ask(_ lease: UInt64, ttlMilliseconds: UInt64, now: UInt64) {
        let ttl = ttlMilliseconds * 1_000_000 / fastest
        promises[Request.leaseID(lease)] = Promise(ttl: ttl, end: now + ttl)
    }

    mutating func beginKeep(_ lease: UInt64) {
        promises[Request.leaseID(lease)]?.open += 1
        promises[Request.leaseID(lease)]?.jumpedBefore = jumped
    }
    mutating func beginRevoke(_ lease: UInt64) { promises[Request.leaseID(lease)]?.mayBeRevoked = true }

    /// A keep-alive that began at `begun` was acknowledged.
    mutating func prolong(_ lease: UInt64, begun: UInt64) {
        guard let promise = promises[Request.leaseID(lease)] else { return }
        promises[Request.leaseID(lease)]?.open -= 1
        promises[Request.leaseID(lease)]?.end = max(
            promise.end, begun + promise.ttl - min(promise.ttl, jumped - promise.jumpedBefore))
    }

    /// A leader's clock jumped ahead: so much of it counts as time.
    mutating func clockJumped(by microseconds: UInt64) {
        jumped += microseconds
        promises = promises.mapValues { promise in
            var promise = promise
            promise.end -= min(microseconds, promise.end)
            return promise
        }
    }

    /// A complaint, when the lease may not have ended yet. Clients delete nothing: what vanishes had a lease.
    mutating func end(_ lease: LeaseID, now: UInt64) -> String? {
        guard let promise = promises[lease] else { return "a key without a lease vanished" }
        ended += 1
        if promise.mayBeRevoked || now + Self.resolution >= promise.end { return nil }
        return "lease \(lease.rawValue) ended \(promise.end - now) us too early"
    }

    /// How a replica's leases changed while it applied something.
    mutating func check(_ before: [LeaseID: Lease], _ state: StateMachine) -> String? {
        for (id, old) in before {
            let promise = promises[id]
            if let new = state.leases[id] {
                if new.deadline == old.deadline || promise?.deadlines.contains(new.deadline) == true { continue }
                if let promise, promise.open > 0 {
                    promises[id]?.deadlines.insert(new.deadline)
                    continue
                }
                return "lease \(id.rawValue) moved from \(old.deadline) to \(new.deadline), and nobody kept it alive"
            }
            let isKept = promise.map { $0.open > 0 || !$0.deadlines.isEmpty } ?? false
            guard old.deadline > state.logTime, !isKept, promise?.mayBeRevoked != true else { continue }
            return "lease \(id.rawValue) ended at log time \(state.logTime), before \(old.deadline)"
        }
        return nil
    }
}
