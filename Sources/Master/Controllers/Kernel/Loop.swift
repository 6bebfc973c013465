// The shell around one controller: a queue of keys, at most a few in work at once, back-off for failures, and a session
// while this master leads. Without a session nothing is queued and nothing acts.

import API
import Synchronization

/// Runs one controller.
package final class Loop: Sendable {
    /// Works on one key: plans, performs, and tells what became of it.
    typealias Work = @Sendable (_ key: String, Session) async -> Performed

    private struct State {
        var queue = KeyQueue()
        var expectations = Expectations()
        var session: Session?
        /// Raised with every change of leadership: what an older one left behind is ignored.
        var term = 0
        var timers: [String: Int64] = [:]
    }

    package let name: String
    private let width: Int
    private let caches: Caches
    private let seed: @Sendable () -> [String]
    private let work: Work
    private let state = Mutex(State())

    /// `seed` gives all keys: they are looked at when leadership begins. `width` keys are in work at once.
    init(
        _ name: String, _ caches: Caches, width: Int = 8, seed: @escaping @Sendable () -> [String], work: @escaping Work
    ) {
        self.name = name
        self.width = width
        self.caches = caches
        self.seed = seed
        self.work = work
    }

    package func enqueue(_ key: String) {
        state.withLock { state in
            guard state.session != nil else { return }
            state.queue.add(key)
            pump(&state)
        }
    }

    package func activate(_ session: Session) {
        let keys = seed()
        state.withLock { state in
            state = State(session: session.named(name), term: state.term + 1)
            for key in keys { state.queue.add(key) }
            pump(&state)
        }
    }

    package func deactivate() {
        state.withLock { $0 = State(term: $0.term + 1) }
    }

    private func pump(_ state: inout State) {
        guard let session = state.session else { return }
        let term = state.term
        while state.queue.runningCount < width, let key = state.queue.take() {
            Task { await self.handle(key, session, term) }
        }
    }

    private func handle(_ key: String, _ session: Session, _ term: Int) async {
        let open = state.withLock { $0.term == term ? $0.expectations.open(for: key, now: session.now()) : nil }
        guard let open else { return }
        // The caches are asked without the lock: their handlers take it while they hold their own.
        guard open.allSatisfy({ caches.isMet($0) }) else { return finish(key, Performed(again: 5), session, term) }
        state.withLock { if $0.term == term { $0.expectations.met(for: key) } }
        finish(key, await work(key, session), session, term)
    }

    private func finish(_ key: String, _ performed: Performed, _ session: Session, _ term: Int) {
        state.withLock { state in
            guard state.term == term else { return }
            state.expectations.expect(performed.written, for: key, now: session.now())
            let delay = state.queue.done(key, failed: !performed.failures.isEmpty)
            if let wait = [delay, performed.again].compactMap({ $0 }).min() { later(key, wait, &state, session, term) }
            pump(&state)
        }
    }

    /// One timer a key: the earliest counts.
    private func later(_ key: String, _ milliseconds: Int64, _ state: inout State, _ session: Session, _ term: Int) {
        let due = session.now() &+ milliseconds
        if let known = state.timers[key], known <= due { return }
        state.timers[key] = due
        Task {
            do { try await Task.sleep(for: .milliseconds(milliseconds)) } catch { return }
            self.state.withLock { state in
                guard state.term == term, state.timers[key] == due else { return }
                state.timers[key] = nil
                state.queue.add(key)
                self.pump(&state)
            }
        }
    }
}
