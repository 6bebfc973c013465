// Connections that stop being HTTP: WebSocket, `Upgrade`, CONNECT, and plain dialling. Each has a connection of its
// own that belongs to the caller. It must never return a connection whose answer was not read.
import NIOCore
import NIOHTTP1
import NetPKI
import Synchronization

extension HTTPClient {
    /// Opens a WebSocket on a connection of its own. A refusal throws `.refused`.
    package func webSocket(
        _ request: HTTPClientRequest, protocols: [String] = []
    ) async throws(HTTPClientError) -> WebSocketConnection {
        let key = WebSocketHandshake.makeKey()
        var asking = request
        asking.method = "GET"
        asking.headers += [
            ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
            ("sec-websocket-key", key)
        ]
        if !protocols.isEmpty { asking.headers.append(("sec-websocket-protocol", protocols.joined(separator: ", "))) }
        let answer = try await upgrade(asking)
        guard let raw = answer.connection else {
            throw .refused(status: answer.status, body: String(buffer: answer.body))
        }
        guard answer.headers.first(name: "sec-websocket-accept") == WebSocketHandshake.accept(key) else {
            raw.abort()
            throw .malformed("wrong Sec-WebSocket-Accept")
        }
        return WebSocketConnection(
            raw, role: .client, selectedProtocol: answer.headers.first(name: "sec-websocket-protocol"))
    }

    /// Sends a request that asks for an upgrade (the caller sets `Upgrade` and `Connection`), or a CONNECT (whose
    /// target is `host:port`). When it is not granted, status, headers and body are returned for relaying.
    package func upgrade(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPUpgradeResponse {
        let headers = try finalHeaders(request)
        let bytesMax = request.responseBytesMax ?? 1 << 20
        let answer = OneAnswer<HTTPUpgradeResponse>()
        let limit = configuration.headerBytesMax
        return try await own(request.endpoint, request.tls, request.timeout, answer) { channel in
            try HTTP1ClientHandler.addCodec(to: channel.pipeline.syncOperations, headerBytesMax: limit)
            let handler = UpgradeHandler(request, headers: headers, bytesMax: bytesMax, answer: answer)
            try channel.pipeline.syncOperations.addHandler(handler)
        }
    }

    /// Dials without HTTP (TLS when the endpoint says so).
    package func connectRaw(
        _ endpoint: HTTPEndpoint, tls: ClientTLS? = nil, timeout: TimeAmount? = nil
    ) async throws(HTTPClientError) -> RawConnection {
        let answer = OneAnswer<RawConnection>()
        return try await own(endpoint, tls, timeout, answer) { channel in
            let raw = try RawHandler.install(on: channel)
            answer.prepare(raw)
        }
    }

    /// Dials a connection of its own and waits for its answer within the time limit.
    private func own<T: Sendable>(
        _ endpoint: HTTPEndpoint, _ tls: ClientTLS?, _ timeout: TimeAmount?, _ answer: OneAnswer<T>,
        _ configure: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(HTTPClientError) -> T {
        let settings = endpoint.isSecure ? tls ?? configuration.tls : nil
        if endpoint.isSecure && settings == nil { throw .invalidRequest("no TLS settings for https") }
        let late = group.next().scheduleTask(in: timeout ?? configuration.responseTimeout) {
            answer.give(.failure(.timeout("no answer in time")))
        }
        dialer.dial(DialKey(endpoint: endpoint, tls: settings, http1Only: true)) { channel, _ in
            try configure(channel)
        } completion: { result in
            switch result {
            case .failure(let error): answer.give(.failure(error))
            case .success(let channel): answer.dialed(channel)
            }
        }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { answer.wait($0) }
        } onCancel: {
            answer.give(.failure(.closed("cancelled by the caller")))
        }
        late.cancel()
        return try outcome.get()
    }
}

/// One outcome for one waiting task; a failure closes the channel.
final class OneAnswer<T: Sendable>: Sendable {
    typealias Outcome = Result<T, HTTPClientError>

    private struct State {
        var outcome: Outcome?
        var continuation: CheckedContinuation<Outcome, Never>?
        var channel: (any Channel)?
        var prepared: T?
    }

