// One HTTP/2 connection of a gRPC server: cuts bytes into frames, keeps the streams, and checks whatever a client could
// do wrong. Confined to its event loop. Everything that is written in one turn of the loop leaves in one write. It must
// never trap on what arrives, nor keep more of it than windows and limits allow.
import NIOCore
import NIOHPACK
import NetPKI
import Synchronization

final class GRPCServerConnection: ChannelDuplexHandler {
    struct Stopping: Sendable {}
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private struct HeaderBlock {
        var stream: UInt32
        var isLast: Bool
        var bytes: ByteBuffer
        var continuations = 0
    }
    let configuration: GRPCServerConfiguration
    let service: any GRPCService
    let clientCertificate: ClientCertificate?
    private(set) var context: ChannelHandlerContext?
    private(set) var outbox: GRPCOutbox?
    private(set) var streams: [UInt32: GRPCServerStream] = [:]
    private var input = HTTP2Input()
    private var decoder = RequestFieldsDecoder()
    private var block: HeaderBlock?
    private var lastStream: UInt32 = 0
    private var hasPreface = false
    private var hasSettings = false
    private var isStopping = false
    private var isOver = false
    private var isReading = false
    /// The socket takes no more: the client is not read either until it takes its answers.
    private var hasHeldRead = false
    private var isFlushScheduled = false
    private var emptyFrames = 0
    private var resets = HTTP2Limit(HTTP2.resetsMax, now: .now())
    private var control: HTTP2Limit
    private var receiveWindow = 65_535
    private var unreported = 0

    // What the other half, in GRPCServerConnection+Output, works on.
    var output = ByteBuffer()
    var peer = HTTP2PeerSettings()
    var sendWindow = 65_535
    var fields = AnswerFields()
    /// Streams with messages that do not fit a window, in order.
    var blocked: [UInt32] = []
    /// Bytes of all streams that wait.
    private(set) var waitingBytes = 0
    /// Messages in `output`, and whose they are.
    var written: [(call: GRPCServerCall, bytes: Int)] = []

    init(_ configuration: GRPCServerConfiguration, _ service: any GRPCService, _ certificate: ClientCertificate?) {
        self.configuration = configuration
        self.service = service
        clientCertificate = certificate
        control = HTTP2Limit(configuration.controlFramesMax, now: .now())
    }

