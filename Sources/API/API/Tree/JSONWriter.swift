// Tree → JSON text, as compact as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 are escaped too, members
// keep their order. The hot path of every answer that is not served from stored bytes.

extension JSON {
    /// Appends the text of this value.
    package func write(into out: inout [UInt8]) {
        switch self {
        case .null: out.append(contentsOf: StaticBytes.null)
        case .bool(let value): out.append(contentsOf: value ? StaticBytes.yes : StaticBytes.no)
        case .int(let value): JSONWriter.write(value, into: &out)
        case .double(let value): JSONWriter.write(value, into: &out)
        case .string(let value): JSONWriter.write(value, into: &out)
        case .array(let values): JSONWriter.write(values, into: &out)
        case .object(let object): JSONWriter.write(object, into: &out)
        }
    }

    package func serialized() -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(1024)
        write(into: &out)
        return out
    }

    /// The JSON text.
    package var text: String { String(decoding: serialized(), as: UTF8.self) }
}

private enum StaticBytes {
    static let null = Array("null".utf8)
    static let yes = Array("true".utf8)
    static let no = Array("false".utf8)
    static let hex = Array("0123456789abcdef".utf8)
}

package enum JSONWriter {
    static func write(_ values: [JSON], into out: inout [UInt8]) {
        var separator = UInt8(ascii: "[")
        for value in values {
            out.append(separator)
            value.write(into: &out)
            separator = UInt8(ascii: ",")
        }
        if values.isEmpty { out.append(separator) }
        out.append(UInt8(ascii: "]"))
    }

    static func write(_ object: JSONObject, into out: inout [UInt8]) {
        var separator = UInt8(ascii: "{")
        for member in object.members {
            out.append(separator)
            write(member.key, into: &out)
            out.append(UInt8(ascii: ":"))
            member.value.write(into: &out)
            separator = UInt8(ascii: ",")
        }
        if object.isEmpty { out.append(separator) }
        out.append(UInt8(ascii: "}"))
    }

    static func write(_ value: Int64, into out: inout [UInt8]) {
        if value >= 0 && value < 10 {
            out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value))
            return
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var magnitude = value.magnitude
            var at = 20
            repeat {
                at -= 1
                digits[at] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: magnitude % 10)
                magnitude /= 10
            } while magnitude > 0
            if value < 0 {
                at -= 1
                digits[at] = UInt8(ascii: "-")
            }
            out.append(contentsOf: digits[at...])
        }
    }

    /// As Go writes float64: plain digits below 1e21, an exponent without padding beyond.
    static func write(_ value: Double, into out: inout [UInt8]) {
        guard value.isFinite else {
            out.append(contentsOf: StaticBytes.null)
            return
        }
        if value == value.rounded(), abs(value) < 9e18 {
            write(Int64(value), into: &out)
            return
        }
        let text = value.description.replacing("e-0", with: "e-")
        out.append(contentsOf: text.utf8)
    }

    /// A string in quotes.
    package static func write(_ text: String, into out: inout [UInt8]) {
        var text = text
        text.withUTF8 { bytes in
            out.append(UInt8(ascii: "\""))
            var start = 0
            var at = 0
            while at < bytes.count {
                if isSpecial(bytes[at]) && (bytes[at] != 0xE2 || isLineSeparator(bytes, at)) {
                    out.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<at]))
                    at += escape(bytes, at, into: &out)
                    start = at
                } else {
                    at += 1
                }
            }
            out.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start...]))
            out.append(UInt8(ascii: "\""))
        }
    }

    /// Whether a byte may need an escape; 0xE2 begins U+2028 and U+2029.
    @inline(__always)
    private static func isSpecial(_ byte: UInt8) -> Bool {
        if byte > 0x5C { return byte == 0xE2 }
        if byte > 0x3E { return byte == 0x5C }
        return byte < 0x20 || byte == 0x22 || byte == 0x26 || byte == 0x3C || byte == 0x3E
    }

    private static func isLineSeparator(_ bytes: UnsafeBufferPointer<UInt8>, _ i: Int) -> Bool {
        i + 2 < bytes.count && bytes[i + 1] == 0x80 && bytes[i + 2] & 0xFE == 0xA8
    }

    /// Writes the escape of the byte at `i`; returns how many bytes it stands for.
    private static func escape(_ bytes: UnsafeBufferPointer<UInt8>, _ i: Int, into out: inout [UInt8]) -> Int {
        out.append(UInt8(ascii: "\\"))
        switch bytes[i] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(bytes[i])
        case 8: out.append(UInt8(ascii: "b"))
        case 9: out.append(UInt8(ascii: "t"))
        case 10: out.append(UInt8(ascii: "n"))
        case 12: out.append(UInt8(ascii: "f"))
        case 13: out.append(UInt8(ascii: "r"))
        case 0xE2:
            out.append(contentsOf: [UInt8(ascii: "u"), 0x32, 0x30, 0x32, StaticBytes.hex[Int(bytes[i + 2] & 0x0F)]])
            return 3
        default:
            out.append(contentsOf: [
                UInt8(ascii: "u"), 0x30, 0x30, StaticBytes.hex[Int(bytes[i] >> 4)], StaticBytes.hex[Int(bytes[i] & 15)]
            ])
        }
        return 1
    }
}