    private let state = Mutex(State())

    func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
        let now = state.withLock { state -> Outcome? in
            if state.outcome == nil { state.continuation = continuation }
            return state.outcome
        }
        if let now { continuation.resume(returning: now) }
    }

    /// What to answer as soon as the connection stands.
    func prepare(_ value: T) { state.withLock { $0.prepared = value } }

    func dialed(_ channel: any Channel) {
        let (isLate, ready) = state.withLock { state -> (Bool, T?) in
            state.channel = channel
            if case .failure = state.outcome { return (true, nil) }
            return (false, state.prepared)
        }
        if isLate { channel.close(promise: nil) }
        if let ready { give(.success(ready)) }
    }

    func give(_ outcome: Outcome) {
        let (continuation, channel) = state.withLock {
            state -> (CheckedContinuation<Outcome, Never>?, (any Channel)?) in
            guard state.outcome == nil else { return (nil, nil) }
            state.outcome = outcome
            defer { state.continuation = nil }
            if case .failure = outcome { return (state.continuation, state.channel) }
            return (state.continuation, nil)
        }
        channel?.close(promise: nil)
        continuation?.resume(returning: outcome)
    }
}

/// Sends the asking request and either hands the connection over or collects the refusal.
final class UpgradeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPClientRequest
    private let headers: [(String, String)]
    private let bytesMax: Int
    private let answer: OneAnswer<HTTPUpgradeResponse>
    private var head: HTTPResponseHead?
    private var body = ByteBuffer()
    private var isUpgraded = false
    private var isSent = false

    init(
        _ request: HTTPClientRequest, headers: [(String, String)], bytesMax: Int, answer: OneAnswer<HTTPUpgradeResponse>
    ) {
        self.request = request
        self.headers = headers
        self.bytesMax = bytesMax
        self.answer = answer
    }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { send(context) } }

    func channelActive(context: ChannelHandlerContext) {
        send(context)
        context.fireChannelActive()
    }

    private func send(_ context: ChannelHandlerContext) {
        guard !isSent else { return }
        isSent = true
        var head = HTTPRequestHead(version: .http1_1, method: .init(rawValue: request.method), uri: request.target)
        head.headers = HTTPHeaders(headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.body.readableBytes > 0 {
            context.write(wrapOutboundOut(.body(.byteBuffer(request.body))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isUpgraded else { return context.fireChannelRead(data) }
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let bytes):
            if body.readableBytes + bytes.readableBytes <= bytesMax { body.writeImmutableBuffer(bytes) }
        case .end:
            guard let head else { return }
            if isGranted(Int(head.status.code)) { return takeOver(context, head) }
            answer.give(
                .success(
                    HTTPUpgradeResponse(
                        status: Int(head.status.code), headers: head.headers, connection: nil, body: body)))
            context.close(promise: nil)
        }
    }

    private func isGranted(_ status: Int) -> Bool {
        status == 101 || (request.method == "CONNECT" && (200..<300).contains(status))
    }

    /// After the head's end part, so that only bytes follow.
    private func takeOver(_ context: ChannelHandlerContext, _ head: HTTPResponseHead) {
        isUpgraded = true
        do {
            let pipeline = context.pipeline.syncOperations
            let raw = try RawHandler.install(on: context.channel)
            pipeline.removeHandler(
                try pipeline.handler(type: ByteToMessageHandler<HTTPResponseDecoder>.self), promise: nil)
            pipeline.removeHandler(try pipeline.handler(type: HTTPRequestEncoder.self), promise: nil)
            context.eventLoop.assumeIsolated().execute { pipeline.removeHandler(self, promise: nil) }
            answer.give(
                .success(
                    HTTPUpgradeResponse(
                        status: Int(head.status.code), headers: head.headers, connection: raw, body: ByteBuffer())))
        } catch {
            answer.give(.failure(.malformed("\(error)")))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.give(.failure(.closed("\(error)")))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.give(.failure(.closed("before the answer")))
        context.fireChannelInactive()
    }
}
