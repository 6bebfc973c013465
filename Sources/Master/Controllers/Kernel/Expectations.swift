// What a control loop has written and must see in its own caches before it plans again for the same key; else it would
// create or delete twice. A write is seen when the cache shows its revision, a deletion when the object is gone or
// going.

import API

/// Something written that a cache does not show yet.
package enum Awaited: Sendable, Hashable {
    case revision(GroupVersionResource, UInt64)
    case gone(GroupVersionResource, Target)
}

/// Expectations by key. Pure: the loop asks the caches.
package struct Expectations: Sendable {
    /// After this an expectation is given up: the caches are then taken for what they show.
    package static let millisecondsMax: Int64 = 5_000

    private struct Pending: Sendable {
        var list: [Awaited]
        var since: Int64
    }
    private var pending: [String: Pending] = [:]

    package init() {}

    package mutating func expect(_ list: [Awaited], for key: String, now: Int64) {
        if !list.isEmpty { pending[key] = Pending(list: list, since: now) }
    }

    /// What is not known to be seen yet, empty when nothing is waited for any more.
    package mutating func open(for key: String, now: Int64) -> [Awaited] {
        guard let waiting = pending[key] else { return [] }
        if waiting.since &+ Self.millisecondsMax >= now { return waiting.list }
        pending[key] = nil
        return []
    }

    /// The caches show everything now.
    package mutating func met(for key: String) { pending[key] = nil }
}
