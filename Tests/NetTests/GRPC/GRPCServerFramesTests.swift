// The server's own HTTP/2, from a client that writes frames by hand: small windows, split headers, padding, and whatever
// a hostile client may send. After all of it the server still answers others.
import Foundation
import NIOCore
import NIOPosix
import NetGRPC
import NetPKI
import Synchronization
import Testing

private struct Echo: GRPCService {
    func handle(_ call: GRPCServerCall) { call.onUnary { call.reply($0) } }
}

/// Counts what it takes, and answers each message of an echo with itself, each other call with many bytes.
private struct Counting: GRPCService {
    static let answerBytes = 16 << 10
    let taken: Counter

    func handle(_ call: GRPCServerCall) {
        guard call.path != "/t.T/Echo" else {
            return call.onMessageWhileWritable { message in
                taken.increment()
                call.send(message)
            }
        }
        taken.increment()
        call.reply([UInt8](repeating: 7, count: Self.answerBytes))
    }
}

/// What a client received, and a way to wait for it.
private final class Received: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let state = Mutex<(bytes: [UInt8], isClosed: Bool)>(([], false))

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(unwrapInboundIn(data).readableBytesView)
        state.withLock { $0.bytes += bytes }
    }
    func channelInactive(context: ChannelHandlerContext) { state.withLock { $0.isClosed = true } }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    var isClosed: Bool { state.withLock { $0.isClosed } }
    /// Type, flags, stream and body of each whole frame.
    var frames: [(type: UInt8, flags: UInt8, stream: UInt32, body: [UInt8])] {
        var found: [(UInt8, UInt8, UInt32, [UInt8])] = []
        let bytes = state.withLock { $0.bytes }
        var at = 0
        while at + 9 <= bytes.count {
            let length = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            guard at + 9 + length <= bytes.count else { break }
            let stream = bytes[at + 5..<at + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            found.append((bytes[at + 3], bytes[at + 4], stream, Array(bytes[at + 9..<at + 9 + length])))
            at += 9 + length
        }
        return found
    }

    func wait(_ isDone: (Received) -> Bool) async throws {
        _ = try await eventually { isDone(self) || isClosed }
    }

    func data(_ stream: UInt32) -> [UInt8] { frames.filter { $0.type == 0 && $0.stream == stream }.flatMap(\.body) }
    func hasEnded(_ stream: UInt32) -> Bool {
        frames.contains { $0.stream == stream && $0.flags & 1 != 0 && $0.type < 2 }
    }
    /// A status with this code and text; what fields hold goes over the wire as it is.
    func says(_ code: Int, _ text: String, _ stream: UInt32) -> Bool {
        let heads = frames.filter { $0.type == 1 && $0.stream == stream }.flatMap(\.body)
        let words = String(decoding: heads, as: UTF8.self)
        return words.contains(text)
            && words.contains("grpc-status\(String(code).count == 1 ? "\u{01}" : "\u{02}")\(code)")
    }
    var goAway: UInt8? { frames.first { $0.type == 7 }?.body[7] }
}

private func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ body: [UInt8] = []) -> [UInt8] {
    [UInt8(body.count >> 16), UInt8(body.count >> 8 & 255), UInt8(body.count & 255), type, flags]
        + number(stream) + body
}

private func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
private func setting(_ name: UInt8, _ value: UInt32) -> [UInt8] { [0, name] + number(value) }
private func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
private let head = headers(of: "/t.T/Echo")
private func headers(of path: String) -> [UInt8] {
    [0x83, 0x86, 0x04] + text(path) + [0x01] + text("here") + [0x0f, 0x10] + text("application/grpc")
}
private func message(_ bytes: [UInt8]) -> [UInt8] { [0] + number(UInt32(bytes.count)) + bytes }

private func withServer(
    _ service: any GRPCService = Echo(), adjust: (inout GRPCServerConfiguration) -> Void = { _ in },
    _ body: (Int) async throws -> Void
) async throws {
    var configuration = GRPCServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0))
    adjust(&configuration)
    let server = GRPCServer(configuration: configuration, service: service, group: testGroup)
    let port = try await server.start()
    do { try await body(port) } catch {
        await server.stop(grace: .milliseconds(10))
        throw error
    }
    await server.stop(grace: .milliseconds(10))
}

