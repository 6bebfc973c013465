// One connection of the load to one member: opens streams, cuts what arrives into messages, tells each stream's owner.
// Confined to its event loop. What is written in one turn of the loop leaves in one write.
import NIOCore
import NIOHPACK
import NIOPosix

/// How a call ended. Status 0 is OK; -1: the connection was lost.
struct CallEnd: Sendable {
    var status: Int
    var text: String
    static let ok = CallEnd(status: 0, text: "")
}

/// Who is told what a call brings; on the event loop.
protocol CallOwner: AnyObject {
    func received(_ message: ByteBuffer)
    func ended(_ end: CallEnd)
}

extension CallOwner {
    func received(_ message: ByteBuffer) {}
}

/// A call that may be sent to again.
struct StreamID: Hashable, Sendable {
    fileprivate var rawValue: UInt32
}

/// Unchecked: everything runs on the event loop.
final class Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private struct Stream {
        var owner: any CallOwner
        var partial = ByteBuffer()
        var window: Int
    }
    private struct Blocked {
        var stream: UInt32
        var message: ByteBuffer
        var isLast: Bool
    }
    private let authority: String
    private var context: ChannelHandlerContext?
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private var streams: [UInt32: Stream] = [:]
    private var nextStream: UInt32 = 1
    private var window = 65_535
    private var streamWindow = 65_535
    private var blocked: [Blocked] = []
    private var unreported = 0
    private var isFlushScheduled = false
    private var fields = RequestFields()
    private var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
    private var knownEnds: [[UInt8]: CallEnd?] = [:]
    private(set) var isLost = false

    private init(authority: String) { self.authority = authority }

    static func dial(port: Int, on loop: any EventLoop) -> EventLoopFuture<Connection> {
        let connection = Connection(authority: "127.0.0.1:\(port)")
        return ClientBootstrap(group: loop).connectTimeout(.seconds(2))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) }
            }
            .connect(host: "127.0.0.1", port: port).map { _ in connection }
    }

    var openCount: Int { streams.count }

    func close() { context?.close(promise: nil) }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        output.writePreface()
        flush()
    }

    // MARK: Calls

    /// One request; `owner` is told the answer and the end.
    func call(_ path: String, _ message: ByteBuffer, _ owner: any CallOwner) {
        let stream = open(path, owner)
        guard !isLost else { return }
        send(stream, message, isLast: true)
    }

    /// A stream of requests.
    func open(_ path: String, _ owner: any CallOwner) -> StreamID {
        let id = nextStream
        guard !isLost else {
            owner.ended(CallEnd(status: -1, text: "the connection was lost"))
            return StreamID(rawValue: id)
        }
        nextStream += 2
        streams[id] = Stream(owner: owner, window: streamWindow)
        let at = output.writerIndex
        output.writeFrameHead(.headers, flags: FrameFlag.endHeaders, stream: id, length: 0)
        fields.encode(path: path, authority: authority, into: &output)
        let length = output.writerIndex - at - FrameHead.bytes
        output.setInteger(UInt32(length) << 8 | UInt32(FrameType.headers.rawValue), at: at)
        scheduleFlush()
        return StreamID(rawValue: id)
    }

    func send(_ stream: StreamID, _ message: ByteBuffer, isLast: Bool = false) {
        precondition(message.readableBytes + 5 <= Wire.frameBytesMax, "a request of \(message.readableBytes) bytes")
        let one = Blocked(stream: stream.rawValue, message: message, isLast: isLast)
        if !blocked.isEmpty || !write(one) { blocked.append(one) }
        scheduleFlush()
    }

    func cancel(_ stream: StreamID) {
        guard streams.removeValue(forKey: stream.rawValue) != nil else { return }
        output.writeFrameHead(.reset, stream: stream.rawValue, length: 4)
        output.writeInteger(UInt32(8))
        scheduleFlush()
    }

    /// False when a window is closed.
    private func write(_ one: Blocked) -> Bool {
        let length = one.message.readableBytes + 5
        guard let stream = streams[one.stream] else { return true }
        guard window >= length, stream.window >= length else { return false }
        window -= length
        streams[one.stream]?.window -= length
        output.writeFrameHead(
            .data, flags: one.isLast ? FrameFlag.endStream : 0, stream: one.stream, length: length)
        output.writeInteger(UInt8(0))
        output.writeInteger(UInt32(length - 5))
        output.writeImmutableBuffer(one.message)
        return true
    }

    private func unblock() {
        var count = 0
        while count < blocked.count, write(blocked[count]) { count += 1 }
        blocked.removeFirst(count)
    }

    private func scheduleFlush() {
        guard !isFlushScheduled, let context else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        isFlushScheduled = false
        guard let context, output.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
        output = context.channel.allocator.buffer(capacity: 4096)
    }

    // MARK: Frames

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
        while let head = FrameHead(at: input.readerIndex, of: input),
            input.readableBytes >= FrameHead.bytes + head.length
        {
            input.moveReaderIndex(forwardBy: FrameHead.bytes)
            guard let body = input.readSlice(length: head.length) else { break }
            take(head, body)
        }
        if input.readableBytes == 0 { input = ByteBuffer() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if unreported > Wire.windowBytes / 4 {
            output.writeWindowUpdate(by: unreported)
            unreported = 0
        }
        flush()
    }

    private func take(_ head: FrameHead, _ body: ByteBuffer) {
        var body = body
        switch FrameType(rawValue: head.type) {
        case .data:
            unreported += head.length
            precondition(head.flags & FrameFlag.padded == 0, "padded frames are not understood")
            takeData(head, body)
        case .headers: takeHeaders(head, body)
        case .reset: end(head.stream, CallEnd(status: 14, text: "the stream was reset"))
        case .settings where head.flags & FrameFlag.ack == 0:
            while let name: UInt16 = body.readInteger(), let value: UInt32 = body.readInteger() { take(name, value) }
            output.writeFrameHead(.settings, flags: FrameFlag.ack, length: 0)
            unblock()
        case .ping where head.flags & FrameFlag.ack == 0:
            output.writeFrameHead(.ping, flags: FrameFlag.ack, length: 8)
            output.writeBuffer(&body)
        case .windowUpdate:
            let bytes = Int(body.readInteger(as: UInt32.self) ?? 0)
            if head.stream == 0 { window += bytes } else { streams[head.stream]?.window += bytes }
            unblock()
        case .goAway: lose("the server said GOAWAY")
        case .continuation, .push: lose("a frame of type \(head.type) is not understood")
        default: break
        }
    }

    private func take(_ setting: UInt16, _ value: UInt32) {
        guard setting == 4 else { return }
        for id in streams.keys { streams[id]?.window += Int(value) - streamWindow }
        streamWindow = Int(value)
    }

    private func takeData(_ head: FrameHead, _ body: ByteBuffer) {
        guard let owner = streams[head.stream]?.owner else { return }
        var body = body
        if var partial = streams[head.stream]?.partial, partial.readableBytes > 0 {
            streams[head.stream]?.partial = ByteBuffer()
            partial.writeBuffer(&body)
            body = partial
        }
        while let length: UInt32 = body.getInteger(at: body.readerIndex + 1),
            body.readableBytes >= 5 + Int(length)
        {
            body.moveReaderIndex(forwardBy: 5)
            if let message = body.readSlice(length: Int(length)) { owner.received(message) }
        }
        if body.readableBytes > 0 { streams[head.stream]?.partial = body }
        if head.flags & FrameFlag.endStream != 0 { end(head.stream, CallEnd(status: 2, text: "no status")) }
    }

    private func takeHeaders(_ head: FrameHead, _ body: ByteBuffer) {
        precondition(
            head.flags & FrameFlag.endHeaders != 0
                && head.flags & (FrameFlag.padded | FrameFlag.priority) == 0, "headers are not understood")
        do {
            if let status = try status(body) {
                end(head.stream, status)
            } else if head.flags & FrameFlag.endStream != 0 {
                end(head.stream, CallEnd(status: 2, text: "no status"))
            }
        } catch { lose("\(error)") }
    }

    /// A block of indexed fields alone always means the same, until another block changes the table.
    private func status(_ body: ByteBuffer) throws -> CallEnd? {
        let key = Array(body.readableBytesView)
        if let known = knownEnds[key] { return known }
        var body = body
        let fields = try decoder.decodeHeaders(from: &body)
        let status = fields.first(name: "grpc-status").map {
            CallEnd(status: Int($0) ?? 2, text: fields.first(name: "grpc-message") ?? "")
        }
        if key.allSatisfy({ $0 >= 0x80 && $0 != 0xff }) {
            knownEnds[key] = .some(status)
        } else {
            knownEnds = [:]
        }
        return status
    }

    private func end(_ stream: UInt32, _ end: CallEnd) {
        streams.removeValue(forKey: stream)?.owner.ended(end)
    }

    private func lose(_ reason: String) {
        guard !isLost else { return }
        isLost = true
        let open = streams
        streams = [:]
        for id in open.keys.sorted() { open[id]?.owner.ended(CallEnd(status: -1, text: reason)) }
        context?.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        lose("the connection was closed")
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { lose("\(error)") }
}
