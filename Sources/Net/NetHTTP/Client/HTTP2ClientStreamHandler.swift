// One call on its HTTP/2 stream. Reading follows the caller: when the body buffer is full, no window updates are
// sent. Confined to the event loop. It must never report a call twice.
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

final class HTTP2ClientStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let connection: HTTP2ClientConnection
    private var call: ClientCall?
    private var hasHead = false
    private var hasHeldRead = false
    private var isRefused = false

    init(call: ClientCall, connection: HTTP2ClientConnection) {
        self.call = call
        self.connection = connection
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        let loop = context.eventLoop
        let bound = NIOLoopBound((self, context), eventLoop: loop)
        call?.body.attach(
            wantsMore: { loop.execute { bound.value.0.readIfNeeded(bound.value.1) } },
            cancel: { loop.execute { bound.value.0.cancelled(channel) } })
    }

    private func cancelled(_ channel: any Channel) {
        guard let call else { return }
        self.call = nil
        call.ended(.failure(.closed("cancelled by the caller")))
        channel.close(promise: nil)
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let call else { return context.close(promise: nil) }
        let request = call.request
        var fields = HPACKHeaders()
        fields.add(name: ":method", value: request.method)
        fields.add(name: ":scheme", value: request.endpoint.isSecure ? "https" : "http")
        fields.add(name: ":path", value: request.target)
        for (name, value) in call.headers {
            let lower = name.lowercased()
            if lower == "connection" || lower == "transfer-encoding" || lower == "upgrade" { continue }
            fields.add(name: lower == "host" ? ":authority" : lower, value: singleLine(value))
        }
        let hasBody = request.body.readableBytes > 0
        context.write(
            wrapOutboundOut(.headers(.init(headers: sortedPseudoFirst(fields), endStream: !hasBody))), promise: nil)
        if hasBody {
            context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(request.body), endStream: true))), promise: nil)
        }
        context.flush()
        context.fireChannelActive()
    }

    /// `:authority` comes from the Host header, which may stand anywhere.
    private func sortedPseudoFirst(_ fields: HPACKHeaders) -> HPACKHeaders {
        var sorted = HPACKHeaders()
        for (name, value, _) in fields where name.hasPrefix(":") { sorted.add(name: name, value: value) }
        for (name, value, _) in fields where !name.hasPrefix(":") { sorted.add(name: name, value: value) }
        return sorted
    }

    func read(context: ChannelHandlerContext) {
        if call?.body.hasRoom ?? true { context.read() } else { hasHeldRead = true }
    }

    private func readIfNeeded(_ context: ChannelHandlerContext) {
        guard hasHeldRead, call?.body.hasRoom ?? true else { return }
        hasHeldRead = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame):
            if !hasHead { head(frame.headers, context) }
            if frame.endStream { complete() }
        case .data(let frame):
            if case .byteBuffer(let bytes) = frame.data { call?.body.push(bytes) }
            if frame.endStream { complete() }
        case .rstStream(let code): isRefused = code == .refusedStream
        default: break
        }
    }

    private func head(_ fields: HPACKHeaders, _ context: ChannelHandlerContext) {
        guard let status = fields.first(name: ":status").flatMap({ Int($0) }) else {
            return context.close(promise: nil)
        }
        if status < 200 { return }
        hasHead = true
        var headers = HTTPHeaders()
        for (name, value, _) in fields where !name.hasPrefix(":") { headers.add(name: name, value: value) }
        call?.received(status: status, headers: headers, version: 2)
    }

    private func complete() {
        let done = call
        call = nil
        done?.ended(.success(()))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let closed = error as? NIOHTTP2Errors.StreamClosed, closed.errorCode == .refusedStream { isRefused = true }
        broken("\(error)")
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        broken("the stream was closed")
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { broken("the stream was closed") }

    private func broken(_ why: String) {
        guard let call else { return }
        self.call = nil
        if hasHead {
            call.ended(.failure(.closed(why)))
        } else {
            connection.failed(call, .closed(why), wasSent: !isRefused)
        }
    }
}
