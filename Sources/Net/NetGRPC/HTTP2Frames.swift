// HTTP/2 as a gRPC server needs it (RFC 9113): frame heads, settings, error codes, limits, and the header fields of its
// answers. Pure. It exists because a channel, a pipeline and promises for each call cost a server several times what
// the call itself does.
import NIOCore
import NIOHPACK

/// RFC 9113 §6.
enum HTTP2FrameType: UInt8 {
    case data = 0, headers = 1, priority = 2, reset = 3, settings = 4, push = 5, ping = 6, goAway = 7
    case windowUpdate = 8, continuation = 9
}

/// RFC 9113 §7.
enum HTTP2Code: UInt32 {
    case noError = 0, protocolError, internalError, flowControl, settingsTimeout, streamClosed, frameSize
    case refusedStream, cancel, compression, connect, enhanceYourCalm
}

/// The connection cannot go on: the client is told by GOAWAY.
struct HTTP2ConnectionError: Error {
    var code: HTTP2Code
    var reason: String
    init(_ code: HTTP2Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }
}

enum HTTP2Flag {
    static let endStream: UInt8 = 1
    static let ack: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8
    static let priority: UInt8 = 32
}

enum HTTP2 {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// What we take; the protocol's least.
    static let frameBytesMax = 16_384
    static let windowMax = 0x7fff_ffff
    static let headerBlockBytesMax = 64 << 10
    static let continuationsMax = 64
    /// One after the other without an end.
    static let emptyFramesMax = 16
    static let limitPeriod = TimeAmount.seconds(30)
    static let resetsMax = 20_000
}

struct HTTP2FrameHead {
    static let bytes = 9
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: UInt32

    /// nil: not all of it is there.
    init?(_ buffer: ByteBuffer) {
        let at = buffer.readerIndex
        guard let word: UInt32 = buffer.getInteger(at: at), let flags: UInt8 = buffer.getInteger(at: at + 4),
            let stream: UInt32 = buffer.getInteger(at: at + 5)
        else { return nil }
        length = Int(word >> 8)
        type = UInt8(truncatingIfNeeded: word)
        self.flags = flags
        self.stream = stream & 0x7fff_ffff
    }

    func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
}

extension ByteBuffer {
    mutating func writeFrame(_ type: HTTP2FrameType, flags: UInt8 = 0, stream: UInt32 = 0, length: Int) {
        writeMultipleIntegers(UInt32(truncatingIfNeeded: length) << 8 | UInt32(type.rawValue), flags, stream)
    }

    mutating func writeWindowUpdate(_ stream: UInt32, _ bytes: Int) {
        writeFrame(.windowUpdate, stream: stream, length: 4)
        writeInteger(UInt32(truncatingIfNeeded: bytes))
    }

    mutating func writeReset(_ stream: UInt32, _ code: HTTP2Code) {
        writeFrame(.reset, stream: stream, length: 4)
        writeInteger(code.rawValue)
    }
}

/// What the client asked for.
struct HTTP2PeerSettings {
    var tableBytes = 4096
    var window = 65_535
    var frameBytes = 16_384

    mutating func set(_ name: UInt16, _ value: UInt32) throws {
        switch name {
        case 1: tableBytes = Int(value)
        case 4:
            guard value <= UInt32(HTTP2.windowMax) else { throw HTTP2ConnectionError(.flowControl, "initial window") }
            window = Int(value)
        case 5:
            guard (16_384...16_777_215).contains(value) else {
                throw HTTP2ConnectionError(.protocolError, "frame size")
            }
            frameBytes = Int(value)
        default: break
        }
    }
}

/// So many of something in a period.
struct HTTP2Limit {
    let most: Int
    private var count = 0
    private var since: NIODeadline

    init(_ most: Int, now: NIODeadline) {
        self.most = most
        since = now
    }

    /// Counts one; true: it was one too many.
    mutating func isExceeded(now: @autoclosure () -> NIODeadline) -> Bool {
        count += 1
        guard count > most else { return false }
        let now = now()
        guard now - since < HTTP2.limitPeriod else {
            (count, since) = (1, now)
            return false
        }
        return true
    }
}

/// The head and the end of nearly every answer are a byte a field: written once into the client's dynamic table
/// (RFC 7541 §6.2.1), named from then on. A client that keeps a smaller table gets them in full.
struct AnswerFields {
    private var table: [String] = []
    /// The client keeps less: it was told that nothing is in the table any more (RFC 7541 §4.2).
    private var isWithoutTable = false

    /// Before the first field of a block.
    mutating func begin(_ buffer: inout ByteBuffer, _ settings: HTTP2PeerSettings) {
        guard settings.tableBytes < 4096, !isWithoutTable else { return }
        isWithoutTable = true
        table = []
        buffer.writeInteger(UInt8(0x20))
    }

    mutating func writeHead(_ buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(0x88))
        field(31, "content-type", "application/grpc", &buffer)
    }

    mutating func writeOK(_ buffer: inout ByteBuffer) { field(0, "grpc-status", "0", &buffer) }

    /// `name`: its index in the static table; 0 when it has none.
    private mutating func field(
        _ name: UInt8, _ text: String, _ value: String, _ buffer: inout ByteBuffer
    ) {
        guard !isWithoutTable else { return Self.literal(text, value, &buffer) }
        if let at = table.firstIndex(of: text) {
            buffer.writeInteger(0x80 | UInt8(truncatingIfNeeded: 61 + table.count - at))
            return
        }
        table.append(text)
        buffer.writeInteger(0x40 | name)
        if name == 0 { Self.text(text, &buffer) }
        Self.text(value, &buffer)
    }

    /// A field that is not worth a place in the table.
    static func literal(_ name: String, _ value: String, _ buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(0))
        text(name, &buffer)
        text(value, &buffer)
    }

    /// RFC 7541 §5.2, without Huffman coding.
    private static func text(_ text: String, _ buffer: inout ByteBuffer) {
        var length = text.utf8.count
        if length < 127 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: length))
        } else {
            buffer.writeInteger(UInt8(127))
            length -= 127
            while length >= 128 {
                buffer.writeInteger(UInt8(truncatingIfNeeded: length & 127 | 128))
                length >>= 7
            }
            buffer.writeInteger(UInt8(truncatingIfNeeded: length))
        }
        buffer.writeString(text)
    }
}

/// Decodes header blocks. A block of indexed fields alone means the same until the table changes, so most requests of a
/// client are looked up.
struct RequestFieldsDecoder {
    static let knownMax = 64
    private var decoder: HPACKDecoder
    private var known: [[UInt8]: HPACKHeaders] = [:]

    init() {
        decoder = HPACKDecoder(
            allocator: ByteBufferAllocator(), maxDynamicTableSize: 4096, maxHeaderListSize: HTTP2.headerBlockBytesMax)
    }

    mutating func decode(_ block: ByteBuffer) throws -> HPACKHeaders {
        let isIndexed = block.readableBytesView.allSatisfy { $0 >= 0x80 }
        let key = isIndexed ? Array(block.readableBytesView) : []
        if isIndexed, let found = known[key] { return found }
        var block = block
        let fields: HPACKHeaders
        do { fields = try decoder.decodeHeaders(from: &block) } catch {
            throw HTTP2ConnectionError(.compression, "\(error)")
        }
        if !isIndexed { known = [:] } else if known.count < Self.knownMax { known[key] = fields }
        return fields
    }
}
