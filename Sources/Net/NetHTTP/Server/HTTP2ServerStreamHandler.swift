// One HTTP/2 stream of a server: one request in, one answer out, as frame payloads (no translation through HTTP/1.1
// parts). Confined to its event loop. Flow control and framing are NIOHTTP2's. It must never answer twice.
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

final class HTTP2ServerStreamHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private enum State { case head, body, serving, streaming, ended }

    private let connection: ServerConnection
    private var state = State.head
    private var request: HTTPRequest?
    private var requestIsComplete = false
    private var discardedBytes = 0
    private var isHead = false
    private var writer: HTTPResponseWriter?
    private var context: ChannelHandlerContext?
    private var bodyTimer: Scheduled<Void>?
    private var isReading = false
    private var needsFlush = false

    init(connection: ServerConnection) { self.connection = connection }

    private var configuration: HTTPServerConfiguration { connection.shared.configuration }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    private func closed() {
        bodyTimer?.cancel()
        bodyTimer = nil
        request = nil
        state = .ended
        let last = writer
        writer = nil
        last?.finish()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        switch unwrapInboundIn(data) {
        case .headers(let headers): received(headers)
        case .data(let data): received(data)
        default: break
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

    private func received(_ frame: HTTP2Frame.FramePayload.Headers) {
        if frame.endStream { requestIsComplete = true }
        guard state == .head else { return frame.endStream ? complete() : () }
        guard let request = makeRequest(frame.headers) else {
            return refuse(.badTarget)
        }
        state = .body
        self.request = request
        isHead = request.method == "HEAD"
        if frame.endStream { return complete() }
        let length = request.header("content-length").flatMap { Int($0) } ?? 0
        guard length <= configuration.requestBytesMax else { return refuse(configuration.bodyTooLarge) }
        bodyTimer = context?.eventLoop.assumeIsolated().scheduleTask(in: configuration.bodyTimeout) { [weak self] in
            self?.refuse(.bodyTimedOut)
        }
    }

    private func received(_ frame: HTTP2Frame.FramePayload.Data) {
        guard case .byteBuffer(let bytes) = frame.data else { return }
        if frame.endStream { requestIsComplete = true }
        if state == .body, let have = request?.body.readableBytes {
            guard have + bytes.readableBytes <= configuration.requestBytesMax else {
                return refuse(configuration.bodyTooLarge)
            }
            if have == 0 { request?.body = bytes } else { request?.body.writeImmutableBuffer(bytes) }
            if frame.endStream { complete() }
        } else {
            discardedBytes &+= bytes.readableBytes
            if discardedBytes > configuration.discardBytesMax { context?.close(promise: nil) }
        }
    }

    private func makeRequest(_ fields: HPACKHeaders) -> HTTPRequest? {
        var method: String?
        var target: String?
        var headers: [(String, String)] = []
        headers.reserveCapacity(fields.count)
        for (name, value, _) in fields {
            switch name {
            case ":method": method = value
            case ":path": target = value
            case ":authority": headers.append(("host", value))
            case ":scheme": break
            default: headers.append((name, value))
            }
        }
        guard let method, let target = target ?? (method == "CONNECT" ? "" : nil) else { return nil }
        return connection.makeRequest(method: method, target: target, headers: HTTPHeaders(headers), version: 2)
    }

    private func complete() {
        guard state == .body, let request, let writer = begin() else { return }
        self.request = nil
        connection.shared.service.respond(to: request, writer)
    }

    private func begin() -> HTTPResponseWriter? {
        guard let context else { return nil }
        bodyTimer?.cancel()
        bodyTimer = nil
        state = .serving
        let made = HTTPResponseWriter(
            eventLoop: context.eventLoop, sink: self, highWatermark: configuration.writeHighWatermarkBytes,
            webSocketKey: nil)
        writer = made
        return made
    }

    private func refuse(_ fault: RequestFault) {
        guard state == .head || state == .body, let writer = begin() else { return }
        request = nil
        let answer = configuration.answer(to: fault)
        writer.send(status: answer.status, headers: answer.headers, body: answer.body)
        if !requestIsComplete { dropRest(after: fault == .bodyTimedOut ? .zero : HTTP1ServerHandler.lingerTime) }
    }

    /// A client that goes on with a refused request is told to stop once it had time to read the refusal (RFC 9113
    /// §8.1); without that its stream would stay open.
    private func dropRest(after time: TimeAmount) {
        bodyTimer = context?.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in
            guard let self, let context = self.context else { return }
            context.writeAndFlush(self.wrapOutboundOut(.rstStream(.noError)), promise: nil)
        }
    }
}

