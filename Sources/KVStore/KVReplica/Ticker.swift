// Calls back again and again on an event loop, after a wait that is asked anew each time.
// A task that was replaced after the loop had chosen it to run still comes, and must not beget a second chain: each has a number.
import NIOCore

/// Unchecked: only its event loop touches it.
package final class Ticker: @unchecked Sendable {
    private let eventLoop: any EventLoop
    private let wait: () -> TimeAmount
    private let tick: () -> Void
    private var next: Scheduled<Void>?
    private var number: UInt64 = 0
    private var isStopped = false

    package init(_ eventLoop: any EventLoop, wait: @escaping () -> TimeAmount, tick: @escaping () -> Void) {
        self.eventLoop = eventLoop
        self.wait = wait
        self.tick = tick
    }

    /// The next tick comes one wait from now, whatever was due before.
    package func restart() {
        guard !isStopped else { return }
        next?.cancel()
        number += 1
        let mine = number
        next = eventLoop.scheduleTask(in: wait()) { [self] in
            guard mine == number else { return }
            tick()
            if mine == number { restart() }
        }
    }

    package func stop() {
        isStopped = true
        number += 1
        next?.cancel()
        next = nil
    }
}
