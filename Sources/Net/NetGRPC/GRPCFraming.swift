// The five-byte message prefix of gRPC over HTTP/2, and percent-encoding of status messages. Pure. It must never accept
// a message above the limit or a compressed one (none is ever offered).
import NIOCore
import NIOHPACK

/// Takes message frames out of a byte stream.
package struct GRPCMessageDecoder {
    let messageBytesMax: Int
    private var input = ByteBuffer()

    package init(messageBytesMax: Int) { self.messageBytesMax = messageBytesMax }

    /// What is held in memory for what came: a stream that is silent must not hold what its connection reads into.
    package var capacity: Int { input.capacity }

    package mutating func feed(_ bytes: ByteBuffer) { input.takeIn(bytes) }

    /// Whether a message began that is not complete.
    var isMidMessage: Bool { input.readableBytes > 0 }

    package mutating func next() throws(GRPCStatus) -> [UInt8]? {
        guard let flag: UInt8 = input.getInteger(at: input.readerIndex),
            let length: UInt32 = input.getInteger(at: input.readerIndex + 1)
        else { return nil }
        guard flag == 0 else { throw GRPCStatus(.unimplemented, "compressed messages are not supported") }
        guard Int(length) <= messageBytesMax else {
            throw GRPCStatus(
                .resourceExhausted, "grpc: received message larger than max (\(length) vs. \(messageBytesMax))")
        }
        guard input.readableBytes >= 5 + Int(length) else { return nil }
        input.moveReaderIndex(forwardBy: 5)
        defer { if input.readableBytes == 0 { input = ByteBuffer() } }
        return input.readBytes(length: Int(length))
    }
}

/// One message with its prefix.
func grpcFrame(_ message: [UInt8]) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.reserveCapacity(message.count + 5)
    frame.writeInteger(UInt8(0))
    frame.writeInteger(UInt32(clamping: message.count))
    frame.writeBytes(message)
    return frame
}

/// Status and message from response trailers.
func readStatus(_ fields: HPACKHeaders) -> GRPCStatus? {
    guard let text = fields.first(name: "grpc-status") else { return nil }
    let code = Int(text).flatMap { GRPCCode(rawValue: $0) } ?? .unknown
    return GRPCStatus(code, decodeMessage(fields.first(name: "grpc-message") ?? ""))
}

/// Percent-decodes a `grpc-message`; broken escapes stay as they are.
func decodeMessage(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var decoded: [UInt8] = []
    var at = 0
    while at < bytes.count {
        if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = hexDigit(bytes[at + 1]),
            let low = hexDigit(bytes[at + 2])
        {
            decoded.append(high << 4 | low)
            at += 3
        } else {
            decoded.append(bytes[at])
            at += 1
        }
    }
    return String(decoding: decoded, as: UTF8.self)
}

extension GRPCStatus {
    private static let messageBytesMax = 1024

    /// A head must fit into one frame, and a message may repeat what a client sent.
    var shortMessage: String {
        message.utf8.count <= Self.messageBytesMax
            ? message : String(decoding: message.utf8.prefix(Self.messageBytesMax), as: UTF8.self)
    }
}

func encodeMessage(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var encoded: [UInt8] = []
    for byte in text.utf8 {
        if byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") {
            encoded.append(byte)
        } else {
            encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: encoded, as: UTF8.self)
}

private func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
func encodeTimeout(_ time: TimeAmount) -> String {
    let nanoseconds = max(time.nanoseconds, 1)
    let units: [(Int64, String)] = [
        (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M")
    ]
    for (size, unit) in units where (nanoseconds + size - 1) / size <= 99_999_999 {
        return "\((nanoseconds + size - 1) / size)\(unit)"
    }
    return "99999999H"
}

func decodeTimeout(_ text: String) -> TimeAmount? {
    let sizes: [Character: Int64] = [
        "n": 1, "u": 1_000, "m": 1_000_000, "S": 1_000_000_000, "M": 60_000_000_000, "H": 3_600_000_000_000
    ]
    guard let unit = text.last, let size = sizes[unit], text.count <= 9, let number = Int64(text.dropLast()),
        number >= 0
    else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: size)
    return .nanoseconds(overflow ? .max / 4 : product)
}
