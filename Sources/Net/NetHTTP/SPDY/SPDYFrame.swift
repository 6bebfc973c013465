// SPDY/3.1 frames (draft 3.1 §2) as values: bytes in, frames out, frames to bytes. Header blocks stay compressed
// here. It must never trap on what the peer sends.
import NIOCore

/// One frame. Kinds that nobody needs are `.other`.
enum SPDYFrame: Equatable {
    case data(stream: UInt32, isLast: Bool, ByteBuffer)
    case synStream(stream: UInt32, isLast: Bool, block: ByteBuffer)
    case synReply(stream: UInt32, isLast: Bool, block: ByteBuffer)
    case headers(stream: UInt32, isLast: Bool, block: ByteBuffer)
    case reset(stream: UInt32, status: UInt32)
    case settings([(id: UInt32, value: UInt32)])
    case ping(id: UInt32)
    case goAway(lastStream: UInt32)
    case windowUpdate(stream: UInt32, delta: UInt32)
    case other(kind: UInt16)

    static func == (a: SPDYFrame, b: SPDYFrame) -> Bool { "\(a)" == "\(b)" }
}

/// Why the byte stream is no SPDY.
enum SPDYFault: Error { case malformed, tooLarge }

struct SPDYDecoder {
    static let frameBytesMax = 1 << 20
    private var input = ByteBuffer()

    mutating func feed(_ bytes: ByteBuffer) {
        if input.readableBytes == 0 {
            input = bytes
        } else {
            input.discardReadBytes()
            input.writeImmutableBuffer(bytes)
        }
    }

    mutating func next() throws(SPDYFault) -> SPDYFrame? {
        guard let first: UInt32 = input.getInteger(at: input.readerIndex),
            let second: UInt32 = input.getInteger(at: input.readerIndex + 4)
        else { return nil }
        let length = Int(second & 0x00FF_FFFF)
        guard length <= Self.frameBytesMax else { throw .tooLarge }
        guard input.readableBytes >= 8 + length else { return nil }
        input.moveReaderIndex(forwardBy: 8)
        guard var payload = input.readSlice(length: length) else { return nil }
        let isLast = second >> 24 & 1 == 1
        if first & 0x8000_0000 == 0 { return .data(stream: first, isLast: isLast, payload) }
        guard first >> 16 & 0x7FFF == 3 else { throw .malformed }
        guard let frame = Self.control(UInt16(first & 0xFFFF), isLast, &payload) else { throw .malformed }
        return frame
    }

    private static func control(_ kind: UInt16, _ isLast: Bool, _ payload: inout ByteBuffer) -> SPDYFrame? {
        if kind == 4 { return settings(&payload) }
        guard kind < 10, let id: UInt32 = payload.readInteger() else {
            return kind < 10 && kind != 5 ? nil : .other(kind: kind)
        }
        let stream = id & 0x7FFF_FFFF
        switch kind {
        case 1:
            guard payload.readBytes(length: 6) != nil else { return nil }
            return .synStream(stream: stream, isLast: isLast, block: payload)
        case 2: return .synReply(stream: stream, isLast: isLast, block: payload)
        case 8: return .headers(stream: stream, isLast: isLast, block: payload)
        case 3: return payload.readInteger().map { .reset(stream: stream, status: $0) }
        case 6: return .ping(id: id)
        case 7: return .goAway(lastStream: stream)
        case 9: return payload.readInteger().map { .windowUpdate(stream: stream, delta: $0 & 0x7FFF_FFFF) }
        default: return .other(kind: kind)
        }
    }

    private static func settings(_ payload: inout ByteBuffer) -> SPDYFrame? {
        guard let count: UInt32 = payload.readInteger(), Int(count) * 8 == payload.readableBytes else { return nil }
        var all: [(id: UInt32, value: UInt32)] = []
        while let id: UInt32 = payload.readInteger(), let value: UInt32 = payload.readInteger() {
            all.append((id & 0x00FF_FFFF, value))
        }
        return .settings(all)
    }
}

extension ByteBuffer {
    mutating func writeSPDY(_ frame: SPDYFrame) {
        switch frame {
        case .data(let stream, let isLast, let bytes):
            writeInteger(stream)
            writeInteger((isLast ? 0x0100_0000 : 0) | UInt32(bytes.readableBytes))
            writeImmutableBuffer(bytes)
        case .synStream(let stream, let isLast, let block):
            writeControl(1, isLast: isLast, length: 10 + block.readableBytes)
            writeMultipleIntegers(stream, UInt32(0), UInt16(0))
            writeImmutableBuffer(block)
        case .synReply(let stream, let isLast, let block): writeBlock(2, stream, isLast, block)
        case .headers(let stream, let isLast, let block): writeBlock(8, stream, isLast, block)
        case .reset(let stream, let status):
            writeControl(3, isLast: false, length: 8)
            writeMultipleIntegers(stream, status)
        case .settings(let all):
            writeControl(4, isLast: false, length: 4 + 8 * all.count)
            writeInteger(UInt32(all.count))
            for one in all { writeMultipleIntegers(one.id, one.value) }
        case .ping(let id):
            writeControl(6, isLast: false, length: 4)
            writeInteger(id)
        case .goAway(let last):
            writeControl(7, isLast: false, length: 8)
            writeMultipleIntegers(last, UInt32(0))
        case .windowUpdate(let stream, let delta):
            writeControl(9, isLast: false, length: 8)
            writeMultipleIntegers(stream, delta)
        case .other: break
        }
    }

    private mutating func writeControl(_ kind: UInt16, isLast: Bool, length: Int) {
        writeMultipleIntegers(UInt16(0x8003), kind, (isLast ? UInt32(0x0100_0000) : 0) | UInt32(length))
    }

    private mutating func writeBlock(_ kind: UInt16, _ stream: UInt32, _ isLast: Bool, _ block: ByteBuffer) {
        writeControl(kind, isLast: isLast, length: 4 + block.readableBytes)
        writeInteger(stream)
        writeImmutableBuffer(block)
    }
}
