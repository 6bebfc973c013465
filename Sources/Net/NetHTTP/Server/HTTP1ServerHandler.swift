// One HTTP/1.1 connection of a server: takes the decoder's parts, serves one request at a time in order, writes the
// answer's bytes. Everything is confined to the event loop. It must never read on while a pipelined request waits,
// never answer out of order, and never keep a connection whose framing is in doubt.
import NIOCore
import NIOHTTP1

final class HTTP1ServerHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A request whose body is still arriving.
    struct Incoming {
        var head: HTTPRequestHead
        var body = ByteBuffer()
        var isRefused = false
    }

    /// Complete, but an answer before it is not out yet.
    enum Ready {
        case request(HTTPRequest, keepAlive: Bool, http10: Bool)
        case refusal(RequestFault)
    }

    /// The request that is being answered.
    struct Active {
        let writer: HTTPResponseWriter
        let keepAlive: Bool
        let http10: Bool
        let isHead: Bool
        var framing: Framing?
    }

    enum Framing { case length, chunked, untilClose }

    enum Phase { case idle, head, body, serving, lingering, takenOver, closed }

    /// How long a refused client has to read the refusal.
    static let lingerTime = TimeAmount.seconds(2)

    let connection: ServerConnection
    var phase = Phase.idle
    var incoming: Incoming?
    var ready: [Ready] = []
    var active: Active?
    var context: ChannelHandlerContext?
    private var timer: PhaseTimer?
    private var hasUnservedBytes = false
    private var hasHeldRead = false
    private var isReading = false
    private var needsFlush = false
    private var isStopping = false

    init(connection: ServerConnection) { self.connection = connection }

    var configuration: HTTPServerConfiguration { connection.shared.configuration }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        timer = PhaseTimer(eventLoop: context.eventLoop) { [weak self] in self?.expired() }
        timer?.start(configuration.headerTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.stop()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    func closed() {
        guard phase != .closed && phase != .takenOver else { return }
        phase = .closed
        timer?.stop()
        ready = []
        incoming = nil
        let writer = active?.writer
        active = nil
        writer?.finish()
    }

    /// The guard before the decoder saw bytes: an idle connection begins a request head now.
    func bytesArrived() {
        hasUnservedBytes = true
        if phase == .idle { enter(.head) }
    }

    private func enter(_ next: Phase) {
        phase = next
        switch next {
        case .idle: timer?.start(configuration.idleTimeout)
        case .head: timer?.start(configuration.headerTimeout)
        case .body: timer?.start(configuration.bodyTimeout)
        case .lingering: timer?.start(Self.lingerTime)
        case .serving: timer?.pause()
        case .takenOver, .closed: timer?.stop()
        }
    }

    private func expired() {
        guard let context else { return }
        switch phase {
        case .body where active == nil: refuse(.bodyTimedOut)
        case .serving, .takenOver: break
        default: context.close(promise: nil)
        }
    }

    func read(context: ChannelHandlerContext) {
        if ready.isEmpty || phase == .takenOver { context.read() } else { hasHeldRead = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard phase != .takenOver else { return context.fireChannelRead(data) }
        guard phase != .lingering && phase != .closed else { return }
        isReading = true
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head)
        case .body(let bytes): append(bytes)
        case .end: complete()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        if needsFlush {
            needsFlush = false
            context.flush()
        }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ServerStopping {
            isStopping = true
            if phase == .idle || phase == .head { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard phase != .takenOver else { return context.fireErrorCaught(error) }
        guard let fault = (error as? HTTPParserError).flatMap({ RequestFault($0) }) else {
            return context.close(promise: nil)
        }
        refuseInTurn(fault)
    }

    func flushNow() {
        if isReading { needsFlush = true } else { context?.flush() }
    }

    func flushSoon() {
        guard !needsFlush, let context else { return }
        needsFlush = true
        guard !isReading else { return }
        context.eventLoop.assumeIsolated().execute { [weak self] in
            guard let self, self.needsFlush, !self.isReading else { return }
            self.needsFlush = false
            self.context?.flush()
        }
    }
}

// Requests in.
extension HTTP1ServerHandler {
    private func begin(_ head: HTTPRequestHead) {
        incoming = Incoming(head: head)
        if phase == .idle || phase == .head { enter(.body) }
        let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
        if length > configuration.requestBytesMax {
            incoming?.isRefused = true
            refuseInTurn(configuration.bodyTooLarge)
        } else if active == nil, ready.isEmpty, head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            context?.writeAndFlush(
                wrapOutboundOut(ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        }
    }

    private func append(_ bytes: ByteBuffer) {
        guard let size = incoming?.body.readableBytes, incoming?.isRefused == false else { return }
        guard size + bytes.readableBytes <= configuration.requestBytesMax else {
            incoming?.isRefused = true
            incoming?.body = ByteBuffer()
            return refuseInTurn(configuration.bodyTooLarge)
        }
        if size == 0 { incoming?.body = bytes } else { incoming?.body.writeImmutableBuffer(bytes) }
    }

    private func complete() {
        hasUnservedBytes = false
        guard let incoming, !incoming.isRefused else { return }
        self.incoming = nil
        let head = incoming.head
        guard let request = makeRequest(head, incoming.body) else {
            return refuseInTurn(.badTarget)
        }
        let stopsDecoder = request.isUpgrade != nil || head.method == .CONNECT
        let http10 = head.version.minor == 0
        ready.append(.request(request, keepAlive: head.isKeepAlive && !stopsDecoder, http10: http10))
        serveNext()
    }

    private func makeRequest(_ head: HTTPRequestHead, _ body: ByteBuffer) -> HTTPRequest? {
        let hosts = head.headers["host"]
        guard hosts.count == 1 || (head.version.minor == 0 && hosts.isEmpty) else { return nil }
        var request = connection.makeRequest(
            method: head.method.rawValue, target: head.uri, headers: head.headers, version: 1)
        request?.body = body
        if let upgrade = head.headers.first(name: "upgrade"),
            head.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" })
        {
            request?.isUpgrade = upgrade.lowercased()
        }
        return request
    }

    /// A refusal waits for its turn behind earlier answers; afterwards the connection ends.
    private func refuseInTurn(_ fault: RequestFault) {
        ready.append(.refusal(fault))
        serveNext()
    }

    func serveNext() {
        guard active == nil, !ready.isEmpty, let context else { return }
        switch ready.removeFirst() {
        case .refusal(let fault): refuse(fault)
        case .request(let request, let keepAlive, let http10):
            enter(.serving)
            let writer = HTTPResponseWriter(
                eventLoop: context.eventLoop, sink: self, highWatermark: configuration.writeHighWatermarkBytes,
                webSocketKey: webSocketKey(request))
            active = Active(writer: writer, keepAlive: keepAlive, http10: http10, isHead: request.method == "HEAD")
            connection.shared.service.respond(to: request, writer)
        }
    }

    private func webSocketKey(_ request: HTTPRequest) -> String? {
        guard request.isUpgrade == "websocket", request.method == "GET", request.header("sec-websocket-version") == "13"
        else { return nil }
        return request.header("sec-websocket-key")
    }

    /// Answers by itself, drops what else arrives, and closes once the client had time to read.
    private func refuse(_ fault: RequestFault) {
        guard let context else { return }
        ready = []
        incoming = nil
        enter(.lingering)
        let answer = configuration.answer(to: fault)
        var bytes = ByteBuffer()
        bytes.writeResponseHead(status: answer.status, headers: answer.headers)
        bytes.writeHeader("content-length", String(answer.body.readableBytes))
        bytes.writeStaticString("connection: close\r\n\r\n")
        bytes.writeImmutableBuffer(answer.body)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(bytes)).whenComplete { _ in channel.close(mode: .output, promise: nil) }
        releaseRead()
    }

    func responseDone() {
        guard let done = active, let context else { return }
        active = nil
        done.writer.finish()
        guard phase != .closed else { return }
        guard done.keepAlive && done.framing != .untilClose && !isStopping else {
            enter(.lingering)
            context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { [channel = context.channel] _ in
                channel.close(promise: nil)
            }
            return
        }
        if ready.isEmpty { enter(incoming != nil ? .body : hasUnservedBytes ? .head : .idle) }
        serveNext()
        releaseRead()
    }

    private func releaseRead() {
        guard hasHeldRead, ready.isEmpty, let context else { return }
        hasHeldRead = false
        context.read()
    }
}

/// Sits before the decoder and tells the handler that bytes of a request head began to arrive.
final class HTTP1Guard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    private weak var handler: HTTP1ServerHandler?

    init(handler: HTTP1ServerHandler) { self.handler = handler }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        handler?.bytesArrived()
        context.fireChannelRead(data)
    }
}
