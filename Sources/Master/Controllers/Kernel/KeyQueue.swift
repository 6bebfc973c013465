// The keys that a control loop has to look at: each at most once in the queue and once in work, failures with a growing
// delay. Pure; the loop around it owns tasks and timers.

/// A queue of keys without doubles.
package struct KeyQueue: Sendable {
    package static let backoffMillisecondsMin: Int64 = 10
    package static let backoffMillisecondsMax: Int64 = 10_000

    private var order: [String] = []
    private var head = 0
    private var queued: Set<String> = []
    private var running: Set<String> = []
    /// Asked for again while in work.
    private var dirty: Set<String> = []
    private var failures: [String: Int] = [:]

    package init() {}

    package var count: Int { queued.count }
    package var runningCount: Int { running.count }

    package mutating func add(_ key: String) {
        if running.contains(key) {
            dirty.insert(key)
        } else if queued.insert(key).inserted {
            order.append(key)
        }
    }

    /// The next key, now in work until `done`.
    package mutating func take() -> String? {
        guard head < order.count else { return nil }
        let key = order[head]
        head += 1
        if head > 1024 && head * 2 > order.count {
            order.removeFirst(head)
            head = 0
        }
        queued.remove(key)
        running.insert(key)
        return key
    }

    /// The work on a key ended; a failed one should be added again after the returned delay.
    package mutating func done(_ key: String, failed: Bool) -> Int64? {
        running.remove(key)
        if dirty.remove(key) != nil { add(key) }
        guard failed else {
            failures[key] = nil
            return nil
        }
        let count = failures[key, default: 0]
        failures[key] = count + 1
        return min(Self.backoffMillisecondsMax, Self.backoffMillisecondsMin << Int64(min(count, 20)))
    }
}