private func dial(_ port: Int, reads: Bool = true) async throws -> (any Channel, Received) {
    let received = Received()
    let channel = try await ClientBootstrap(group: testGroup)
        .channelOption(.autoRead, value: reads)
        .channelInitializer { channel in channel.pipeline.addHandler(received) }
        .connect(host: "127.0.0.1", port: port).get()
    return (channel, received)
}

private func write(_ bytes: [UInt8], _ channel: any Channel) {
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
}

@Suite struct GRPCServerFramesTests {
    @Test func `an answer is cut to the client's windows and goes on when they open`() async throws {
        try await withServer { port in
            let (channel, received) = try await dial(port)
            let body = (0..<300).map { UInt8($0 & 255) }
            write(
                preface + frame(4, 0, 0, setting(4, 100)) + frame(1, 4, 1, head) + frame(0, 1, 1, message(body)),
                channel)
            try await received.wait { $0.data(1).count >= 100 }
            #expect(received.data(1).count == 100 && !received.hasEnded(1))
            write(frame(8, 0, 1, number(5)), channel)
            try await received.wait { $0.data(1).count >= 105 }
            #expect(received.data(1).count == 105)
            write(frame(4, 0, 0, setting(4, 400)), channel)
            try await received.wait { $0.hasEnded(1) }
            #expect(received.data(1) == message(body) && received.hasEnded(1))
            try await channel.close()
        }
    }

    @Test func `headers in pieces, padding, priority and a client without a table`() async throws {
        try await withServer { port in
            let (channel, received) = try await dial(port)
            let padded = [3] + [0, 0, 0, 0, 9] + Array(head[..<7]) + [0, 0, 0]
            let data = [2] + message([1, 2, 3]) + [0, 0]
            write(preface + frame(4, 0, 0, setting(1, 0)) + frame(1, 8 | 32, 1, padded), channel)
            write(frame(9, 0, 1, Array(head[7..<20])) + frame(9, 4, 1, Array(head[20...])), channel)
            write(frame(0, 8, 1, data) + frame(0, 1, 1), channel)
            write(frame(1, 4, 3, head) + frame(0, 1, 3, message([4])), channel)
            try await received.wait { $0.hasEnded(3) }
            #expect(received.data(1) == message([1, 2, 3]) && received.data(3) == message([4]))
            let blocks = received.frames.filter { $0.type == 1 }.map(\.body)
            #expect(blocks.first?.first == 0x20, "the table is said to be empty before anything else")
            try #require(blocks.count == 4)
            #expect(blocks[2] == Array(blocks[0].dropFirst()) && blocks[3] == blocks[1], "nothing is left to a table")
            try await channel.close()
        }
    }

    @Test(
        arguments: [
            ("no preface", Array("GET / HTTP/1.1\r\n\r\n".utf8), 1),
            ("no settings", preface + frame(6, 0, 0, Array(repeating: 0, count: 8)), 1),
            ("a frame that is too large", preface + frame(4) + frame(0, 0, 1, Array(repeating: 0, count: 16_385)), 6),
            ("data of an idle stream", preface + frame(4) + frame(0, 0, 5, [1]), 1),
            ("an even stream", preface + frame(4) + frame(1, 5, 2, head), 1),
            ("a frame between pieces of a head", preface + frame(4) + frame(1, 0, 1, head) + frame(0, 0, 1), 1),
            (
                "a head without an end", preface + frame(4) + frame(1, 0, 1) + (0..<80).flatMap { _ in frame(9, 0, 1) },
                11
            ),
            ("a window above the most", preface + frame(4) + frame(8, 0, 0, number(0x7fff_ffff)), 3),
            ("a window by nothing", preface + frame(4) + frame(8, 0, 0, number(0)), 1),
            ("padding above the frame", preface + frame(4) + frame(1, 12, 1, [200, 1]), 1),
            ("a field that is in no table", preface + frame(4) + frame(1, 4, 1, [0xfe]), 9),
            (
                "empty data without end",
                preface + frame(4) + frame(1, 4, 1, head) + (0..<40).flatMap { _ in frame(0, 0, 1) }, 11
            )
        ] as [(String, [UInt8], UInt8)])
    func `what breaks the protocol ends the connection with its code`(_ sent: (String, [UInt8], UInt8)) async throws {
        try await withServer { port in
            let (channel, received) = try await dial(port)
            write(sent.1, channel)
            try await received.wait { $0.goAway != nil }
            #expect(received.goAway == sent.2, "\(sent.0)")
            try await received.wait { $0.isClosed }
            #expect(received.isClosed)
        }
    }

