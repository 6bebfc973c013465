// Gaps in acknowledged writes, seen by clients of the survivors: after SIGKILL of the leader, and around a planned
// transfer. Writes are sent every two milliseconds whether or not earlier ones were answered, so that a request that the
// dead leader took with it does not count as the gap.
import Glibc
import NIOCore

/// Writes at a pace, and when each was sent and acknowledged.
final class Pulse: @unchecked Sendable {
    static let everyMicroseconds: Int64 = 2000
    static let pendingMax = 4000

    private final class One: CallOwner {
        let sent = Clock.nanoseconds()
        let pulse: Pulse
        init(_ pulse: Pulse) { self.pulse = pulse }
        func ended(_ end: CallEnd) {
            pulse.pending -= 1
            if end.status == 0 { pulse.acknowledged.append((sent, Clock.nanoseconds())) } else { pulse.failed += 1 }
        }
    }
    private let connections: [Connection]
    private let template = Requests.put(valueBytes: 64)
    private var number = 0
    private var pending = 0
    private var isRunning = true
    fileprivate var acknowledged: [(sent: UInt64, answered: UInt64)] = []
    fileprivate var failed = 0

    init(_ connections: [Connection]) { self.connections = connections }

    func start(_ loop: any EventLoop) {
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(Self.everyMicroseconds)) { [self] task in
            guard isRunning else { return task.cancel() }
            guard pending < Self.pendingMax else { return }
            pending += 1
            number += 1
            connections[number % connections.count].call(Path.put, template.make(number % 1000), One(self))
        }
    }

    func stop() { isRunning = false }

    /// The first answer to a write that was sent after the time.
    func firstAnswer(after time: UInt64) -> UInt64? {
        acknowledged.lazy.filter { $0.sent > time }.map(\.answered).min()
    }

    /// The longest time without an answer since `time`, and requests that failed.
    func longestGap(since time: UInt64) -> (gap: UInt64, failed: Int) {
        var last = time
        var longest: UInt64 = 0
        for answered in acknowledged.map(\.answered).filter({ $0 > time }).sorted() {
            longest = max(longest, answered - last)
            last = answered
        }
        return (longest, failed)
    }
}

/// One gap.
struct Gap: Sendable {
    var system: System
    var kind: String
    var milliseconds: Double
    var failed: Int
}

extension Session {
    /// Kills the leader, measures, starts it again and waits until all is well.
    func killLeader() throws -> Gap {
        let victim = leader
        let pulse = Pulse(try (0..<3).filter { $0 != victim }.map { try connection($0) })
        let loop = loop
        try loop.submit { pulse.start(loop) }.wait()
        usleep(300_000)
        let began = Clock.nanoseconds()
        servers.end(victim, SIGKILL)
        var answered: UInt64?
        for _ in 0..<2000 where answered == nil {
            usleep(5000)
            answered = try loop.submit { pulse.firstAnswer(after: began) }.wait()
        }
        let failed = try loop.submit { () -> Int in
            pulse.stop()
            return pulse.failed
        }.wait()
        guard let answered else {
            throw BenchError.failed("no write for 10 s after a kill\n\(servers.lastWords)")
        }
        try servers.start(victim)
        try waitUntilReady()
        return Gap(
            system: servers.system, kind: "kill", milliseconds: Double(answered - began) / 1e6, failed: failed)
    }

    /// Asks the leader to hand over to the next member.
    func moveLeader() throws -> Gap {
        let (old, next) = (leader, (leader + 1) % 3)
        let pulse = Pulse(try (0..<3).map { try connection($0) })
        let loop = loop
        try loop.submit { pulse.start(loop) }.wait()
        usleep(200_000)
        let began = Clock.nanoseconds()
        let target = Int64(bitPattern: memberIDs[next])
        _ = try ask(try connection(old), Path.moveLeader, Requests.numbers((1, target)))
        usleep(300_000)
        let seen = try loop.submit { () -> (gap: UInt64, failed: Int) in
            pulse.stop()
            return pulse.longestGap(since: began)
        }.wait()
        usleep(100_000)
        try waitUntilReady()
        return Gap(
            system: servers.system, kind: "transfer", milliseconds: Double(seen.gap) / 1e6, failed: seen.failed)
    }
}
