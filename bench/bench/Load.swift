// Clients that always have one request under way, clients that send at a fixed rate, and what both count. Confined to
// the event loop while they run.
import NIOCore
import Synchronization

/// One kind of request.
struct Operation: Sendable {
    var path: String
    var template: Template
}

/// What one measurement counts.
final class Tally: @unchecked Sendable {
    static let keys = 50_000
    var samples = Samples()
    var errors = 0
    var firstError = ""
    var isMeasuring = false
    var isRunning = true
    private var generator: Generator

    init(seed: UInt64) { generator = Generator(seed: seed) }

    func random(_ bound: Int) -> Int { Int(truncatingIfNeeded: generator.next() >> 33) % bound }

    func count(_ end: CallEnd, since began: UInt64) {
        guard end.status == 0 else {
            if errors == 0 { firstError = "status \(end.status): \(end.text)" }
            errors += 1
            return
        }
        if isMeasuring { samples.add(Clock.nanoseconds() - began) }
    }
}

/// A logical client: the next request goes when the last one was answered.
final class Client: CallOwner, @unchecked Sendable {
    private let connection: Connection
    private let operations: [Operation]
    private let tally: Tally
    private var began: UInt64 = 0

    /// Each of `operations` is as likely.
    init(_ connection: Connection, _ operations: [Operation], _ tally: Tally) {
        self.connection = connection
        self.operations = operations
        self.tally = tally
    }

    func next() {
        guard tally.isRunning, !connection.isLost else { return }
        let operation = operations.count == 1 ? operations[0] : operations[tally.random(operations.count)]
        began = Clock.nanoseconds()
        connection.call(operation.path, operation.template.make(tally.random(Tally.keys)), self)
    }

    func ended(_ end: CallEnd) {
        tally.count(end, since: began)
        next()
    }
}

/// Requests at a rate, answered or not; what would be more than `pendingMax` is left out and counted as late.
final class FixedRate: @unchecked Sendable {
    static let pendingMax = 4000
    private final class One: CallOwner {
        let began: UInt64
        let rate: FixedRate
        init(_ rate: FixedRate, _ began: UInt64) {
            self.rate = rate
            self.began = began
        }
        func ended(_ end: CallEnd) {
            rate.pending -= 1
            rate.tally.count(end, since: began)
        }
    }
    private let connections: [Connection]
    private let operation: Operation
    private let tally: Tally
    private let perSecond: Double
    private var began: UInt64 = 0
    private var sent = 0
    private(set) var skipped = 0
    private var pending = 0

    init(_ connections: [Connection], _ operation: Operation, perSecond: Double, _ tally: Tally) {
        self.connections = connections
        self.operation = operation
        self.perSecond = perSecond
        self.tally = tally
    }

    func start(_ loop: any EventLoop) {
        began = Clock.nanoseconds()
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(1)) { [self] task in
            guard tally.isRunning else { return task.cancel() }
            sendDue()
        }
    }

    private func sendDue() {
        let now = Clock.nanoseconds()
        let due = Int(Double(now - began) / 1e9 * perSecond)
        while sent < due {
            let at = began + UInt64(Double(sent) / perSecond * 1e9)
            sent += 1
            guard pending < Self.pendingMax else {
                skipped += 1
                continue
            }
            pending += 1
            connections[sent % connections.count].call(
                operation.path, operation.template.make(tally.random(Tally.keys)), One(self, at))
        }
    }
}