    @Test func `altered bytes end a connection at most, and others are answered`() async throws {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64(ProcessInfo.processInfo.environment["SEED"] ?? "") ?? generator.next()
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let whole =
            preface + frame(4, 0, 0, setting(4, 1000)) + frame(1, 4, 1, head) + frame(0, 1, 1, message([1, 2]))
            + frame(8, 0, 0, number(100)) + frame(6, 0, 0, Array(repeating: 1, count: 8)) + frame(1, 4, 3, head)
            + frame(3, 0, 3, number(8)) + frame(1, 0, 5, head) + frame(9, 4, 5) + frame(0, 1, 5, message([3]))
        try await withServer { port in
            for _ in 0..<150 {
                let (channel, _) = try await dial(port)
                var bytes = whole
                for _ in 0...random(4) { bytes[24 + random(bytes.count - 24)] = UInt8(random(256)) }
                write(bytes, channel)
                try await Task.sleep(for: .milliseconds(1))
                channel.close(promise: nil)
            }
            let client = GRPCChannel(target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: testGroup)
            #expect(try await client.unary("/t.T/Echo", [7]) == [7], "SEED=\(seed)")
            await client.close()
        }
    }
}

/// Clients that ask and do not take the answers.
@Suite struct GRPCUnreadTests {
    @Test func `a connection whose answers are not read is not read either, and goes on when they are`() async throws {
        let taken = Counter()
        try await withServer(Counting(taken: taken)) { port in
            let (channel, received) = try await dial(port, reads: false)
            write(preface + frame(4, 0, 0, setting(4, 1 << 30)) + frame(8, 0, 0, number(1 << 30)), channel)
            let (all, step) = (3000, 50)
            var sent = 0
            while sent < all {
                for _ in 0..<step {
                    write(frame(1, 5, UInt32(2 * sent + 1), headers(of: "/t.T/Many")), channel)
                    sent += 1
                }
                guard try await eventually(seconds: 2, { taken.value == sent }) else { break }
            }
            #expect(taken.value < all, "the answers to \(all) requests wait in memory")
            try await channel.setOption(.autoRead, value: true).get()
            channel.read()
            #expect(try await eventually { taken.value == sent })
            let last = UInt32(2 * sent - 1)
            try await received.wait { $0.hasEnded(last) }
            #expect(received.data(last).count == Counting.answerBytes + 5)
            try await channel.close()
        }
    }

    @Test func `a stream whose answers are not taken is given no more messages`() async throws {
        let taken = Counter()
        try await withServer(Counting(taken: taken)) { port in
            let (channel, received) = try await dial(port)
            write(preface + frame(4, 0, 0, setting(4, 0)) + frame(1, 4, 1, head), channel)
            let (all, body) = (900, [UInt8](repeating: 5, count: 1000))
            for _ in 0..<all { write(frame(0, 0, 1, message(body)), channel) }
            write(frame(6, 0, 0, Array(repeating: 1, count: 8)), channel)
            try await received.wait { $0.frames.contains { $0.type == 6 } }
            #expect(taken.value <= GRPCServerCall.highWatermarkBytes / body.count + 1)
            write(frame(8, 0, 1, number(1 << 20)) + frame(8, 0, 0, number(1 << 20)), channel)
            #expect(try await eventually { taken.value == all })
            try await received.wait { $0.data(1).count == all * (body.count + 5) }
            #expect(received.data(1) == (0..<all).flatMap { _ in message(body) })
            try await channel.close()
        }
    }

    @Test func `what waits for a window is copied once, however small the window`() {
        var queue = GRPCSendQueue()
        let (bytes, window) = (4 << 20, 16 << 10)
        queue.append(GRPCServerMessage(bytes: (0..<bytes).map { UInt8(truncatingIfNeeded: $0) }, tag: 8, value: 300))
        queue.append(GRPCServerMessage(bytes: [1, 2, 3]))
        #expect(queue.count == bytes + 3 + 5 + 8)
        var output = ByteBuffer()
        var whole: [Int] = []
        while queue.count > 0 { whole.append(queue.take(min(window, queue.count), &output)) }
        #expect(queue.copiedBytes <= 2 * bytes)
        #expect(whole.filter { $0 > 0 } == [bytes + 3 + 3], "both ended in the last window")
        var expected = message((0..<bytes).map { UInt8(truncatingIfNeeded: $0) } + [8, 172, 2])
        expected += message([1, 2, 3])
        #expect(Array(output.readableBytesView) == expected)
    }

