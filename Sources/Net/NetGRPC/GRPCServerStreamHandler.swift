// One call on its HTTP/2 stream of a server: checks the head, takes messages out, writes messages and the trailers.
// Confined to its event loop. It must never write after the trailers.
import NIOCore
import NIOHPACK
import NIOHTTP2
import NetPKI

final class GRPCServerStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let service: any GRPCService
    private let clientCertificate: ClientCertificate?
    private var decoder: GRPCMessageDecoder
    private var call: GRPCServerCall?
    private var context: ChannelHandlerContext?
    private var hasSentHead = false
    private var isFinished = false
    private var hasHeldRead = false
    private var deadline: Scheduled<Void>?

    init(service: any GRPCService, clientCertificate: ClientCertificate?, messageBytesMax: Int) {
        self.service = service
        self.clientCertificate = clientCertificate
        decoder = GRPCMessageDecoder(messageBytesMax: messageBytesMax)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func read(context: ChannelHandlerContext) {
        if call == nil || isFinished || call?.wantsInput == true { context.read() } else { hasHeldRead = true }
    }

    func readIfNeeded() {
        guard hasHeldRead, let context else { return }
        hasHeldRead = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame):
            if call == nil { begin(frame.headers, context) }
            if frame.endStream { ended() }
        case .data(let frame):
            guard !isFinished, case .byteBuffer(let bytes) = frame.data else { return }
            decoder.feed(bytes)
            take()
            if frame.endStream { ended() }
        default: break
        }
    }

    private func begin(_ fields: HPACKHeaders, _ context: ChannelHandlerContext) {
        guard fields.first(name: ":method") == "POST", let path = fields.first(name: ":path"),
            fields.first(name: "content-type")?.hasPrefix("application/grpc") == true
        else { return refuse(context) }
        let timeout = fields.first(name: "grpc-timeout").flatMap { decodeTimeout($0) }
        var metadata: GRPCMetadata = []
        for (name, value, _) in fields where !name.hasPrefix(":") { metadata.append((name, value)) }
        let made = GRPCServerCall(
            path: path, metadata: metadata, deadline: timeout.map { NIODeadline.now() + $0 },
            clientCertificate: clientCertificate,
            eventLoop: context.eventLoop, handler: self)
        call = made
        if let timeout {
            deadline = context.eventLoop.scheduleTask(in: timeout) {
                made.finish(GRPCStatus(.deadlineExceeded, "context deadline exceeded"))
            }
        }
        service.handle(made)
    }

    private func refuse(_ context: ChannelHandlerContext) {
        isFinished = true
        let fields = HPACKHeaders([(":status", "415"), ("content-type", "text/plain")])
        context.writeAndFlush(wrapOutboundOut(.headers(.init(headers: fields, endStream: true))), promise: nil)
    }

    private func take() {
        do throws(GRPCStatus) {
            while let message = try decoder.next() { call?.received(message) }
        } catch {
            call?.finish(error)
        }
    }

    private func ended() {
        guard !isFinished else { return }
        if decoder.isMidMessage {
            call?.finish(GRPCStatus(.internal, "the request ended within a message"))
        } else {
            call?.inputEnded()
        }
    }

    func perform(_ operations: [GRPCServerOutgoing]) {
        guard let context, let call else { return }
        var bytes = 0
        for operation in operations where !isFinished {
            switch operation {
            case .message(let message):
                head(context)
                bytes &+= message.count
                let done = context.eventLoop.makePromise(of: Void.self)
                let size = message.count
                done.futureResult.whenComplete { _ in call.accepted(size) }
                context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(grpcFrame(message))))), promise: done)
            case .finish(let status, let trailers): finish(status, trailers, context)
            }
        }
        context.flush()
    }

    private func head(_ context: ChannelHandlerContext) {
        guard !hasSentHead else { return }
        hasSentHead = true
        let fields = HPACKHeaders([(":status", "200"), ("content-type", "application/grpc")])
        context.write(wrapOutboundOut(.headers(.init(headers: fields))), promise: nil)
    }

    private func finish(_ status: GRPCStatus, _ trailers: GRPCMetadata, _ context: ChannelHandlerContext) {
        isFinished = true
        deadline?.cancel()
        var fields = HPACKHeaders()
        if !hasSentHead {
            fields.add(name: ":status", value: "200")
            fields.add(name: "content-type", value: "application/grpc")
        }
        fields.add(name: "grpc-status", value: String(status.code.rawValue))
        if !status.message.isEmpty { fields.add(name: "grpc-message", value: encodeMessage(status.message)) }
        for (name, value) in trailers { fields.add(name: name, value: value) }
        context.write(wrapOutboundOut(.headers(.init(headers: fields, endStream: true))), promise: nil)
        let ended = call
        ended?.closed()
        readIfNeeded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        close()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        close()
        self.context = nil
    }

    private func close() {
        deadline?.cancel()
        isFinished = true
        call?.closed()
        call = nil
    }
}
