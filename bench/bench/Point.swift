// What is measured: each point is one load at one number of clients. And how one point is measured on a running cluster:
// load, a short warm-up, then figures of clients and servers over the same seconds.
import Glibc
import NIOCore

/// A part of the whole that can be run alone.
enum Part: String, CaseIterable, Sendable {
    case puts, mixed, ranges, txn, watch, leases, failover, transfer, million, compaction, all, plot
    static let standard: [Part] = [.puts, .mixed, .ranges, .txn, .watch, .leases, .failover, .transfer]
}

enum Shape: Sendable {
    case closed([Operation])
    case watch
    case rate(Operation, perSecond: Double)
    case keepAlive
}

struct Point: Sendable {
    var name: String
    var part: Part
    var clients: Int
    var shape: Shape

    static let all: [Point] = puts + mixed + ranges + txns + others

    private static let put = Operation(path: Path.put, template: Requests.put(valueBytes: 256))
    private static let linearizable = Operation(path: Path.range, template: Requests.range(isSerializable: false))
    private static let serializable = Operation(path: Path.range, template: Requests.range(isSerializable: true))

    private static let puts = [1, 10, 100, 1000].map {
        Point(name: "put", part: .puts, clients: $0, shape: .closed([put]))
    }
    private static let mixed = [
        Point(
            name: "mixed 3:1", part: .mixed, clients: 100,
            shape: .closed([linearizable, linearizable, linearizable, put]))
    ]
    private static let ranges =
        [1, 100, 1000].map {
            Point(name: "range linearizable", part: .ranges, clients: $0, shape: .closed([linearizable]))
        }
        + [1, 100, 1000].map {
            Point(name: "range serializable", part: .ranges, clients: $0, shape: .closed([serializable]))
        }
    private static let txns = [
        Point(
            name: "txn guarded put", part: .txn, clients: 100,
            shape: .closed([Operation(path: Path.txn, template: Requests.guarded(valueBytes: 256))])),
        Point(
            name: "txn 8 puts", part: .txn, clients: 100,
            shape: .closed([Operation(path: Path.txn, template: Requests.puts(count: 8, valueBytes: 256))]))
    ]
    private static let others = [
        Point(name: "watch events", part: .watch, clients: 100, shape: .watch),
        Point(name: "watch events", part: .watch, clients: 1000, shape: .watch),
        Point(
            name: "lease updates 13000/s", part: .leases, clients: 0,
            shape: .rate(Operation(path: Path.put, template: Requests.put(valueBytes: 420)), perSecond: 13_000)),
        Point(name: "keep-alives", part: .leases, clients: 100, shape: .keepAlive)
    ]
}

/// One point, measured once.
struct Measurement: Sendable {
    var run: Int
    var system: System
    var name: String
    var clients: Int
    var perSecond: Double
    var p50: Double
    var p99: Double
    var longest: Double
    /// CPU of the three members for one operation, in microseconds.
    var cpuMicroseconds: Double
    /// The greatest resident memory of a member, in MiB.
    var peakMiB: Double
    var errors: Int
    var firstError: String
    /// Cores that something else used meanwhile.
    var otherCores: Double
    /// Cores that this program used.
    var ownCores: Double
}

struct Timing: Sendable {
    var warmSeconds = 0.4
    var seconds = 1.5
    var connectionsMax = 12
}

extension Session {
    func measure(_ point: Point, run: Int, _ timing: Timing) throws -> Measurement {
        let tally = Tally(seed: UInt64(run + 1))
        let stop = try start(point, tally, timing)
        defer { stop() }
        usleep(UInt32(timing.warmSeconds * 1e6))
        let before = meters()
        try loop.submit { tally.isMeasuring = true }.wait()
        usleep(UInt32(timing.seconds * 1e6))
        let samples = try loop.submit { () -> Samples in
            tally.isMeasuring = false
            tally.isRunning = false
            return tally.samples
        }.wait()
        let after = meters()
        return describe(point, run, samples, tally, before, after)
    }

    private struct Meters {
        var time = Double(Clock.nanoseconds()) / 1e9
        var servers: Double
        var own = Proc.cpuSeconds(getpid())
        var all = Proc.busySeconds()
    }

    private func meters() -> Meters { Meters(servers: servers.cpuSeconds) }

    private func describe(
        _ point: Point, _ run: Int, _ samples: Samples, _ tally: Tally, _ before: Meters, _ after: Meters
    ) -> Measurement {
        var samples = samples
        let seconds = after.time - before.time
        let cpu = after.servers - before.servers
        let own = after.own - before.own
        return Measurement(
            run: run, system: servers.system, name: point.name, clients: point.clients,
            perSecond: Double(samples.count) / seconds, p50: samples.percentile(0.5) ?? .nan,
            p99: samples.percentile(0.99) ?? .nan, longest: samples.percentile(1) ?? .nan,
            cpuMicroseconds: cpu / Double(max(1, samples.count)) * 1e6,
            peakMiB: Double(servers.memory("VmHWM")) / 1_048_576, errors: tally.errors, firstError: tally.firstError,
            otherCores: max(0, (after.all - before.all - cpu - own) / seconds), ownCores: own / seconds)
    }

    /// Starts the load; the answer ends what stays open.
    private func start(_ point: Point, _ tally: Tally, _ timing: Timing) throws -> () -> Void {
        let connections = try connections(min(max(point.clients, 1), timing.connectionsMax))
        let loop = loop
        switch point.shape {
        case .closed(let operations):
            loop.execute {
                for i in 0..<point.clients { Client(connections[i % connections.count], operations, tally).next() }
            }
        case .rate(let operation, let perSecond):
            let all = try self.connections(timing.connectionsMax)
            loop.execute { FixedRate(all, operation, perSecond: perSecond, tally).start(loop) }
        case .watch:
            let load = WatchLoad(connections, count: point.clients, tally, loop)
            loop.execute { load.open() }
            try load.whenReady.wait()
            loop.execute { load.round() }
            return { loop.execute { load.close() } }
        case .keepAlive:
            for i in 0..<point.clients {
                _ = try ask(connections[0], Path.grant, Requests.numbers((1, 600), (2, Int64(i + 1) << 20)))
            }
            loop.execute {
                for i in 0..<point.clients {
                    KeepAlive(connections[i % connections.count], lease: Int64(i + 1) << 20, tally).start()
                }
            }
        }
        return { usleep(100_000) }
    }
}
