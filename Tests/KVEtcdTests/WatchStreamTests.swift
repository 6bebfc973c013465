// What a Watch stream may and may not say: progress never ahead of events, nothing of a watch behind its `canceled`,
// all of it also to clients that have half-closed, and no more questions from those who do not take the answers.
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import Synchronization
import Testing

/// One message of a Watch stream as the client sees it.
struct WatchAnswer {
    var revision: Int64 = 0
    var id: Int64 = 0
    var isCreated = false
    var isCanceled = false
    var reason = ""
    /// The revision of each event.
    var events: [Int64] = []
    var isProgress: Bool { events.isEmpty && !isCreated && !isCanceled }

    init(_ message: [UInt8]) throws {
        var reader = ProtobufReader(message)
        while try reader.next() {
            switch reader.field {
            case 1: revision = try Self.number(3, try reader.message())
            case 2: id = try reader.int64()
            case 3: isCreated = try reader.bool()
            case 4: isCanceled = try reader.bool()
            case 6: reason = try reader.string()
            case 11:
                var event = try reader.message()
                while try event.next() {
                    if event.field == 2 { events.append(try Self.number(3, try event.message())) }
                }
            default: continue
            }
        }
    }

    private static func number(_ field: Int, _ body: ProtobufReader) throws -> Int64 {
        var reader = body
        var found: Int64 = 0
        while try reader.next() { if reader.field == field { found = try reader.int64() } }
        return found
    }
}

private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

enum WatchAsk {
    static func create(_ prefix: String, id: Int64 = 0, start: Int64 = 0) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(1) { one in
            one.string(1, prefix)
            one.string(2, prefix + "\u{7f}")
            one.int64(3, start)
            one.int64(7, id)
        }
        return writer.bytes
    }
    static func cancel(_ id: Int64) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(2) { $0.int64(1, id) }
        return writer.bytes
    }
    static let progress: [UInt8] = {
        var writer = ProtobufWriter()
        writer.message(3) { _ in }
        return writer.bytes
    }()
}

@Suite(.serialized) struct WatchStreamTests {
    private func open(_ face: Face) async throws -> GRPCCall {
        try await face.channel.open("/etcdserverpb.Watch/Watch")
    }

    private func next(_ call: GRPCCall, _ isWanted: (WatchAnswer) -> Bool = { _ in true }) async throws -> WatchAnswer {
        while let message = try await call.next() {
            let answer = try WatchAnswer(message)
            if isWanted(answer) { return answer }
        }
        throw GRPCStatus(.unknown, "the stream ended")
    }

