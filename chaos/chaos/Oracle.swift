// What clients were told, kept apart from the cluster: acknowledged writes with their values, unknown ones, times, and what a watch saw.
// A value behind a lock; it decides at the end whether the cluster kept its word.
import Synchronization

/// The end of a run.
struct ChaosReport {
    var text: String
    var isGood: Bool
}

final class Oracle: Sendable {
    private struct State {
        /// The highest acknowledged value of each key, and the highest that was tried.
        var acknowledged: [String: Int] = [:]
        var tried: [String: Int] = [:]
        var acknowledgedCount = 0
        var unknownCount = 0
        var times: [ContinuousClock.Instant] = []
        var gaps: [Int?] = []
        var staleReads: [String] = []
        var readCount = 0
        /// The values that the watch showed, for each key, in order.
        var seen: [String: [Int]] = [:]
        var watchFaults: [String] = []
        var resumed = 0
        /// Milliseconds from a fault until the scaled deployment had its pods ready behind its service; nil = not in time.
        var scaled: [Int?] = []
        var requests = 0
        var failedRequests = 0
        var refusals: [String] = []
    }
    private let state = Mutex(State())

    func willWrite(_ key: String, _ value: Int) { state.withLock { $0.tried[key] = value } }

    func acknowledge(_ key: String, _ value: Int) {
        state.withLock { state in
            state.acknowledged[key] = max(value, state.acknowledged[key] ?? 0)
            state.acknowledgedCount += 1
            state.times.append(.now)
        }
    }

    func unknown() { state.withLock { $0.unknownCount += 1 } }

    /// What a read that begins now must at least show.
    func floor(of key: String) -> Int { state.withLock { $0.acknowledged[key] ?? 0 } }

    func read(_ key: String, showed value: Int, atLeast floor: Int) {
        state.withLock { state in
            state.readCount += 1
            if value < floor { state.staleReads.append("\(key): read \(value), \(floor) was acknowledged before") }
        }
    }

    func event(_ key: String, _ value: Int) {
        state.withLock { state in
            let last = state.seen[key]?.last ?? 0
            if value <= last { state.watchFaults.append("\(key): the watch showed \(value) after \(last)") }
            state.seen[key, default: []].append(value)
        }
    }

    func watchFault(_ text: String) { state.withLock { $0.watchFaults.append(text) } }
    func watchResumed() { state.withLock { $0.resumed += 1 } }

    func scaled(_ milliseconds: Int?) { state.withLock { $0.scaled.append(milliseconds) } }
    func traffic(requests: Int, failed: Int) {
        state.withLock { ($0.requests, $0.failedRequests) = (requests, failed) }
    }

    /// A refusal that is tried again; the last ones are shown when something did not happen in time.
    func refused(_ text: String) {
        state.withLock { state in
            state.refusals.append(text)
            if state.refusals.count > Self.refusalsMax { state.refusals.removeFirst() }
        }
    }
    private static let refusalsMax = 3

    func record(gap: Int?) { state.withLock { $0.gaps.append(gap) } }

    /// Milliseconds of the longest pause between acknowledged writes since `began`; nil when there was none at all.
    func longestGap(since began: ContinuousClock.Instant) -> Int? {
        let times = state.withLock { $0.times.filter { $0 >= began } }.sorted()
        guard let first = times.first else { return nil }
        var longest = max(first - began, times.last.map { .now - $0 } ?? .zero)
        for (a, b) in zip(times, times.dropFirst()) { longest = max(longest, b - a) }
        return Int(longest / .milliseconds(1))
    }

    /// `stored` is what a linearizable list shows after the load has ended.
    func verdict(stored: [String: Int]) -> ChaosReport {
        state.withLock { state in
            let lost = state.acknowledged.filter { (stored[$0.key] ?? 0) < $0.value }
            let invented = stored.filter { $0.value > (state.tried[$0.key] ?? 0) }
            let unseen = state.acknowledged.filter { key, value in
                !(state.seen[key] ?? []).contains(value) && stored[key] == value
            }
            let events = state.seen.values.reduce(0) { $0 + $1.count }
            var lines = [
                "writes: \(state.acknowledgedCount) acknowledged, \(state.unknownCount) unknown, \(lost.count) lost,"
                    + " \(invented.count) invented",
                "reads: \(state.readCount) linearizable, \(state.staleReads.count) stale",
                "watch: \(events) events, resumed \(state.resumed) times, \(state.watchFaults.count) out of order,"
                    + " \(unseen.count) last values not seen",
                "gaps in ms of \(state.gaps.count) faults: " + Self.spread(state.gaps, missing: "without any write")
            ]
            if !state.scaled.isEmpty {
                lines.append(
                    "scaled deployment ready behind its service, ms after the fault: "
                        + Self.spread(state.scaled, missing: "not in time"))
                lines.append("service: \(state.requests) requests, \(state.failedRequests) failed")
            }
            lines += (state.staleReads + state.watchFaults + lost.map { "lost: \($0.key) = \($0.value)" }).prefix(10)
            let kept = lost.isEmpty && invented.isEmpty && state.staleReads.isEmpty && state.watchFaults.isEmpty
            let alive =
                state.acknowledgedCount > 0 && !state.seen.isEmpty && unseen.isEmpty && !state.gaps.contains(nil)
            let served = state.scaled.isEmpty || (state.requests > 0 && state.failedRequests == 0)
            let controlled = !state.scaled.contains(nil)
            if !controlled { lines += state.refusals.map { "refused: \($0)" } }
            return ChaosReport(text: lines.joined(separator: "\n"), isGood: kept && alive && served && controlled)
        }
    }

    private static func spread(_ values: [Int?], missing: String) -> String {
        let sorted = values.compactMap { $0 }.sorted()
        let absent = values.count - sorted.count
        guard let last = sorted.last else { return "\(absent) \(missing)" }
        func share(_ part: Double) -> Int { sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))] }
        return "min \(share(0)), median \(share(0.5)), p90 \(share(0.9)), max \(last)"
            + (absent == 0 ? "" : "; \(absent) \(missing)")
    }
}
