// What a store acknowledged, kept outside of it: each writer counts up in a key of its own. What is stored must be at
// least what was acknowledged, and never more than what was tried.
import NIOCore
import Synchronization

final class Promises: Sendable {
    static let prefix = "w-"
    private let state = Mutex<[String: (acknowledged: Int, tried: Int)]>([:])

    /// The value to write next.
    func next(_ key: String) -> Int {
        state.withLock { state in
            state[key, default: (0, 0)].tried += 1
            return state[key]?.tried ?? 0
        }
    }

    func acknowledge(_ key: String, _ value: Int) { state.withLock { $0[key]?.acknowledged = value } }

    var acknowledged: Int { state.withLock { $0.values.reduce(0) { $0 + $1.acknowledged } } }

    /// What of it the store did not keep, in words.
    func broken(by stored: [String: Int]) -> [String] {
        state.withLock { state in
            state.sorted { $0.key < $1.key }.compactMap { key, promise in
                let value = stored[key] ?? 0
                if value < promise.acknowledged { return "\(key): \(value), acknowledged \(promise.acknowledged)" }
                return value > promise.tried ? "\(key): \(value), tried \(promise.tried)" : nil
            }
        }
    }

    /// For the time, and until so many more were acknowledged, or the store has ended; for a minute at most.
    func grow(by count: Int, afterMilliseconds: Int, in store: StoreProcess) async throws {
        let before = acknowledged
        let begin = ContinuousClock.now
        while !store.hasEnded, ContinuousClock.now - begin < .seconds(60) {
            if ContinuousClock.now - begin >= .milliseconds(afterMilliseconds), acknowledged >= before + count {
                return
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Writers at work for the time of `body`.
    func write(to store: StoreProcess, writers: Int = 4, during body: () async throws -> Void) async throws {
        let tasks = (0..<writers).map { number in
            Task {
                let key = "\(Self.prefix)\(number)"
                while !Task.isCancelled, !store.hasEnded {
                    let value = next(key)
                    if await store.put(key, String(value), within: .seconds(2)) { acknowledge(key, value) }
                }
            }
        }
        do { try await body() } catch {
            for task in tasks { task.cancel() }
            throw error
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}
