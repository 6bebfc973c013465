// Many keys: what they cost in memory and on disk, how long a member needs to serve again after it was killed, and how
// long a snapshot takes. And a compaction of many old versions while clients write: it must not stall them.
import Glibc
import NIOCore

/// A named figure that is measured once.
struct Figure: Sendable {
    /// What the store held.
    var load = ""
    var system: System
    var name: String
    var value: Double?
    var unit: String
    var note = ""
    var title: String { "\(load): \(name)" }
}

extension Session {
    static let putsPerTxn = 100

    /// Keys numbered from zero, a hundred to a transaction, some transactions under way at a time.
    func fill(keys: Int, valueBytes: Int, isSameKeys: Bool = false) throws {
        let filler = Filler(
            try connections(6), Requests.puts(count: Self.putsPerTxn, valueBytes: valueBytes),
            rounds: keys / Self.putsPerTxn, isSameKeys: isSameKeys, loop)
        loop.execute { filler.start() }
        try filler.done.wait()
    }

    func million(_ keys: Int) throws -> [Figure] {
        let system = servers.system
        let began = Clock.nanoseconds()
        try fill(keys: keys, valueBytes: 128)
        let filled = Double(Clock.nanoseconds() - began) / 1e9
        usleep(6_000_000)
        var figures = [
            Figure(system: system, name: "fill", value: filled, unit: "s"),
            Figure(
                system: system, name: "memory after the fill", value: mebibytes(servers.memory("VmRSS")), unit: "MiB"),
            Figure(
                system: system, name: "data directory",
                value: mebibytes(Proc.folderBytes(servers.members[0].folder)), unit: "MiB")
        ]
        let victim = (leader + 1) % 3
        figures.append(Figure(system: system, name: "restart", value: try restart(victim), unit: "s"))
        usleep(2_000_000)
        figures.append(
            Figure(
                system: system, name: "memory after the restart",
                value: mebibytes(Proc.memory(servers.members[victim].pid, "VmRSS")), unit: "MiB"))
        figures.append(snapshot())
        return figures
    }

    private func mebibytes(_ bytes: Int) -> Double { Double(bytes) / 1_048_576 }

    /// From SIGKILL and start to the first linearizable answer of this member.
    private func restart(_ member: Int) throws -> Double {
        servers.end(member, SIGKILL)
        usleep(200_000)
        let began = Clock.nanoseconds()
        try servers.start(member)
        let range = Requests.range(isSerializable: false).make(1)
        while true {
            do {
                _ = try ask(try connection(member), Path.range, range, seconds: 1)
                return Double(Clock.nanoseconds() - began) / 1e9
            } catch  where Clock.nanoseconds() - began < 60_000_000_000 {
                usleep(5000)
            }
        }
    }

    private func snapshot() -> Figure {
        var figure = Figure(system: servers.system, name: "snapshot", value: nil, unit: "s")
        do {
            let reader = SnapshotReader(loop)
            let began = Clock.nanoseconds()
            let connection = try connection(leader)
            loop.execute { connection.call(Path.snapshot, ByteBuffer(), reader) }
            let bytes = try reader.done.wait()
            figure.value = Double(Clock.nanoseconds() - began) / 1e9
            figure.note = "\(bytes >> 20) MiB"
        } catch { figure.note = "\(error)" }
        return figure
    }

    /// Puts of ten clients while old versions are compacted away.
    func compaction(versions: Int) throws -> [Figure] {
        let system = servers.system
        try fill(keys: versions, valueBytes: 128, isSameKeys: true)
        guard let put = Point.all.first(where: { $0.part == .puts && $0.clients == 10 }) else { return [] }
        let timing = Timing(warmSeconds: 0.3, seconds: 4)
        let before = try measure(put, run: 0, timing)
        let revision = try status(leader).revision
        let connection = try connection(leader)
        let answer = Answer(loop)
        loop.scheduleTask(in: .milliseconds(700)) {
            connection.call(Path.compact, Requests.numbers((1, revision)), answer)
        }
        let during = try measure(put, run: 1, timing)
        _ = try answer.future.wait()
        return [
            Figure(system: system, name: "puts p99 before", value: before.p99, unit: "ms"),
            Figure(system: system, name: "puts p99 while compacting", value: during.p99, unit: "ms"),
            Figure(system: system, name: "puts before", value: before.perSecond, unit: "/s"),
            Figure(system: system, name: "puts while compacting", value: during.perSecond, unit: "/s"),
            Figure(system: system, name: "longest put while compacting", value: during.longest, unit: "ms")
        ]
    }
}

/// Fills a store.
private final class Filler: CallOwner, @unchecked Sendable {
    private let connections: [Connection]
    private let template: Template
    private let rounds: Int
    private let isSameKeys: Bool
    private let promise: EventLoopPromise<Void>
    private var sent = 0
    private var answered = 0
    var done: EventLoopFuture<Void> { promise.futureResult }

    init(_ connections: [Connection], _ template: Template, rounds: Int, isSameKeys: Bool, _ loop: any EventLoop) {
        self.connections = connections
        self.template = template
        self.rounds = rounds
        self.isSameKeys = isSameKeys
        promise = loop.makePromise()
    }

    func start() { for _ in 0..<min(rounds, 24) { next() } }

    private func next() {
        guard sent < rounds else { return }
        let number = isSameKeys ? sent % 10 : sent
        sent += 1
        connections[sent % connections.count].call(Path.txn, template.make(number), self)
    }

    func ended(_ end: CallEnd) {
        guard end.status == 0 else {
            return promise.fail(BenchError.failed("filling: status \(end.status): \(end.text)"))
        }
        answered += 1
        if answered == rounds { promise.succeed() } else { next() }
    }
}

/// Counts what a snapshot brings.
private final class SnapshotReader: CallOwner, @unchecked Sendable {
    private let promise: EventLoopPromise<Int>
    private var bytes = 0
    var done: EventLoopFuture<Int> { promise.futureResult }
    init(_ loop: any EventLoop) { promise = loop.makePromise() }
    func received(_ message: ByteBuffer) { bytes += message.readableBytes }
    func ended(_ end: CallEnd) {
        if end.status == 0 { return promise.succeed(bytes) }
        promise.fail(BenchError.failed("status \(end.status): \(end.text)"))
    }
}
