// How long a backend owes an answer to one connection: since the first bytes that the client sent after the backend's last ones.
// Both directions may live on different threads, and every read passes here: two atomic words, no lock.
// Bytes that want no answer (a window update of HTTP/2) count too; a probe that succeeds forgives them.
import NIOCore
import Synchronization

package final class Silence: Sendable {
    /// Nanoseconds of the monotonic clock; 0 when nothing is owed.
    private let since = Atomic<UInt64>(0)

    package init() {}

    /// The client sent bytes. True when nothing was owed before.
    package func asked(at now: NIODeadline = .now()) -> Bool {
        guard since.load(ordering: .relaxed) == 0 else { return false }
        return since.compareExchange(expected: 0, desired: now.uptimeNanoseconds, ordering: .relaxed).exchanged
    }

    /// The backend sent bytes.
    package func answered() {
        if since.load(ordering: .relaxed) != 0 { since.store(0, ordering: .relaxed) }
    }

    /// Since when an answer is owed.
    package var owedSince: NIODeadline? {
        let value = since.load(ordering: .relaxed)
        return value == 0 ? nil : .uptimeNanoseconds(value)
    }

    /// The backend was seen to live at `moment`: what was asked before it wants no answer, or a slow one.
    package func forgive(before moment: NIODeadline) {
        let value = since.load(ordering: .relaxed)
        guard value != 0, value < moment.uptimeNanoseconds else { return }
        _ = since.compareExchange(expected: value, desired: 0, ordering: .relaxed)
    }
}
