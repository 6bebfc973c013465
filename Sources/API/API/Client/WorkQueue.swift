// The queue of keys that a control loop works off: a key that waits is there once, a key that is being worked on is
// handed out again only after it is done, failures come back with growing delay. Bounded by the number of distinct
// keys. It must never hand one key to two workers at a time, nor lose a key that was added while it was worked on.
import Synchronization

package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
    private let state: Mutex<WorkQueueState<Key>>
    private let backoffSecondsMin: Double
    private let backoffSecondsMax: Double

    package init(backoffSecondsMin: Double = 0.005, backoffSecondsMax: Double = 30) {
        self.backoffSecondsMin = backoffSecondsMin
        self.backoffSecondsMax = backoffSecondsMax
        state = Mutex(WorkQueueState())
    }

    package var count: Int { state.withLock { $0.depth } }

    /// Asks for a key to be worked on soon.
    package func add(_ key: Key) {
        let handover = state.withLock { state in
            state.delayed[key] = nil
            return state.add(key)
        }
        handover?.resume(returning: key)
    }

    /// Asks for a key to be worked on later; of several requests the earliest counts.
    package func add(_ key: Key, afterSeconds seconds: Double) {
        guard seconds > 0 else { return add(key) }
        let due = ContinuousClock.now + .seconds(seconds)
        let isNew = state.withLock { state in
            guard !state.isClosed else { return false }
            if let earlier = state.delayed[key], earlier <= due { return false }
            state.delayed[key] = due
            return true
        }
        guard isNew else { return }
        Task { [weak self] in
            do { try await Task.sleep(until: due, clock: .continuous) } catch { return }
            self?.release(key, due: due)
        }
    }

    private func release(_ key: Key, due: ContinuousClock.Instant) {
        let handover = state.withLock { state -> CheckedContinuation<Key?, Never>? in
            guard state.delayed[key] == due else { return nil }
            state.delayed[key] = nil
            return state.add(key)
        }
        handover?.resume(returning: key)
    }

    /// Asks for a key again after a failure: each failure doubles the delay, `forget` resets it.
    package func addRateLimited(_ key: Key) {
        let failures = state.withLock { state in
            state.failures[key, default: 0] += 1
            return state.failures[key, default: 1]
        }
        let delay = backoffSecondsMin * Double(1 << min(failures - 1, 30))
        add(key, afterSeconds: min(delay, backoffSecondsMax))
    }

    /// Work on the key succeeded: the next failure begins with the shortest delay.
    package func forget(_ key: Key) { state.withLock { _ = $0.failures.removeValue(forKey: key) } }

    package func failures(of key: Key) -> Int { state.withLock { $0.failures[key] ?? 0 } }

    /// The next key, once there is one; nil after `shutDown()`. Call `done` for it when the work is over.
    package func next() async -> Key? {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> Key?? in
                if let key = state.take() { return .some(key) }
                if state.isClosed { return .some(nil) }
                state.waiters.append(continuation)
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }

    /// The work on a key is over; when it was added meanwhile, it waits again.
    package func done(_ key: Key) {
        let handover = state.withLock { state in
            state.working.remove(key)
            return state.dirty.remove(key) == nil ? nil : state.add(key)
        }
        handover?.resume(returning: key)
    }

    /// Ends all waiting workers; later additions are ignored.
    package func shutDown() {
        let waiters = state.withLock { state in
            state.isClosed = true
            state.delayed = [:]
            let waiters = state.waiters
            state.waiters = []
            return waiters
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    /// Runs `workers` tasks until `shutDown()` or cancellation: `work` returns normally for success and throws for
    /// "again, later".
    package func run(workers: Int = 1, _ work: @escaping @Sendable (Key) async throws -> Void) async {
        await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<workers { group.addTask { await self.drain(work) } }
            }
        } onCancel: {
            shutDown()
        }
    }

    private func drain(_ work: @Sendable (Key) async throws -> Void) async {
        while let key = await next() {
            do {
                try await work(key)
                forget(key)
            } catch {
                addRateLimited(key)
            }
            done(key)
        }
    }
}

struct WorkQueueState<Key: Hashable & Sendable> {
    var waiting: [Key] = []
    private var head = 0
    var queued: Set<Key> = []
    var working: Set<Key> = []
    /// Added while being worked on.
    var dirty: Set<Key> = []
    var delayed: [Key: ContinuousClock.Instant] = [:]
    var failures: [Key: Int] = [:]
    var waiters: [CheckedContinuation<Key?, Never>] = []
    var isClosed = false
    /// How many keys wait.
    var depth: Int { waiting.count - head }

    /// Queues a key; the worker to resume with it when one waits.
    mutating func add(_ key: Key) -> CheckedContinuation<Key?, Never>? {
        guard !isClosed else { return nil }
        if working.contains(key) {
            dirty.insert(key)
            return nil
        }
        guard queued.insert(key).inserted else { return nil }
        guard !waiters.isEmpty else {
            waiting.append(key)
            return nil
        }
        queued.remove(key)
        working.insert(key)
        return waiters.removeFirst()
    }

    mutating func take() -> Key? {
        guard !isClosed, head < waiting.count else { return nil }
        let key = waiting[head]
        head += 1
        if head > 64 && head * 2 > waiting.count {
            waiting.removeFirst(head)
            head = 0
        }
        queued.remove(key)
        working.insert(key)
        return key
    }
}