extension HTTP2ServerStreamHandler: ResponseSink {
    func perform(_ operation: ResponseOperation, of writer: HTTPResponseWriter) {
        guard self.writer === writer, let context else { return }
        switch operation {
        case .whole(let answer): whole(answer, writer, context)
        case .head(let status, let headers):
            guard state == .serving else { return }
            state = .streaming
            writeHead(status, headers, length: nil, endStream: false, context)
        case .data(let bytes):
            guard state == .streaming, !isHead else { return writer.accepted(bytes.readableBytes) }
            write(bytes, endStream: false, writer, context)
        case .end: end(writer, context)
        case .reset:
            context.writeAndFlush(wrapOutboundOut(.rstStream(.internalError)), promise: nil)
        case .upgrade:
            let text = ByteBuffer(string: "this connection cannot be upgraded on HTTP/2\n")
            whole(HTTPAnswer(status: 400, headers: [("content-type", "text/plain")], body: text), writer, context)
        }
    }

    private func whole(_ answer: HTTPAnswer, _ writer: HTTPResponseWriter, _ context: ChannelHandlerContext) {
        guard state == .serving else { return }
        let size = answer.body.readableBytes
        let hasBody = size > 0 && !isHead && answer.status != 204 && answer.status != 304
        writeHead(
            answer.status, answer.headers, length: answer.status == 204 ? nil : size, endStream: !hasBody, context)
        if hasBody { write(answer.body, endStream: true, writer, context) } else { writer.accepted(size) }
        done(writer, context)
    }

    private func end(_ writer: HTTPResponseWriter, _ context: ChannelHandlerContext) {
        if state == .serving { return whole(HTTPAnswer(status: 200, headers: [], body: ByteBuffer()), writer, context) }
        guard state == .streaming else { return }
        context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))), promise: nil)
        done(writer, context)
    }

    private func done(_ writer: HTTPResponseWriter, _ context: ChannelHandlerContext) {
        state = .ended
        self.writer = nil
        writer.finish()
    }

    private func writeHead(
        _ status: Int, _ headers: [(String, String)], length: Int?, endStream: Bool, _ context: ChannelHandlerContext
    ) {
        var fields = HPACKHeaders()
        fields.reserveCapacity(headers.count + 3)
        fields.add(name: ":status", value: String(status))
        var hasDate = false
        for (name, value) in headers {
            let lower = name.lowercased()
            if lower == "connection" || lower == "transfer-encoding" || lower == "keep-alive" || lower == "upgrade" {
                continue
            }
            if lower == "content-length" && length != nil { continue }
            hasDate = hasDate || lower == "date"
            fields.add(name: lower, value: singleLine(value))
        }
        if let length { fields.add(name: "content-length", value: String(length)) }
        if !hasDate { fields.add(name: "date", value: connection.shared.date.now()) }
        context.write(wrapOutboundOut(.headers(.init(headers: fields, endStream: endStream))), promise: nil)
    }

    private func write(
        _ bytes: ByteBuffer, endStream: Bool, _ writer: HTTPResponseWriter, _ context: ChannelHandlerContext
    ) {
        let size = bytes.readableBytes
        let done = context.eventLoop.makePromise(of: Void.self)
        done.futureResult.whenComplete { _ in writer.accepted(size) }
        context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(bytes), endStream: endStream))), promise: done)
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

/// Line breaks in a header value become spaces.
func singleLine(_ value: String) -> String {
    guard value.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) else { return value }
    return String(decoding: value.utf8.map { $0 < 0x20 ? 0x20 : $0 }, as: UTF8.self)
}
