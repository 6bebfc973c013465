// Answers out: heads, lengths, chunks, and the take-over of the connection as raw bytes.
import NIOCore
import NIOHTTP1

extension HTTP1ServerHandler: ResponseSink {
    /// Chunks up to this size are copied behind their size line: one write (one TLS record) instead of three.
    private static let copyBytesMax = 16 << 10

    func perform(_ operation: ResponseOperation, of writer: HTTPResponseWriter) {
        guard let active, active.writer === writer, phase == .serving || phase == .body || phase == .head else {
            return
        }
        switch operation {
        case .whole(let answer): whole(answer, active)
        case .head(let status, let headers): head(status, headers, active)
        case .data(let bytes): data(bytes, active)
        case .end: end(active)
        case .reset: context?.close(promise: nil)
        case .upgrade(let status, let headers, let handler): takeOver(status, headers, handler)
        }
    }

    private func whole(_ answer: HTTPAnswer, _ active: Active) {
        guard active.framing == nil else { return }
        let size = answer.body.readableBytes
        let hasBody = !active.isHead && bodyAllowed(answer.status)
        var bytes = ByteBuffer()
        bytes.reserveCapacity(512 + (hasBody && size <= Self.copyBytesMax ? size : 0))
        bytes.writeResponseHead(status: answer.status, headers: answer.headers)
        if bodyAllowed(answer.status) { bytes.writeHeader("content-length", String(size)) }
        finishHead(&bytes, answer.headers, active)
        if hasBody && size > Self.copyBytesMax {
            context?.write(wrapOutboundOut(bytes), promise: nil)
            write(answer.body, counted: size, active.writer)
        } else {
            if hasBody { bytes.writeImmutableBuffer(answer.body) }
            write(bytes, counted: size, active.writer)
        }
        responseDone()
    }

    private func head(_ status: Int, _ headers: [(String, String)], _ active: Active) {
        guard active.framing == nil else { return }
        let hasLength = headers.contains { $0.0.lowercased() == "content-length" }
        var framing = active.http10 ? Framing.untilClose : .chunked
        if hasLength || !bodyAllowed(status) { framing = .length }
        self.active?.framing = framing
        var bytes = ByteBuffer()
        bytes.writeResponseHead(status: status, headers: headers)
        if framing == .chunked { bytes.writeStaticString("transfer-encoding: chunked\r\n") }
        finishHead(&bytes, headers, active)
        context?.write(wrapOutboundOut(bytes), promise: nil)
    }

    private func finishHead(_ bytes: inout ByteBuffer, _ headers: [(String, String)], _ active: Active) {
        if !headers.contains(where: { $0.0.lowercased() == "date" }) {
            bytes.writeHeader("date", connection.shared.date.now())
        }
        if !active.keepAlive || self.active?.framing == .untilClose {
            bytes.writeStaticString("connection: close\r\n")
        } else if active.http10 {
            bytes.writeStaticString("connection: keep-alive\r\n")
        }
        bytes.writeStaticString("\r\n")
    }

    private func data(_ bytes: ByteBuffer, _ active: Active) {
        let size = bytes.readableBytes
        guard let framing = active.framing, !active.isHead else { return active.writer.accepted(size) }
        guard framing == .chunked else { return write(bytes, counted: size, active.writer) }
        var chunk = ByteBuffer()
        chunk.reserveCapacity(16 + (size <= Self.copyBytesMax ? size : 0))
        chunk.writeChunkSize(size)
        if size <= Self.copyBytesMax {
            chunk.writeImmutableBuffer(bytes)
            chunk.writeStaticString("\r\n")
            return write(chunk, counted: size, active.writer)
        }
        context?.write(wrapOutboundOut(chunk), promise: nil)
        context?.write(wrapOutboundOut(bytes), promise: nil)
        write(ByteBuffer(staticString: "\r\n"), counted: size, active.writer)
    }

    private func end(_ active: Active) {
        guard let framing = active.framing else {
            return whole(HTTPAnswer(status: 200, headers: [], body: ByteBuffer()), active)
        }
        if framing == .chunked && !active.isHead {
            context?.write(wrapOutboundOut(ByteBuffer(staticString: "0\r\n\r\n")), promise: nil)
        }
        responseDone()
    }

    private func write(_ bytes: ByteBuffer, counted size: Int, _ writer: HTTPResponseWriter) {
        guard let context else { return }
        guard size > 0 else { return context.write(wrapOutboundOut(bytes), promise: nil) }
        let done = context.eventLoop.makePromise(of: Void.self)
        done.futureResult.whenComplete { _ in writer.accepted(size) }
        context.write(wrapOutboundOut(bytes), promise: done)
    }

    private func bodyAllowed(_ status: Int) -> Bool { status >= 200 && status != 204 && status != 304 }

    /// Writes the head, then replaces the HTTP handlers by a `RawHandler`; bytes behind the request go to it.
    private func takeOver(_ status: Int, _ headers: [(String, String)], _ handler: @Sendable (RawConnection) -> Void) {
        guard let active, active.framing == nil, let context else { return }
        var bytes = ByteBuffer()
        bytes.writeResponseHead(status: status, headers: headers)
        bytes.writeStaticString("\r\n")
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        self.active = nil
        phase = .takenOver
        do {
            let pipeline = context.pipeline.syncOperations
            let raw = try RawHandler.install(on: context.channel)
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            pipeline.removeHandler(decoder, promise: nil)
            pipeline.removeHandler(try pipeline.handler(type: HTTP1Guard.self), promise: nil)
            pipeline.removeHandler(self, promise: nil)
            handler(raw)
            active.writer.finish()
        } catch {
            active.writer.finish()
            context.close(promise: nil)
        }
    }
}
