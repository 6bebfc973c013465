// What clients may see. It learns the one true history from the watches of all replicas, which must tell the same, and
// it knows what was acknowledged when. Values are unique, so a value names the write.

import KVCore
import Raft

/// The order of writes, and how much of it was shown to clients.
struct Oracle {
    /// Revision of each value.
    private var places: [UInt64: Revision] = [:]
    private var previous: [UInt64: Revision] = [:]
    /// What each revision did.
    private var told: [Revision: UInt64] = [:]
    private var lastOf: [Key: Revision] = [:]
    /// The same, but zero for a key that is gone.
    private var livingOf: [Key: Revision] = [:]
    private var floors = [Revision](repeating: .zero, count: Request.keys)
    /// Values of writes that were refused for good.
    private var impossible: Set<UInt64> = []
    var leases = LeaseOracle()

    func floor(of key: Int) -> Revision { floors[key] }

    /// Events of one revision, from anybody's watch.
    mutating func tell(_ revision: Revision, _ events: [KVEvent], now: UInt64) -> String? {
        let fingerprint = Oracle.fingerprint(events)
        if let known = told[revision] {
            return known == fingerprint ? nil : "watches tell different things about revision \(revision)"
        }
        told[revision] = fingerprint
        for event in events {
            if let complaint = learn(event, revision, now: now) { return complaint }
        }
        return nil
    }

    private mutating func learn(_ event: KVEvent, _ revision: Revision, now: UInt64) -> String? {
        let key = event.current.key, last = lastOf[key] ?? .zero
        guard event.current.modRevision == revision else {
            return "an event of \(revision) says \(event.current.modRevision)"
        }
        guard revision > last else { return "key \(key.bytes) went back from \(last) to \(revision)" }
        let living = livingOf[key] ?? .zero
        guard (event.previous?.modRevision ?? .zero) == living else {
            return "revision \(revision) forgot the write at \(living)"
        }
        lastOf[key] = revision
        livingOf[key] = event.kind == .put ? revision : .zero
        guard event.kind == .put else { return leases.end(event.previous?.lease ?? .none, now: now) }
        let value = Request.decode(event.current.value)
        if let first = places[value] { return "write \(value) was executed twice, at \(first) and \(revision)" }
        if impossible.contains(value) { return "write \(value) was refused for good, and then executed" }
        places[value] = revision
        previous[value] = living
        return nil
    }

    mutating func refuse(_ value: UInt64) -> String? {
        impossible.insert(value)
        return places[value].map { "write \(value) was refused for good, and is at \($0)" }
    }

    /// A complaint, when an acknowledged write did not happen, or before what was seen when it began.
    mutating func acknowledge(_ request: Request, at revision: Revision, floor: Revision) -> String? {
        guard let value = request.value, let place = places[value] else {
            return "\(request.kind) was acknowledged and never seen"
        }
        guard place == revision else { return "\(request.kind) was acknowledged at \(revision) and is at \(place)" }
        if case .lend = request.kind { return nil }
        guard place > floor else { return "\(request.kind) at \(place) stands before \(floor), seen when it began" }
        if case .swap(_, let expected) = request.kind, previous[value] != expected {
            return "a swap of \(expected) replaced the write at \(previous[value] ?? .zero)"
        }
        floors[request.key] = max(floors[request.key], place)
        return nil
    }

    /// A complaint, when a read shows less than what was acknowledged or read before it began.
    mutating func observe(_ request: Request, value: UInt64, at revision: Revision, floor: Revision) -> String? {
        if value != 0 || revision != .zero {
            guard let place = places[value] else { return "a read shows \(value), which never happened" }
            guard place == revision else { return "a read shows \(value) at \(revision), it is at \(place)" }
        }
        guard revision >= floor else {
            return "stale read of key \(request.key): \(revision), but \(floor) was seen when it began"
        }
        floors[request.key] = max(floors[request.key], revision)
        return nil
    }

    private static func fingerprint(_ events: [KVEvent]) -> UInt64 {
        var hash = Hash64()
        for event in events {
            hash.add(UInt64(event.kind.rawValue))
            hash.add(event.current.key.bytes)
            hash.add(event.current.value)
            hash.add(UInt64(bitPattern: event.current.version))
            hash.add(UInt64(bitPattern: event.current.createRevision.rawValue))
            hash.add(UInt64(bitPattern: event.previous?.modRevision.rawValue ?? 0))
        }
        return hash.value
    }
}
