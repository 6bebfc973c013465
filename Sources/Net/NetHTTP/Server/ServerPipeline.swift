// Builds the pipeline of an accepted connection: TLS, then HTTP/1.1 or HTTP/2 by ALPN. It must never leave a connection
// without a timer: a handshake that does not end is closed.
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOSSL
import NIOTLS
import NetPKI

enum ServerPipeline {
    /// On the event loop of a just accepted channel.
    static func configure(_ channel: any Channel, shared: ServerShared) throws {
        let address = channel.remoteAddress.map(describe) ?? ""
        let pipeline = channel.pipeline.syncOperations
        let connection = ServerConnection(
            shared: shared, remoteAddress: address, isSecure: shared.configuration.tls != nil)
        guard let tls = shared.configuration.tls else { return try addHTTP1(pipeline, connection) }
        let (handler, verdict) = tls.makeHandler()
        try pipeline.addHandler(handler)
        try pipeline.addHandler(TLSNegotiation(connection: connection, tls: tls, handler: handler, verdict: verdict))
    }

    static func addHTTP1(_ pipeline: ChannelPipeline.SynchronousOperations, _ connection: ServerConnection) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = connection.shared.configuration.headerBytesMax
        limits.maxHeaderListSize = connection.shared.configuration.headerBytesMax
        limits.maxHeaderFieldCount = connection.shared.configuration.headerFieldsMax
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)
        let handler = HTTP1ServerHandler(connection: connection)
        try pipeline.addHandler(HTTP1Guard(handler: handler))
        try pipeline.addHandler(ByteToMessageHandler(decoder))
        try pipeline.addHandler(handler)
    }

    static func addHTTP2(_ channel: any Channel, _ connection: ServerConnection) throws {
        let configuration = connection.shared.configuration
        var http2 = NIOHTTP2Handler.ConnectionConfiguration()
        http2.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: configuration.streamsMax),
            HTTP2Setting(parameter: .maxHeaderListSize, value: configuration.headerBytesMax),
            HTTP2Setting(parameter: .initialWindowSize, value: 256 << 10)
        ]
        http2.targetWindowSize = 1 << 20
        http2.controlFrameRateLimit.maximumCount = configuration.controlFramesMax
        http2.maximumSequentialEmptyDataFrames = 16
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.targetWindowSize = 256 << 10
        stream.outboundBufferSizeHighWatermark = 64 << 10
        stream.outboundBufferSizeLowWatermark = 16 << 10
        stream.streamResetFrameRateLimit.maximumCount = 20_000
        let handler = HTTP2ServerConnectionHandler(idleTimeout: configuration.idleTimeout)
        let shared = NIOLoopBound((handler, connection), eventLoop: channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        _ = try pipeline.configureHTTP2Pipeline(
            mode: .server, connectionConfiguration: http2, streamConfiguration: stream
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                let (handler, connection) = shared.value
                try stream.pipeline.syncOperations.addHandler(HTTP2ServerStreamHandler(connection: connection))
                handler.streamOpened(stream)
            }
        }
        try pipeline.addHandler(handler)
    }
}

/// Waits for the TLS handshake, takes the verdict about the client, and installs the protocol that was agreed.
final class TLSNegotiation: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let connection: ServerConnection
    private let tls: ServerTLS
    private let handler: NIOSSLServerHandler
    private let verdict: PeerVerdict
    private var timer: PhaseTimer?

    init(connection: ServerConnection, tls: ServerTLS, handler: NIOSSLServerHandler, verdict: PeerVerdict) {
        self.connection = connection
        self.tls = tls
        self.handler = handler
        self.verdict = verdict
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = PhaseTimer(eventLoop: context.eventLoop) { channel.close(promise: nil) }
        timer?.start(connection.shared.configuration.headerTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.stop() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        tls.completeVerdict(verdict, handler)
        connection.clientCertificate = verdict.certificate
        connection.clientCertificateFailure = verdict.failure
        do {
            if negotiated == "h2" {
                try ServerPipeline.addHTTP2(context.channel, connection)
            } else {
                try ServerPipeline.addHTTP1(context.pipeline.syncOperations, connection)
            }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.shared.logger.debug(
            "TLS handshake failed", metadata: ["peer": "\(connection.remoteAddress)", "error": "\(error)"])
        context.close(promise: nil)
    }
}