    @Test func `the queue is cut anywhere, also within the head of a message and behind its shared bytes`() {
        for window in 1...12 {
            var queue = GRPCSendQueue()
            queue.append(GRPCServerMessage(bytes: [1, 2, 3], tag: 16, value: 200))
            queue.append(GRPCServerMessage(bytes: []))
            queue.append(text: "plain")
            var output = ByteBuffer()
            var whole = 0
            while queue.count > 0 { whole += queue.take(min(window, queue.count), &output) }
            #expect(
                Array(output.readableBytesView) == message([1, 2, 3, 16, 200, 1]) + message([]) + Array("plain".utf8))
            #expect(whole == 6)
        }
    }
}

/// Says of each call what it was asked for, at length.
private struct Verbose: GRPCService {
    func handle(_ call: GRPCServerCall) { call.finish(GRPCStatus(.unimplemented, "unknown method \(call.path)")) }
}

/// What is kept for clients, however they behave.
@Suite struct GRPCKeptTests {
    @Test func `what was taken of a connection's input is not kept, wherever its reads end`() throws {
        var input = HTTP2Input()
        let one = frame(0, 0, 1, [UInt8](repeating: 7, count: 16_384))
        let stream = ByteBuffer(bytes: one + one)
        var taken = 0
        // Each read ends 5 bytes into a head.
        input.append(ByteBuffer(bytes: one.prefix(5)))
        for _ in 0..<4096 {
            input.append(try #require(stream.getSlice(at: 5, length: one.count)))
            while let body = input.body(16_384) { taken += body.readableBytes }
            input.letGo()
            try #require(input.capacity < 256 << 10)
        }
        #expect(taken == 4096 * 16_384)
    }

    @Test func `a message that was taken leaves nothing of the buffer that it came in`() throws {
        var decoder = GRPCMessageDecoder(messageBytesMax: 1000)
        var read = ByteBuffer()
        read.reserveCapacity(64 << 10)
        read.writeBytes(message([1, 2, 3]))
        decoder.feed(read)
        #expect(try decoder.next() == [1, 2, 3])
        #expect(decoder.capacity == 0)
        decoder.feed(ByteBuffer(bytes: message([4]) + [0]))
        #expect(try decoder.next() == [4])
        #expect(try decoder.next() == nil)
    }

    @Test func `answers that wait for windows are few, and those that were taken on arrive whole`() async throws {
        try await withServer(Counting(taken: Counter()), adjust: { $0.waitingBytesMax = 5 * Counting.answerBytes }) {
            port in
            let (channel, received) = try await dial(port)
            write(preface + frame(4, 0, 0, setting(4, 0)), channel)
            let streams = (0..<20).map { UInt32(2 * $0 + 1) }
            for stream in streams { write(frame(1, 5, stream, headers(of: "/t.T/Many")), channel) }
            let refused = streams.dropFirst(5)
            try await received.wait { received in refused.allSatisfy { received.hasEnded($0) } }
            #expect(refused.allSatisfy { received.hasEnded($0) })
            #expect(received.says(8, "too many answers are not taken", refused[refused.startIndex]))
            #expect(!streams.prefix(5).contains { received.hasEnded($0) })
            write(frame(4, 0, 0, setting(4, 1 << 20)) + frame(8, 0, 0, number(1 << 20)), channel)
            try await received.wait { received in streams.allSatisfy { received.hasEnded($0) } }
            #expect(streams.prefix(5).allSatisfy { received.data($0).count == Counting.answerBytes + 5 })
            try await channel.close()
        }
    }

    @Test func `an answer of which nothing is taken for long is given up`() async throws {
        try await withServer(adjust: { $0.answerStall = .milliseconds(100) }) { port in
            let (channel, received) = try await dial(port)
            write(
                preface + frame(4, 0, 0, setting(4, 3)) + frame(1, 4, 1, head)
                    + frame(0, 1, 1, message([1, 2, 3])), channel)
            try await received.wait { $0.frames.contains { $0.type == 3 && $0.stream == 1 } }
            #expect(received.frames.contains { $0.type == 3 && $0.stream == 1 })
            write(frame(4, 0, 0, setting(4, 100)) + frame(1, 4, 3, head) + frame(0, 1, 3, message([4])), channel)
            try await received.wait { $0.hasEnded(3) }
            #expect(received.data(3) == message([4]))
            try await channel.close()
        }
    }

    @Test func `a status that repeats what a client sent fits into a frame`() async throws {
        try await withServer(Verbose()) { port in
            let (channel, received) = try await dial(port)
            let path = [UInt8](repeating: UInt8(ascii: "p"), count: 12_000)
            let length: [UInt8] = [0x7f, 0xe1, 0x5c]
            let fields: [UInt8] =
                [0x83, 0x86, 0x04] + length + path + [0x01] + text("here") + [0x0f, 0x10] + text("application/grpc")
            write(preface + frame(4) + frame(1, 5, 1, fields), channel)
            try await received.wait { $0.hasEnded(1) }
            let heads = received.frames.filter { $0.type == 1 && $0.stream == 1 }
            #expect(heads.count == 1 && heads.allSatisfy { $0.body.count < 4096 })
            try await channel.close()
        }
    }

    /// Answers nobody.
    private struct Silent: GRPCService { func handle(_ call: GRPCServerCall) {} }

    @Test func `what is wrong with a request is said in its status`() async throws {
        let cases: [(what: String, data: [UInt8], code: Int, text: String)] = [
            ("compressed", [1] + number(3) + [1, 2, 3], 12, "compressed messages are not supported"),
            ("too long", message(Array(repeating: 0, count: 2000)), 8, "grpc: received message larger than max (2000"),
            ("cut off", [0] + number(9) + [1], 13, "the request ended within a message"),
            ("nothing", [], 13, "no request message"),
            ("twice", message([1]) + message([2]), 13, "more than one request message")
        ]
        try await withServer(adjust: { $0.messageBytesMax = 1000 }) { port in
            let (channel, received) = try await dial(port)
            write(preface + frame(4), channel)
            for (number, one) in cases.enumerated() {
                let stream = UInt32(2 * number + 1)
                write(frame(1, 4, stream, head) + frame(0, 1, stream, one.data), channel)
                try await received.wait { $0.hasEnded(stream) }
                #expect(received.says(one.code, one.text, stream), "\(one.what)")
            }
            try await channel.close()
        }
        try await withServer(Silent()) { port in
            let (channel, received) = try await dial(port)
            let limit: [UInt8] = [0x00] + text("grpc-timeout") + text("50m")
            write(preface + frame(4) + frame(1, 5, 1, head + limit), channel)
            try await received.wait { $0.hasEnded(1) }
            #expect(received.says(4, "context deadline exceeded", 1))
            try await channel.close()
        }
    }

    @Test func `clients that never answer are let go together when the server stops`() async throws {
        var configuration = GRPCServerConfiguration(
            address: .tcp(host: "127.0.0.1", port: 0), tls: try TestPKI.shared.serverTLS())
        configuration.handshakeTimeout = .seconds(60)
        let server = GRPCServer(configuration: configuration, service: Echo(), group: testGroup)
        let port = try await server.start()
        let tls = try TestPKI.shared.clientTLS()
        var channels: [any Channel] = []
        for _ in 0..<100 {
            let received = Received()
            let channel = try await ClientBootstrap(group: testGroup)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            try tls.makeHandler(host: "localhost", alpn: ["h2"]))
                        try channel.pipeline.syncOperations.addHandler(received)
                    }
                }.connect(host: "127.0.0.1", port: port).get()
            // The server's settings: the handshake is over.
            try await received.wait { $0.frames.contains { $0.type == 4 } }
            #expect(received.frames.contains { $0.type == 4 })
            try await channel.setOption(.autoRead, value: false).get()
            channels.append(channel)
        }
        let ended = Counter()
        Task {
            await server.stop(grace: .milliseconds(10))
            ended.increment()
        }
        // One after the other they would take much more than a minute.
        #expect(try await eventually { ended.value == 1 })
        for channel in channels { channel.close(promise: nil) }
    }
}