    private var connectionWindow: Int { max(configuration.windowBytes, 1 << 20) * 4 }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        outbox = GRPCOutbox(context.eventLoop)
        let settings: [(UInt16, Int)] = [
            (3, configuration.streamsMax), (4, configuration.windowBytes), (6, HTTP2.headerBlockBytesMax)
        ]
        output.writeFrame(.settings, length: settings.count * 6)
        for (name, value) in settings {
            output.writeInteger(name)
            output.writeInteger(UInt32(truncatingIfNeeded: value))
        }
        output.writeWindowUpdate(0, connectionWindow - receiveWindow)
        receiveWindow = connectionWindow
        scheduleFlush()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closeStreams()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        flush()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOver = true
        closeStreams()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            sendBlocked()
            readHeld(context)
        }
        context.fireChannelWritabilityChanged()
    }

    /// The server stops: no new streams; those that are open may end.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is Stopping else { return context.fireUserInboundEventTriggered(event) }
        writeGoAway(UInt32(HTTP2.windowMax), .noError)
        isStopping = true
    }

    private func writeGoAway(_ last: UInt32, _ code: HTTP2Code) {
        output.writeFrame(.goAway, length: 8)
        output.writeInteger(last)
        output.writeInteger(code.rawValue)
        scheduleFlush()
    }

    private func closeStreams() {
        let open = streams
        streams = [:]
        for id in open.keys.sorted() { open[id]?.close() }
        for (call, bytes) in written { call.accepted(bytes) }
        (written, blocked) = ([], [])
    }

    var isOvercommitted: Bool { waitingBytes > configuration.waitingBytesMax }
    func noteWaiting(_ bytes: Int) { waitingBytes += bytes }

    func remove(_ id: UInt32) -> GRPCServerStream? { streams.removeValue(forKey: id) }

    // MARK: Writing

    func scheduleFlush() {
        guard !isFlushScheduled, !isReading, let context else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        isFlushScheduled = false
        guard let context, context.channel.isActive, output.readableBytes > 0 else { return }
        let bytes = output
        configuration.traffic?.sentBytes.wrappingAdd(bytes.readableBytes, ordering: .relaxed)
        output = context.channel.allocator.buffer(capacity: min(max(1024, bytes.readableBytes), 64 << 10))
        guard !written.isEmpty else { return context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
        let done = context.eventLoop.makePromise(of: Void.self)
        let written = written
        self.written = []
        done.futureResult.whenComplete { _ in for (call, bytes) in written { call.accepted(bytes) } }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: done)
    }

    // MARK: Reading

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable, output.readableBytes <= GRPCServer.unsentBytesMax {
            context.read()
        } else {
            hasHeldRead = true
        }
    }

    private func readHeld(_ context: ChannelHandlerContext) {
        guard hasHeldRead else { return }
        hasHeldRead = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        let bytes = unwrapInboundIn(data)
        configuration.traffic?.receivedBytes.wrappingAdd(bytes.readableBytes, ordering: .relaxed)
        input.append(bytes)
        isReading = true
        do { while try takeFrame() {} } catch {
            fail(error as? HTTP2ConnectionError ?? HTTP2ConnectionError(.internalError, "\(error)"))
        }
        input.letGo()
        isReading = false
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        context.fireChannelReadComplete()
    }

    private func fail(_ error: HTTP2ConnectionError) {
        configuration.refused(address(of: context?.channel), "\(error.code): \(error.reason)")
        isReading = false
        isOver = true
        writeGoAway(lastStream, error.code)
        flush()
        context?.close(promise: nil)
    }

    /// False: more bytes are needed.
    private func takeFrame() throws -> Bool {
        guard hasPreface else { return try takePreface() }
        guard let head = input.head else { return false }
        guard head.length <= HTTP2.frameBytesMax else { throw HTTP2ConnectionError(.frameSize, "\(head.length) bytes") }
        guard let body = input.body(head.length) else { return false }
        let type = HTTP2FrameType(rawValue: head.type)
        if block != nil, type != .continuation { throw HTTP2ConnectionError(.protocolError, "CONTINUATION expected") }
        if !hasSettings, type != .settings { throw HTTP2ConnectionError(.protocolError, "SETTINGS expected") }
        try take(type, head, body)
        return true
    }

    private func takePreface() throws -> Bool {
        guard let isWhole = input.take(HTTP2.preface) else { throw HTTP2ConnectionError(.protocolError, "no preface") }
        hasPreface = isWhole
        return isWhole
    }

    private func take(_ type: HTTP2FrameType?, _ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        switch type {
        case .data: try takeData(head, body)
        case .headers: try takeHeaders(head, body)
        case .continuation: try takeContinuation(head, body)
        case .reset: try takeReset(head)
        case .settings: try takeSettings(head, body)
        case .ping: try takePing(head, body)
        case .windowUpdate: try takeWindowUpdate(head, body)
        case .push: throw HTTP2ConnectionError(.protocolError, "a client pushes nothing")
        case .priority, .goAway, nil: try countControl()
        }
    }

    private func countControl() throws {
        if control.isExceeded(now: .now()) { throw HTTP2ConnectionError(.enhanceYourCalm, "control frames") }
    }

    private func unpadded(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws -> ByteBuffer {
        guard head.has(HTTP2Flag.padded) else { return body }
        var body = body
        guard let padding: UInt8 = body.readInteger(), Int(padding) <= body.readableBytes else {
            throw HTTP2ConnectionError(.protocolError, "padding")
        }
        return body.readSlice(length: body.readableBytes - Int(padding)) ?? ByteBuffer()
    }

    // MARK: Frames of connections

    private func takeSettings(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard head.stream == 0 else { throw HTTP2ConnectionError(.protocolError, "SETTINGS of a stream") }
        try countControl()
        if head.has(HTTP2Flag.ack) {
            guard head.length == 0, hasSettings else { throw HTTP2ConnectionError(.frameSize, "SETTINGS") }
            return
        }
        guard head.length % 6 == 0 else { throw HTTP2ConnectionError(.frameSize, "SETTINGS") }
        hasSettings = true
        var body = body
        let before = peer.window
        while let name: UInt16 = body.readInteger(), let value: UInt32 = body.readInteger() {
            try peer.set(name, value)
        }
        for stream in streams.values {
            stream.sendWindow += peer.window - before
            guard stream.sendWindow <= HTTP2.windowMax else { throw HTTP2ConnectionError(.flowControl, "SETTINGS") }
        }
        output.writeFrame(.settings, flags: HTTP2Flag.ack, length: 0)
        sendBlocked()
    }

    private func takePing(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard head.stream == 0 else { throw HTTP2ConnectionError(.protocolError, "PING of a stream") }
        guard head.length == 8 else { throw HTTP2ConnectionError(.frameSize, "PING") }
        try countControl()
        guard !head.has(HTTP2Flag.ack) else { return }
        var body = body
        output.writeFrame(.ping, flags: HTTP2Flag.ack, length: 8)
        output.writeBuffer(&body)
    }

    private func takeWindowUpdate(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard head.length == 4, let word = body.getInteger(at: body.readerIndex, as: UInt32.self) else {
            throw HTTP2ConnectionError(.frameSize, "WINDOW_UPDATE")
        }
        let bytes = Int(word & 0x7fff_ffff)
        if head.stream == 0 {
            guard bytes > 0, sendWindow + bytes <= HTTP2.windowMax else {
                throw HTTP2ConnectionError(bytes == 0 ? .protocolError : .flowControl, "WINDOW_UPDATE")
            }
            sendWindow += bytes
        } else {
            guard head.stream <= lastStream else { throw HTTP2ConnectionError(.protocolError, "an idle stream") }
            guard let stream = streams[head.stream] else { return try countControl() }
            guard bytes > 0, stream.sendWindow + bytes <= HTTP2.windowMax else {
                return reset(head.stream, bytes == 0 ? .protocolError : .flowControl)
            }
            stream.sendWindow += bytes
        }
        if !blocked.isEmpty { sendBlocked() }
    }

    // MARK: Frames of streams

    private func takeHeaders(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard head.stream % 2 == 1 else { throw HTTP2ConnectionError(.protocolError, "stream \(head.stream)") }
        var bytes = try unpadded(head, body)
        if head.has(HTTP2Flag.priority), bytes.readSlice(length: 5) == nil {
            throw HTTP2ConnectionError(.frameSize, "HEADERS")
        }
        let isLast = head.has(HTTP2Flag.endStream)
        guard head.has(HTTP2Flag.endHeaders) else {
            block = HeaderBlock(stream: head.stream, isLast: isLast, bytes: bytes)
            return
        }
        try begin(head.stream, isLast: isLast, bytes)
    }

    private func takeContinuation(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard var open = block, open.stream == head.stream else {
            throw HTTP2ConnectionError(.protocolError, "CONTINUATION")
        }
        open.continuations += 1
        open.bytes.writeImmutableBuffer(body)
        guard open.bytes.readableBytes <= HTTP2.headerBlockBytesMax, open.continuations <= HTTP2.continuationsMax else {
            throw HTTP2ConnectionError(.enhanceYourCalm, "header block")
        }
        block = open
        guard head.has(HTTP2Flag.endHeaders) else { return }
        block = nil
        try begin(open.stream, isLast: open.isLast, open.bytes)
    }

    private func begin(_ id: UInt32, isLast: Bool, _ bytes: ByteBuffer) throws {
        let fields = try decoder.decode(bytes)
        if let open = streams[id] {
            // Trailers of a request.
            guard isLast else { return reset(id, .protocolError) }
            return open.inputEnded()
        }
        // What belongs to a stream that was ended here may still be on its way.
        guard id > lastStream else { return try countControl() }
        lastStream = id
        guard !isStopping, streams.count < configuration.streamsMax else {
            try countControl()
            return output.writeReset(id, .refusedStream)
        }
        let stream = GRPCServerStream(id, self)
        streams[id] = stream
        stream.begin(fields)
        if isLast { stream.inputEnded() }
    }

    private func takeData(_ head: HTTP2FrameHead, _ body: ByteBuffer) throws {
        guard head.stream != 0, head.stream <= lastStream else {
            throw HTTP2ConnectionError(.protocolError, "DATA of an idle stream")
        }
        receiveWindow -= head.length
        guard receiveWindow >= 0 else { throw HTTP2ConnectionError(.flowControl, "connection window") }
        let isLast = head.has(HTTP2Flag.endStream)
        emptyFrames = head.length == 0 && !isLast ? emptyFrames + 1 : 0
        guard emptyFrames <= HTTP2.emptyFramesMax else { throw HTTP2ConnectionError(.enhanceYourCalm, "empty DATA") }
        let bytes = try unpadded(head, body)
        guard let stream = streams[head.stream], !stream.isInputEnded else {
            release(nil, head.length)
            return
        }
        stream.receiveWindow -= head.length
        guard stream.receiveWindow >= 0 else {
            release(nil, head.length)
            return reset(head.stream, .flowControl)
        }
        stream.received(bytes)
        if isLast { stream.inputEnded() }
        if streams[head.stream] == nil { release(nil, head.length) } else { stream.consumed(head.length) }
    }

    private func takeReset(_ head: HTTP2FrameHead) throws {
        guard head.length == 4 else { throw HTTP2ConnectionError(.frameSize, "RST_STREAM") }
        guard head.stream != 0, head.stream <= lastStream else {
            throw HTTP2ConnectionError(.protocolError, "RST_STREAM of an idle stream")
        }
        if resets.isExceeded(now: .now()) { throw HTTP2ConnectionError(.enhanceYourCalm, "resets") }
        remove(head.stream)?.close()
    }

    /// Ends one stream.
    func reset(_ id: UInt32, _ code: HTTP2Code) {
        guard let stream = remove(id) else { return }
        output.writeReset(id, code)
        scheduleFlush()
        stream.close()
    }

    /// The bytes were taken in: the client may send as many more.
    func release(_ stream: GRPCServerStream?, _ bytes: Int) {
        unreported += bytes
        if unreported >= connectionWindow / 2 {
            output.writeWindowUpdate(0, unreported)
            receiveWindow += unreported
            unreported = 0
            scheduleFlush()
        }
        guard let stream, !stream.isInputEnded else { return }
        stream.unreported += bytes
        guard stream.unreported >= configuration.windowBytes / 2 else { return }
        output.writeWindowUpdate(stream.id, stream.unreported)
        stream.receiveWindow += stream.unreported
        stream.unreported = 0
        scheduleFlush()
    }
}
