// HTTP/2 as far as a gRPC load needs it: frames, and request headers with the dynamic table, as grpc's own clients send
// them. Pure. It exists because a load program on the same cores as the servers must cost little: no channel, task or
// promise a request.
import NIOCore

/// Types of HTTP/2 frames (RFC 9113 §6).
enum FrameType: UInt8 {
    case data = 0, headers = 1, priority = 2, reset = 3, settings = 4, push = 5, ping = 6, goAway = 7
    case windowUpdate = 8, continuation = 9
}

/// Flags that matter here.
enum FrameFlag {
    static let endStream: UInt8 = 1
    static let ack: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8
    static let priority: UInt8 = 32
}

/// The nine bytes before each frame.
struct FrameHead {
    static let bytes = 9
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: UInt32

    init?(at index: Int, of buffer: ByteBuffer) {
        guard let word: UInt32 = buffer.getInteger(at: index), let flags: UInt8 = buffer.getInteger(at: index + 4),
            let stream: UInt32 = buffer.getInteger(at: index + 5)
        else { return nil }
        length = Int(word >> 8)
        type = UInt8(word & 0xff)
        self.flags = flags
        self.stream = stream & 0x7fff_ffff
    }
}

extension ByteBuffer {
    mutating func writeFrameHead(_ type: FrameType, flags: UInt8 = 0, stream: UInt32 = 0, length: Int) {
        writeInteger(UInt32(length) << 8 | UInt32(type.rawValue))
        writeInteger(flags)
        writeInteger(stream)
    }

    mutating func writeWindowUpdate(stream: UInt32 = 0, by bytes: Int) {
        writeFrameHead(.windowUpdate, stream: stream, length: 4)
        writeInteger(UInt32(bytes))
    }

    /// The client's preface, its settings, and a window for the connection that never closes.
    mutating func writePreface() {
        writeString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        let settings: [(UInt16, UInt32)] = [(2, 0), (4, UInt32(Wire.windowBytes))]
        writeFrameHead(.settings, length: settings.count * 6)
        for (name, value) in settings {
            writeInteger(name)
            writeInteger(value)
        }
        writeWindowUpdate(by: Wire.windowBytes - 65_535)
    }
}

enum Wire {
    /// What a server may send ahead, for a stream and for the connection.
    static let windowBytes = 1 << 30
    static let frameBytesMax = 16_384
}

/// Request headers: the first request of a path writes its fields into the dynamic table (RFC 7541 §6.2.1), later ones
/// are a byte a field.
struct RequestFields {
    private var table: [String] = []

    mutating func encode(path: String, authority: String, into buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(0x83))
        buffer.writeInteger(UInt8(0x86))
        field(4, ":path", path, &buffer)
        field(1, ":authority", authority, &buffer)
        field(31, "content-type", "application/grpc", &buffer)
        field(0, "te", "trailers", &buffer)
        field(58, "user-agent", "tern-bench", &buffer)
    }

    /// `name`: its index in the static table; 0 when it has none.
    private mutating func field(_ name: UInt8, _ text: String, _ value: String, _ buffer: inout ByteBuffer) {
        let whole = "\(text) \(value)"
        if let at = table.lastIndex(of: whole) {
            let index = 62 + table.count - 1 - at
            precondition(index < 127, "the dynamic table has \(table.count) fields")
            buffer.writeInteger(0x80 | UInt8(index))
            return
        }
        table.append(whole)
        buffer.writeInteger(0x40 | name)
        if name == 0 { literal(text, &buffer) }
        literal(value, &buffer)
    }

    private func literal(_ text: String, _ buffer: inout ByteBuffer) {
        precondition(text.utf8.count < 127)
        buffer.writeInteger(UInt8(text.utf8.count))
        buffer.writeString(text)
    }
}
