// What a connection sends: answers within the windows that the client gave. What does not fit waits in its stream, and
// goes on when the client opens a window or the socket takes more.
import NIOCore

extension GRPCServerConnection {
    /// An answer that is worth refusing.
    private static let smallBytesMax = 64 << 10

    /// One message. Counted as accepted when the socket took it.
    func send(_ message: GRPCServerMessage, of stream: GRPCServerStream, _ call: GRPCServerCall) {
        let hasBegun = stream.hasSentHead
        writeHead(stream)
        let count = message.count
        let length = count + GRPCServerMessage.headBytes
        let isReady = stream.pending.count == 0 && (context?.channel.isWritable ?? false)
        if isReady, length <= min(sendWindow, stream.sendWindow, peer.frameBytes) {
            output.writeFrame(.data, stream: stream.id, length: length)
            message.writeWhole(&output)
            sendWindow -= length
            stream.sendWindow -= length
            note(call, count)
            return scheduleFlush()
        }
        // The answers of others wait for so many bytes already, and this one would for more.
        if !hasBegun, isOvercommitted, count > Self.smallBytesMax { return reset(stream.id, .internalError) }
        let isFirst = stream.pending.count == 0
        stream.pending.append(message)
        noteWaiting(length)
        // Whatever earlier ones wait for goes on with this one too.
        guard isFirst else { return }
        if sendWindow > 0 { sendPending(stream) }
        if stream.pending.count > 0 { blocked.append(stream.id) }
        scheduleFlush()
    }

    /// The messages of one call in a row are counted as one.
    private func note(_ call: GRPCServerCall, _ bytes: Int) {
        if let last = written.indices.last, written[last].call === call {
            written[last].bytes += bytes
        } else {
            written.append((call, bytes))
        }
    }

    /// The last of a stream; after what still waits.
    func finish(_ stream: GRPCServerStream, _ status: GRPCStatus, _ trailers: GRPCMetadata) {
        stream.end = (status, trailers)
        if stream.pending.count == 0 { writeEnd(stream) } else { giveUpLater(stream) }
    }

    /// The call is over here, and what it answered waits for a client that takes nothing: not for ever.
    private func giveUpLater(_ stream: GRPCServerStream) {
        let before = stream.pending.count
        stream.stall = context?.eventLoop.assumeIsolated().scheduleTask(in: configuration.answerStall) { [weak self] in
            guard let self, streams[stream.id] === stream else { return }
            if stream.pending.count < before { giveUpLater(stream) } else { reset(stream.id, .cancel) }
        }
    }

    func sendBlocked() {
        guard !blocked.isEmpty else { return }
        guard sendWindow > 0, context?.channel.isWritable ?? false else { return scheduleFlush() }
        let waiting = blocked
        blocked = []
        for id in waiting {
            guard let stream = streams[id] else { continue }
            sendPending(stream)
            if stream.pending.count > 0 { blocked.append(id) } else { writeEnd(stream) }
        }
        scheduleFlush()
    }

    private func sendPending(_ stream: GRPCServerStream) {
        while stream.pending.count > 0, context?.channel.isWritable ?? false {
            let length = min(stream.pending.count, sendWindow, stream.sendWindow, peer.frameBytes)
            // Above the mark the write makes the channel unwritable, and its next change goes on here.
            guard length > 0, output.readableBytes <= GRPCServer.unsentBytesMax else { break }
            output.writeFrame(.data, stream: stream.id, length: length)
            let whole = stream.pending.take(length, &output)
            noteWaiting(-length)
            sendWindow -= length
            stream.sendWindow -= length
            if whole > 0, let call = stream.call { note(call, whole) }
        }
    }

    private func writeHead(_ stream: GRPCServerStream) {
        guard !stream.hasSentHead else { return }
        stream.hasSentHead = true
        writeFields(stream.id, isLast: false) { output, fields in fields.writeHead(&output) }
    }

    private func writeEnd(_ stream: GRPCServerStream) {
        if stream.isPlain { return endPlain(stream) }
        guard let (status, trailers) = stream.end, remove(stream.id) != nil else { return }
        let isHeadMissing = !stream.hasSentHead
        writeFields(stream.id, isLast: true) { output, fields in
            if isHeadMissing { fields.writeHead(&output) }
            if status.code == .ok {
                fields.writeOK(&output)
            } else {
                AnswerFields.literal("grpc-status", String(status.code.rawValue), &output)
            }
            if !status.message.isEmpty {
                AnswerFields.literal("grpc-message", encodeMessage(status.shortMessage), &output)
            }
            for (name, value) in trailers { AnswerFields.literal(name.lowercased(), value, &output) }
        }
        // The client need not end its side.
        if !stream.isInputEnded { output.writeReset(stream.id, .noError) }
        scheduleFlush()
        stream.close()
    }

    private func writeFields(
        _ stream: UInt32, isLast: Bool, _ body: (inout ByteBuffer, inout AnswerFields) -> Void
    ) {
        let at = output.writerIndex
        let flags = HTTP2Flag.endHeaders | (isLast ? HTTP2Flag.endStream : 0)
        output.writeFrame(.headers, flags: flags, stream: stream, length: 0)
        fields.begin(&output, peer)
        body(&output, &fields)
        let length = output.writerIndex - at - HTTP2FrameHead.bytes
        output.setInteger(
            UInt32(truncatingIfNeeded: length) << 8 | UInt32(HTTP2FrameType.headers.rawValue), at: at)
    }
}

extension GRPCServerConnection {
    /// A whole answer to a request that is not gRPC's.
    func answer(_ stream: GRPCServerStream, _ answer: PlainAnswer, isHead: Bool) {
        guard streams[stream.id] === stream, !stream.hasSentHead else { return }
        stream.hasSentHead = true
        stream.isPlain = true
        writeFields(stream.id, isLast: false) { output, _ in
            AnswerFields.literal(":status", String(answer.status), &output)
            AnswerFields.literal("content-type", answer.contentType, &output)
            AnswerFields.literal("content-length", String(answer.body.utf8.count), &output)
        }
        guard !isHead, !answer.body.isEmpty else { return endPlain(stream) }
        stream.pending.append(text: answer.body)
        noteWaiting(stream.pending.count)
        blocked.append(stream.id)
        sendBlocked()
    }

    private func endPlain(_ stream: GRPCServerStream) {
        guard remove(stream.id) != nil else { return }
        output.writeFrame(.data, flags: HTTP2Flag.endStream, stream: stream.id, length: 0)
        if !stream.isInputEnded { output.writeReset(stream.id, .noError) }
        scheduleFlush()
        stream.close()
    }

    /// An answer that is not gRPC's.
    func refuse(_ stream: GRPCServerStream, status: String) {
        guard remove(stream.id) != nil else { return }
        writeFields(stream.id, isLast: true) { output, _ in
            AnswerFields.literal(":status", status, &output)
            AnswerFields.literal("content-type", "text/plain", &output)
        }
        if !stream.isInputEnded { output.writeReset(stream.id, .noError) }
        scheduleFlush()
        stream.close()
    }
}
