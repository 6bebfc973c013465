// The wire format of protobuf, read field by field out of a span of bytes. Every length is checked against the span:
// hostile bodies end in an error, never in a read outside.

/// A body that is no protobuf of its kind.
package struct ProtobufError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }

    package init(message: String) { self.message = message }

    static let truncated = ProtobufError(message: "unexpected EOF")
}

struct ProtobufReader {
    /// What stands in a field.
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(Range<Int>)
    }

    let bytes: [UInt8]
    private var at: Int
    private let end: Int

    init(_ bytes: [UInt8], _ span: Range<Int>) {
        self.bytes = bytes
        at = max(0, span.lowerBound)
        end = min(span.upperBound, bytes.count)
    }

    /// The next field; nil at the end.
    mutating func next() throws(ProtobufError) -> (number: UInt32, value: Value)? {
        guard at < end else { return nil }
        let tag = try varint()
        guard tag >> 3 > 0, tag >> 3 < 1 << 29 else {
            throw ProtobufError(message: "proto: illegal tag \(tag >> 3) (wire type \(tag & 7))")
        }
        let number = UInt32(truncatingIfNeeded: tag >> 3)
        switch tag & 7 {
        case 0: return (number, .varint(try varint()))
        case 1: return (number, .fixed64(try fixed(8)))
        case 2:
            let length = try varint()
            guard length <= UInt64(end - at) else { throw .truncated }
            let start = at
            at += Int(length)
            return (number, .bytes(start..<at))
        case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw ProtobufError(message: "proto: illegal wireType \(tag & 7)")
        }
    }

    var isAtEnd: Bool { at >= end }

    mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard at < end else { throw .truncated }
            guard shift < 64 else { throw ProtobufError(message: "proto: integer overflow") }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
    }

    private mutating func fixed(_ count: Int) throws(ProtobufError) -> UInt64 {
        guard end - at >= count else { throw .truncated }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[at + index]) << UInt64(8 * index) }
        at += count
        return value
    }
}

/// Appends fields in the wire format.
package struct ProtobufWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    package mutating func field(_ number: UInt32, varint value: UInt64) {
        varint(UInt64(number) << 3)
        varint(value)
    }

    package mutating func field(_ number: UInt32, double value: Double) {
        varint(UInt64(number) << 3 | 1)
        for shift in stride(from: 0, to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(shift)))
        }
    }

    package mutating func field(_ number: UInt32, bytes value: some Collection<UInt8>) {
        varint(UInt64(number) << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    package mutating func field(_ number: UInt32, string value: String) { field(number, bytes: value.utf8) }
}
