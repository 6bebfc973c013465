// One call on its HTTP/2 stream: request headers, framed messages, trailers. Confined to its event loop. It must never
// report two ends.
import NIOCore
import NIOHPACK
import NIOHTTP2

final class GRPCClientStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let call: GRPCCall
    private let headers: HPACKHeaders
    private var decoder: GRPCMessageDecoder
    private var isOver = false
    private var hasHead = false
    private var hasHeldRead = false
    private var hasSentEnd = false
    private var context: ChannelHandlerContext?

    init(call: GRPCCall, headers: HPACKHeaders, messageBytesMax: Int) {
        self.call = call
        self.headers = headers
        decoder = GRPCMessageDecoder(messageBytesMax: messageBytesMax)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
        call.attach(Port(handler: NIOLoopBound(self, eventLoop: context.eventLoop), eventLoop: context.eventLoop))
        context.fireChannelActive()
    }

    private struct Port: GRPCCallPort {
        let handler: NIOLoopBound<GRPCClientStreamHandler>
        let eventLoop: any EventLoop

        func send(_ outgoing: GRPCOutgoing) { eventLoop.execute { handler.value.send(outgoing) } }
        func wantsMore() { eventLoop.execute { handler.value.readIfNeeded() } }
        func cancel() { eventLoop.execute { handler.value.cancel() } }
    }

    private func send(_ outgoing: GRPCOutgoing) {
        guard let context, !hasSentEnd, !isOver else { return }
        switch outgoing {
        case .message(let message):
            context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(grpcFrame(message))))), promise: nil)
        case .end:
            hasSentEnd = true
            context.writeAndFlush(
                wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))), promise: nil)
        }
    }

    private func cancel() {
        isOver = true
        context?.close(promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if call.hasRoom || isOver { context.read() } else { hasHeldRead = true }
    }

    private func readIfNeeded() {
        guard hasHeldRead, let context else { return }
        hasHeldRead = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        switch unwrapInboundIn(data) {
        case .headers(let frame): received(frame.headers, isLast: frame.endStream)
        case .data(let frame):
            guard case .byteBuffer(let bytes) = frame.data else { return }
            decoder.feed(bytes)
            deliver()
            if frame.endStream { end(GRPCStatus(.unknown, "the stream ended without a status")) }
        default: break
        }
    }

    private func deliver() {
        do throws(GRPCStatus) {
            while let message = try decoder.next() { call.received(message) }
        } catch {
            end(error)
            context?.close(promise: nil)
        }
    }

    private func received(_ fields: HPACKHeaders, isLast: Bool) {
        if !hasHead {
            hasHead = true
            let status = fields.first(name: ":status") ?? ""
            if status != "200" { return end(GRPCStatus(httpCode(status), "unexpected HTTP status \(status)")) }
        }
        if let status = readStatus(fields) { return end(status) }
        if isLast { end(GRPCStatus(.unknown, "the stream ended without a status")) }
    }

    private func httpCode(_ status: String) -> GRPCCode {
        switch status {
        case "400": .internal
        case "401": .unauthenticated
        case "403": .permissionDenied
        case "404": .unimplemented
        case "429", "502", "503", "504": .unavailable
        default: .unknown
        }
    }

    private func end(_ status: GRPCStatus) {
        guard !isOver else { return }
        isOver = true
        call.ended(status.code == .ok ? .success(()) : .failure(status))
        // The server is done: a request side that is still open is reset.
        if !hasSentEnd { context?.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(GRPCStatus(.unavailable, "\(error)"))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(GRPCStatus(.unavailable, "the stream was closed"))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(GRPCStatus(.unavailable, "the stream was closed"))
        self.context = nil
    }
}
