// WebSocket frames (RFC 6455 §5) as a value: bytes in, events out, and frames to bytes. Reassembles fragments. It
// must never hold more than `messageBytesMax` and never trap: every length comes from the peer.
import NIOCore

/// Why a WebSocket was ended by us; the raw value is the close code.
enum WebSocketFault: UInt16, Error { case protocolError = 1002, tooLarge = 1009 }

enum WebSocketEvent: Equatable {
    case message(ByteBuffer, isText: Bool)
    case ping(ByteBuffer)
    case pong
    case close(code: UInt16)
}

enum WebSocketRole: Sendable { case client, server }

enum WebSocketOpcode: UInt8 { case continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 }

struct WebSocketDecoder {
    let role: WebSocketRole
    let messageBytesMax: Int
    private var input = ByteBuffer()
    private var message: (opcode: WebSocketOpcode, bytes: ByteBuffer)?

    init(role: WebSocketRole, messageBytesMax: Int) {
        self.role = role
        self.messageBytesMax = messageBytesMax
    }

    private struct Header { var isFinal: Bool; var opcode: WebSocketOpcode; var length: Int; var mask: UInt32? }

    mutating func feed(_ bytes: ByteBuffer) throws(WebSocketFault) -> [WebSocketEvent] {
        if input.readableBytes == 0 { input = bytes } else { input.writeImmutableBuffer(bytes) }
        var events: [WebSocketEvent] = []
        while let (header, size) = try readHeader() {
            guard input.readableBytes - size >= header.length else { break }
            input.moveReaderIndex(forwardBy: size)
            guard var payload = input.readSlice(length: header.length) else { break }
            if let mask = header.mask { unmask(&payload, mask) }
            if let event = try take(header, payload) { events.append(event) }
        }
        if input.readableBytes == 0 { input = ByteBuffer() } else { input.discardReadBytes() }
        return events
    }

    private func readHeader() throws(WebSocketFault) -> (Header, size: Int)? {
        let at = input.readerIndex
        guard let first: UInt8 = input.getInteger(at: at), let second: UInt8 = input.getInteger(at: at + 1) else {
            return nil
        }
        guard first & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: first & 15) else { throw .protocolError }
        let isMasked = second & 0x80 != 0
        guard isMasked == (role == .server) else { throw .protocolError }
        var size = 2
        var length = UInt64(second & 0x7F)
        if length == 126 {
            guard let long: UInt16 = input.getInteger(at: at + 2) else { return nil }
            (length, size) = (UInt64(long), 4)
        } else if length == 127 {
            guard let long: UInt64 = input.getInteger(at: at + 2) else { return nil }
            (length, size) = (long, 10)
        }
        guard length <= UInt64(messageBytesMax) else { throw .tooLarge }
        if opcode.rawValue >= 8 && (length > 125 || first & 0x80 == 0) { throw .protocolError }
        var mask: UInt32?
        if isMasked {
            guard let key: UInt32 = input.getInteger(at: at + size) else { return nil }
            (mask, size) = (key, size + 4)
        }
        return (Header(isFinal: first & 0x80 != 0, opcode: opcode, length: Int(length), mask: mask), size)
    }

    private mutating func take(_ header: Header, _ payload: ByteBuffer) throws(WebSocketFault) -> WebSocketEvent? {
        switch header.opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong
        case .close: return .close(code: payload.getInteger(at: payload.readerIndex) ?? 1005)
        case .text, .binary:
            guard message == nil else { throw .protocolError }
            if header.isFinal { return .message(payload, isText: header.opcode == .text) }
            message = (header.opcode, payload)
        case .continuation:
            guard var whole = message else { throw .protocolError }
            guard whole.bytes.readableBytes + payload.readableBytes <= messageBytesMax else { throw .tooLarge }
            message = nil
            whole.bytes.writeImmutableBuffer(payload)
            if header.isFinal { return .message(whole.bytes, isText: whole.opcode == .text) }
            message = whole
        }
        return nil
    }
}

/// XORs the payload with the four mask bytes, eight bytes at a time.
func unmask(_ payload: inout ByteBuffer, _ mask: UInt32) {
    let wide = (UInt64(mask) << 32 | UInt64(mask)).bigEndian
    payload.withUnsafeMutableReadableBytes { bytes in
        let words = bytes.count / 8
        for word in 0..<words {
            let value = bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self) ^ wide
            bytes.storeBytes(of: value, toByteOffset: word * 8, as: UInt64.self)
        }
        for index in words * 8..<bytes.count {
            bytes[index] ^= UInt8(truncatingIfNeeded: mask >> (24 - 8 * UInt32(index % 4)))
        }
    }
}

/// One whole frame. `mask` is set by clients.
func webSocketFrame(_ opcode: WebSocketOpcode, _ payload: ByteBuffer, mask: UInt32?) -> ByteBuffer {
    let length = payload.readableBytes
    var frame = ByteBuffer()
    frame.reserveCapacity(length + 14)
    frame.writeInteger(0x80 | opcode.rawValue)
    let flag: UInt8 = mask == nil ? 0 : 0x80
    if length < 126 {
        frame.writeInteger(flag | UInt8(length))
    } else if length <= Int(UInt16.max) {
        frame.writeInteger(flag | 126)
        frame.writeInteger(UInt16(length))
    } else {
        frame.writeInteger(flag | 127)
        frame.writeInteger(UInt64(length))
    }
    guard let mask else {
        frame.writeImmutableBuffer(payload)
        return frame
    }
    frame.writeInteger(mask)
    var masked = payload
    unmask(&masked, mask)
    frame.writeImmutableBuffer(masked)
    return frame
}
