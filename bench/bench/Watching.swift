// Watchers and keep-alives: calls that stay open. A round of the watch load is one put; the next goes when its writer
// has the answer and every watcher has the event, so events a second and their delay are measured at once.
import NIOCore
import NetGRPC

/// The writer and its watchers.
final class WatchLoad: @unchecked Sendable {
    static let watchesPerStream = 100

    private final class Stream: CallOwner {
        let load: WatchLoad
        init(_ load: WatchLoad) { self.load = load }

        func received(_ message: ByteBuffer) {
            let (isCreated, events) = Self.look(message)
            if isCreated { return load.created() }
            for _ in 0..<events { load.delivered() }
        }

        func ended(_ end: CallEnd) { load.lost(end) }

        private static func look(_ message: ByteBuffer) -> (isCreated: Bool, events: Int) {
            var reader = ProtobufReader(Array(message.readableBytesView))
            var found = (false, 0)
            do {
                while try reader.next() {
                    if reader.field == 3 { found.0 = try reader.bool() }
                    if reader.field == 11 { found.1 += 1 }
                }
            } catch { return (false, 0) }
            return found
        }
    }
    private final class Writer: CallOwner {
        let load: WatchLoad
        init(_ load: WatchLoad) { self.load = load }
        func ended(_ end: CallEnd) { load.written(end) }
    }

    private let connections: [Connection]
    private let count: Int
    private let tally: Tally
    private let template = Requests.put(valueBytes: 256)
    private var streams: [(Connection, StreamID)] = []
    private var owners: [Stream] = []
    private var writer: Writer?
    private var createdCount = 0
    private var missing = 0
    private var isAnswered = true
    private var began: UInt64 = 0
    private let ready: EventLoopPromise<Void>
    var whenReady: EventLoopFuture<Void> { ready.futureResult }

    init(_ connections: [Connection], count: Int, _ tally: Tally, _ loop: any EventLoop) {
        self.connections = connections
        self.count = count
        self.tally = tally
        ready = loop.makePromise()
    }

    func open() {
        writer = Writer(self)
        var left = count
        while left > 0 {
            let connection = connections[streams.count % connections.count]
            let owner = Stream(self)
            owners.append(owner)
            let stream = connection.open(Path.watch, owner)
            streams.append((connection, stream))
            for _ in 0..<min(left, Self.watchesPerStream) { connection.send(stream, Requests.watch()) }
            left -= min(left, Self.watchesPerStream)
        }
    }

    func close() {
        for (connection, stream) in streams { connection.cancel(stream) }
        (streams, owners, writer) = ([], [], nil)
    }

    private func created() {
        createdCount += 1
        if createdCount == count { ready.succeed() }
    }

    private func lost(_ end: CallEnd) {
        tally.count(end, since: began)
        ready.fail(BenchError.failed("a watch ended: \(end.text)"))
    }

    func round() {
        guard tally.isRunning, let writer else { return }
        missing = count
        isAnswered = false
        began = Clock.nanoseconds()
        connections[0].call(Path.put, template.make(tally.random(Tally.keys)), writer)
    }

    private func written(_ end: CallEnd) {
        if end.status != 0 { tally.count(end, since: began) }
        isAnswered = true
        if missing <= 0 { round() }
    }

    private func delivered() {
        tally.count(.ok, since: began)
        // Below zero: a follower told of a put from before the watch as well.
        missing -= 1
        if missing <= 0, isAnswered { round() }
    }
}

/// One stream of keep-alives for one lease: the next goes when the last was answered.
final class KeepAlive: CallOwner, @unchecked Sendable {
    private let connection: Connection
    private let message: ByteBuffer
    private let tally: Tally
    private var stream: StreamID?
    private var began: UInt64 = 0

    init(_ connection: Connection, lease: Int64, _ tally: Tally) {
        self.connection = connection
        self.tally = tally
        message = Requests.numbers((1, lease))
    }

    func start() {
        stream = connection.open(Path.keepAlive, self)
        next()
    }

    private func next() {
        guard tally.isRunning, let stream else { return close() }
        began = Clock.nanoseconds()
        connection.send(stream, message)
    }

    private func close() {
        if let stream { connection.cancel(stream) }
        stream = nil
    }

    func received(_ message: ByteBuffer) {
        tally.count(.ok, since: began)
        next()
    }

    func ended(_ end: CallEnd) {
        stream = nil
        tally.count(end.status == 0 ? CallEnd(status: 2, text: "the stream ended") : end, since: began)
    }
}
