// One HTTP/1.1 connection of a client: one call at a time. Reads on while the caller takes the body, and while idle,
// to notice the server's close. Confined to its event loop behind a handle. It must never be reused when the framing
// is in doubt.
import NIOCore
import NIOHTTP1

/// The pool's handle.
final class HTTP1ClientConnection: ClientConnection {
    let channel: any Channel
    private let handler: NIOLoopBound<HTTP1ClientHandler>

    /// On the channel's event loop.
    init(channel: any Channel, owner: any ClientConnectionOwner, configuration: HTTPClientConfiguration) throws {
        self.channel = channel
        let made = HTTP1ClientHandler(owner: owner, idleTimeout: configuration.idleTimeout)
        handler = NIOLoopBound(made, eventLoop: channel.eventLoop)
        try HTTP1ClientHandler.addCodec(
            to: channel.pipeline.syncOperations, headerBytesMax: configuration.headerBytesMax)
        try channel.pipeline.syncOperations.addHandler(made)
        made.connection = self
    }

    func execute(_ call: ClientCall) {
        channel.eventLoop.execute { self.handler.value.execute(call) }
    }

    func close() { channel.close(promise: nil) }
}

final class HTTP1ClientHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPClientRequestPart

    weak var connection: HTTP1ClientConnection?
    private weak var owner: (any ClientConnectionOwner)?
    private let idleTimeout: TimeAmount
    private var context: ChannelHandlerContext?
    private var call: ClientCall?
    private var hasHead = false
    private var keepAlive = false
    private var isRetired = false
    private var hasHeldRead = false
    private var timer: PhaseTimer?
    private var lastError: String?

    init(owner: any ClientConnectionOwner, idleTimeout: TimeAmount) {
        self.owner = owner
        self.idleTimeout = idleTimeout
    }

    static func addCodec(to pipeline: ChannelPipeline.SynchronousOperations, headerBytesMax: Int) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = headerBytesMax
        limits.maxHeaderListSize = headerBytesMax
        try pipeline.addHandler(HTTPRequestEncoder())
        try pipeline.addHandler(
            ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let channel = context.channel
        timer = PhaseTimer(eventLoop: context.eventLoop) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        retire()
        self.context = nil
    }

    func execute(_ call: ClientCall) {
        guard let context, context.channel.isActive, self.call == nil, !isRetired else {
            owner?.failed(call, .closed("the pooled connection was closed"), wasSent: false)
            return
        }
        if call.isOver, let connection { return owner?.released(connection) ?? () }
        timer?.pause()
        self.call = call
        hasHead = false
        let handle = connection
        call.body.attach(
            wantsMore: { [weak handle] in handle?.wake() }, cancel: { [weak handle] in handle?.close() })
        writeRequest(call, context)
        readIfNeeded()
    }

    private func writeRequest(_ call: ClientCall, _ context: ChannelHandlerContext) {
        let request = call.request
        var head = HTTPRequestHead(version: .http1_1, method: .init(rawValue: request.method), uri: request.target)
        head.headers = HTTPHeaders(call.headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.body.readableBytes > 0 {
            context.write(wrapOutboundOut(.body(.byteBuffer(request.body))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if call?.body.hasRoom ?? true { context.read() } else { hasHeldRead = true }
    }

    func readIfNeeded() {
        guard hasHeldRead, let context, call?.body.hasRoom ?? true else { return }
        hasHeldRead = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard let call else { return context.close(promise: nil) }
            hasHead = true
            keepAlive = head.isKeepAlive
            call.received(status: Int(head.status.code), headers: head.headers, version: 1)
        case .body(let bytes): call?.body.push(bytes)
        case .end: complete(context)
        }
    }

    private func complete(_ context: ChannelHandlerContext) {
        guard let done = call else { return }
        call = nil
        done.ended(.success(()))
        guard keepAlive, !isRetired, let connection else { return context.close(promise: nil) }
        timer?.start(idleTimeout)
        owner?.released(connection)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is HTTPParserError, hasHead || call != nil { lastError = "\(error)" }
        if let call, case .some(let fault) = error as? HTTPParserError, fault != .invalidEOFState {
            self.call = nil
            fail(call, .malformed("\(fault)"))
        }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        retire()
        context.fireChannelInactive()
    }

    private func retire() {
        guard !isRetired else { return }
        isRetired = true
        timer?.stop()
        if let connection { owner?.retired(connection) }
        guard let call else { return }
        self.call = nil
        fail(call, .closed(lastError ?? "by the server"))
    }

    private func fail(_ call: ClientCall, _ error: HTTPClientError) {
        if hasHead { call.ended(.failure(error)) } else { owner?.failed(call, error, wasSent: true) }
    }
}

extension HTTP1ClientConnection {
    func wake() { channel.eventLoop.execute { self.handler.value.readIfNeeded() } }
}