    /// Writes without a pause, by several writers, while `body` runs.
    private func hammering(_ face: Face, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let isOver = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    var i = 0
                    while !isOver.isSet {
                        _ = try await face.replica.propose(Txn(success: [.put(Key("w/\(writer)"), [UInt8(i & 127)])]))
                        i += 1
                    }
                }
            }
            group.addTask {
                defer { isOver.set() }
                try await body()
            }
            try await group.waitForAll()
        }
    }

    @Test func `progress is never told ahead of an event`() async throws {
        let face = try await Face()
        for i in 0..<50 { try await face.put("w/\(i % 4)", "\(i)") }
        try await hammering(face) {
            let call = try await open(face)
            call.send(WatchAsk.create("w/", id: 1))
            var told: Int64 = 0
            func next() async throws -> WatchAnswer {
                let answer = try await self.next(call)
                if answer.isProgress { told = max(told, answer.revision) }
                // The other watches begin in the past; this one is told everything once and in order.
                for event in answer.events where answer.id == 1 {
                    #expect(event > told, "event \(event) after progress \(told)")
                }
                return answer
            }
            for round in 0..<1000 {
                let other = Int64(100 + round)
                call.send(WatchAsk.progress)
                call.send(WatchAsk.create("w/", id: other, start: Int64(2 + round % 40)))
                call.send(WatchAsk.progress)
                call.send(WatchAsk.cancel(other))
                while case let answer = try await next(), !answer.isCanceled || answer.id != other {}
            }
            call.send(WatchAsk.progress)
            let last = face.replica.view().revision.rawValue
            while told < last { _ = try await next() }
            call.cancel()
        }
        try await face.end()
    }

    @Test func `nothing of a watch comes behind its canceled, nor reaches a new watch of its number`() async throws {
        let face = try await Face()
        try await hammering(face) {
            let call = try await open(face)
            for round in 0..<100 {
                let start = face.replica.view().revision.rawValue + 1
                call.send(WatchAsk.create("w/", id: 7, start: start))
                _ = try await next(call) { !$0.events.isEmpty }
                call.send(WatchAsk.cancel(7))
                // The same number again, for keys that nobody writes.
                call.send(WatchAsk.create("nobody/\(round)", id: 7))
                _ = try await next(call, \.isCanceled)
                let created = try await next(call)
                #expect(created.isCreated, "\(created)")
                call.send(WatchAsk.create("nobody/", id: 8))
                let other = try await next(call)
                #expect(other.isCreated && other.id == 8, "\(other)")
                for id: Int64 in [7, 8] {
                    call.send(WatchAsk.cancel(id))
                    let end = try await next(call)
                    #expect(end.isCanceled && end.id == id, "\(end)")
                }
            }
            call.cancel()
        }
        try await face.end()
    }

    @Test func `a client that has sent all its requests still gets events`() async throws {
        let face = try await Face()
        let call = try await open(face)
        call.send(WatchAsk.create("half/"))
        call.finishSending()
        #expect(try await next(call).isCreated)
        try await face.put("half/1", "1")
        #expect(try await next(call).events.count == 1)
        try await face.put("half/2", "2")
        #expect(try await next(call).events.count == 1)
        call.cancel()
        try await face.end()
    }

    @Test func `a stream of too many watches says so`() async throws {
        let face = try await Face()
        let call = try await open(face)
        for _ in 0..<10_000 { call.send(WatchAsk.create("many/")) }
        for id: Int64 in 0..<10_000 {
            let answer = try await next(call)
            guard answer.isCreated, answer.id == id else { throw GRPCStatus(.unknown, "\(answer)") }
        }
        call.send(WatchAsk.create("many/"))
        let refused = try await next(call)
        #expect(refused.isCanceled && refused.reason == "etcdserver: too many watches on one stream")
        call.send(WatchAsk.cancel(9))
        #expect(try await next(call).isCanceled)
        call.send(WatchAsk.create("many/", id: 7))
        #expect(try await next(call).reason == "mvcc: duplicate watch ID provided on the WatchStream")
        call.cancel()
        try await face.end()
    }

    @Test func `a stream whose answers are not taken is asked for no more requests`() async throws {
        let face = try await Face()
        let received = RawClient.Received()
        let channel = try await RawClient.dial(face.port, received)
        RawClient.write(RawClient.hello(window: 0), channel)
        RawClient.write(RawClient.frame(1, 4, 1, RawClient.head(of: "/etcdserverpb.Watch/Watch")), channel)
        // An empty range is refused with more bytes than it took to ask: all of a window's worth is more than may wait.
        var empty = ProtobufWriter()
        empty.message(1) {
            $0.string(1, "b"); $0.string(2, "a")
        }
        let asked = Array(Array(repeating: RawClient.message(empty.bytes), count: 50_000).joined())
        for start in stride(from: 0, to: asked.count, by: 16_000) {
            RawClient.write(RawClient.frame(0, 0, 1, Array(asked.dropFirst(start).prefix(16_000))), channel)
        }
        RawClient.write(RawClient.frame(6, 0, 0, Array(repeating: 1, count: 8)), channel)
        try await received.wait { $0.contains { $0.type == 6 } }
        let opened = received.frames.filter { $0.type == 8 && $0.stream == 1 }
        #expect(opened.isEmpty, "the window was opened for more")
        try await channel.close()
        try await face.put("still", "there")
        try await face.end()
    }
}

/// HTTP/2 by hand, for what no honest client does.
enum RawClient {
    typealias Frame = (type: UInt8, stream: UInt32)

    final class Received: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let bytes = Mutex<[UInt8]>([])

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let more = Array(unwrapInboundIn(data).readableBytesView)
            bytes.withLock { $0 += more }
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        var frames: [Frame] {
            var found: [Frame] = []
            let bytes = bytes.withLock { $0 }
            var at = 0
            while at + 9 <= bytes.count {
                let stream = bytes[at + 5..<at + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                found.append((bytes[at + 3], stream))
                at += 9 + (Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2]))
            }
            return found
        }

        func wait(_ isDone: ([Frame]) -> Bool) async throws {
            try await eventually("the frames came") { isDone(frames) }
        }
    }

    static func dial(_ port: Int, _ received: Received) async throws -> any Channel {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in channel.pipeline.addHandler(received) }
            .connect(host: "127.0.0.1", port: port).get()
    }

    static func write(_ bytes: [UInt8], _ channel: any Channel) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    static func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ body: [UInt8] = []) -> [UInt8] {
        [UInt8(body.count >> 16), UInt8(body.count >> 8 & 255), UInt8(body.count & 255), type, flags] + number(stream)
            + body
    }

    static func hello(window: UInt32) -> [UInt8] {
        Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, [0, 4] + number(window))
    }

    static func head(of path: String) -> [UInt8] {
        [0x83, 0x86, 0x04] + text(path) + [0x01] + text("here") + [0x0f, 0x10] + text("application/grpc")
    }

    static func message(_ bytes: [UInt8]) -> [UInt8] { [0] + number(UInt32(bytes.count)) + bytes }
    private static func number(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }
    private static func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
}
