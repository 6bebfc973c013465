// The pods that wait for a node: ready ones in order of priority, refused ones until something changes, and in between
// a back-off. Pure: time is an argument in milliseconds. It holds keys only; the pods themselves stand in the core.

/// Where waiting pods stand.
package struct SchedulingQueue: Sendable {
    package static let backoffMillisecondsMin: Int64 = 1_000
    package static let backoffMillisecondsMax: Int64 = 10_000
    /// A refused pod is tried again after this even when nothing changed.
    package static let unschedulableMillisecondsMax: Int64 = 300_000

    private enum Place: Sendable {
        case ready
        case backoff(until: Int64)
        case refused(since: Int64)
    }

    private struct Entry: Sendable {
        var priority: Int64
        var serial: UInt64
        var attempts: Int
        var lastAttempt: Int64
        var place: Place
    }

    private struct Turn: Sendable {
        var priority: Int64
        var serial: UInt64
        var key: String
        static func before(_ left: Turn, _ right: Turn) -> Bool {
            left.priority != right.priority ? left.priority > right.priority : left.serial < right.serial
        }
    }

    private var entries: [String: Entry] = [:]
    private var heap: [Turn] = []
    private var serial: UInt64 = 0
    /// Keys that stand in back-off or are refused; the others need no look at the clock.
    private var resting: Set<String> = []
    /// Before this time no resting pod is due.
    private var nextWake = Int64.max

    package init() {}

    package var count: Int { entries.count }

    /// Adds a pod that may be tried at once; one that waits already keeps its place unless `again` says that it
    /// changed.
    package mutating func add(_ key: String, priority: Int64, again: Bool = false) {
        if let entry = entries[key] {
            if again || entry.priority != priority { makeReady(key, entry.attempts, entry.lastAttempt, priority) }
            return
        }
        makeReady(key, 0, 0, priority)
    }

    package mutating func remove(_ key: String) {
        entries[key] = nil
        resting.remove(key)
    }

    /// The pod whose turn it is; it stays known until `remove`, `refused` or `failed` is told.
    package mutating func next(now: Int64) -> String? {
        wake(now)
        while let turn = heap.popFirst(Turn.before) {
            guard let entry = entries[turn.key], entry.serial == turn.serial, case .ready = entry.place else {
                continue
            }
            entries[turn.key]?.attempts += 1
            entries[turn.key]?.lastAttempt = now
            entries[turn.key]?.place = .backoff(until: Int64.max)  // in flight
            return turn.key
        }
        return nil
    }

    /// No node takes the pod: it waits for a change.
    package mutating func refused(_ key: String, now: Int64) { rest(key, .refused(since: now)) }

    /// Something went wrong on the way: it is tried again after its back-off.
    package mutating func failed(_ key: String, now: Int64) {
        guard let entry = entries[key] else { return }
        rest(key, .backoff(until: now &+ Self.backoff(entry.attempts)))
    }

    /// Something changed that may help refused pods.
    package mutating func clusterChanged(now: Int64) {
        for key in resting.sorted() {
            guard let entry = entries[key], case .refused = entry.place else { continue }
            let until = entry.lastAttempt &+ Self.backoff(entry.attempts)
            if until <= now {
                makeReady(key, entry.attempts, entry.lastAttempt, entry.priority)
            } else {
                rest(key, .backoff(until: until))
            }
        }
    }

    /// Puts back everything that was in flight, at the loss of leadership.
    package mutating func reset() {
        for (key, entry) in entries.sorted(by: { $0.value.serial < $1.value.serial }) {
            makeReady(key, 0, 0, entry.priority)
        }
    }

    /// When `next` may give something again, nil when only a change can help.
    package func deadline() -> Int64? {
        if !heap.isEmpty { return 0 }
        return resting.isEmpty ? nil : nextWake
    }

    private static func backoff(_ attempts: Int) -> Int64 {
        min(backoffMillisecondsMax, backoffMillisecondsMin << Int64(min(max(attempts - 1, 0), 10)))
    }

    private mutating func rest(_ key: String, _ place: Place) {
        guard entries[key] != nil else { return }
        entries[key]?.place = place
        resting.insert(key)
        nextWake = min(nextWake, Self.due(place))
    }

    private static func due(_ place: Place) -> Int64 {
        switch place {
        case .ready: 0
        case .backoff(let until): until
        case .refused(let since): since &+ unschedulableMillisecondsMax
        }
    }

    private mutating func makeReady(_ key: String, _ attempts: Int, _ lastAttempt: Int64, _ priority: Int64) {
        serial += 1
        entries[key] = Entry(
            priority: priority, serial: serial, attempts: attempts, lastAttempt: lastAttempt, place: .ready)
        resting.remove(key)
        heap.push(Turn(priority: priority, serial: serial, key: key), Turn.before)
    }

    private mutating func wake(_ now: Int64) {
        guard nextWake <= now else { return }
        nextWake = Int64.max
        for key in resting.sorted() {
            guard let entry = entries[key] else { continue }
            let due = Self.due(entry.place)
            if due <= now {
                makeReady(key, entry.attempts, entry.lastAttempt, entry.priority)
            } else {
                nextWake = min(nextWake, due)
            }
        }
    }
}

/// A binary heap in an array.
extension Array {
    mutating func push(_ element: Element, _ before: (Element, Element) -> Bool) {
        append(element)
        var i = count - 1
        while i > 0, before(self[i], self[(i - 1) / 2]) {
            swapAt(i, (i - 1) / 2)
            i = (i - 1) / 2
        }
    }

    mutating func popFirst(_ before: (Element, Element) -> Bool) -> Element? {
        guard let first else { return nil }
        let last = removeLast()
        guard !isEmpty else { return first }
        self[0] = last
        var i = 0
        while true {
            var least = i
            for child in [2 * i + 1, 2 * i + 2] where child < count && before(self[child], self[least]) {
                least = child
            }
            if least == i { return first }
            swapAt(i, least)
            i = least
        }
    }
}
