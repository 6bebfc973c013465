// Who may read the past from disk, and when. Each read decodes whole revisions and meets the lock of the state's writer:
// views wait in the pool's queue up to a limit and are refused above it, watches that replay go one at a time, so that
// they leave threads for the rest however many they are; what one has read the others find in memory (HistoryPasses).
import NIOCore
import Synchronization

package final class HistoryReads: Sendable {
    /// Views that wait or are being made.
    package static let viewsMax = 64
    /// Watches that have not caught up.
    static let replaysMax = 10_000

    private struct State {
        var views = 0
        var isReplayReading = false
        var waiting = CircularBuffer<UnsafeContinuation<Void, Never>>()
        var done = 0
    }
    private let state = Mutex(State())

    /// Reads of the state database since the start.
    package var total: Int { state.withLock { $0.done } }

    func count() { state.withLock { $0.done += 1 } }

    /// False: too many are under way.
    func beginView() -> Bool {
        state.withLock { state in
            guard state.views < Self.viewsMax else { return false }
            state.views += 1
            return true
        }
    }

    func endView() { state.withLock { $0.views -= 1 } }

    /// Returns when it is this replay's turn; in order of asking.
    func beginReplay() async {
        await withUnsafeContinuation { (waiting: UnsafeContinuation<Void, Never>) in
            let isNow = state.withLock { state in
                if state.isReplayReading { state.waiting.append(waiting) }
                defer { state.isReplayReading = true }
                return !state.isReplayReading
            }
            if isNow { waiting.resume() }
        }
    }

    func endReplay() {
        let next = state.withLock { state in
            let next = state.waiting.popFirst()
            state.isReplayReading = next != nil
            return next
        }
        next?.resume()
    }
}
