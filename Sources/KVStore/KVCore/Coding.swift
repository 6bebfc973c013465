// The byte forms of our own formats: little-endian fixed words, varints and length-prefixed bytes, in one growing
// array. The reader checks every bound: whatever bytes arrive, it answers a value or throws `DecodeError`, and never
// traps.

/// The bytes are not what they claim to be.
package struct DecodeError: Error, Hashable, Sendable {
    package init() {}
}

/// Appends values to bytes.
package struct ByteWriter: Sendable {
    package var bytes: [UInt8] = []
    package init() {}
    package init(capacity: Int) { bytes.reserveCapacity(capacity) }

    package mutating func put(byte: UInt8) { bytes.append(byte) }
    package mutating func put(flag: Bool) { bytes.append(flag ? 1 : 0) }

    package mutating func put(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Zigzag.
    package mutating func put(_ value: Int64) { put(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }
    package mutating func put(count: Int) { put(UInt64(count)) }

    package mutating func put(fixed value: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func put(_ data: [UInt8]) {
        put(count: data.count)
        bytes.append(contentsOf: data)
    }

    package mutating func put(text: String) { put(Array(text.utf8)) }

    package mutating func put<T>(list: [T], _ each: (inout ByteWriter, T) -> Void) {
        put(count: list.count)
        for item in list { each(&self, item) }
    }

    package mutating func put<T>(optional value: T?, _ some: (inout ByteWriter, T) -> Void) {
        put(flag: value != nil)
        if let value { some(&self, value) }
    }
}

/// A number in groups of seven bits, the lowest first.
@inline(__always)
func varint(_ byte: () throws(DecodeError) -> UInt8) throws(DecodeError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while shift < 64 {
        let next = try byte()
        let bits = UInt64(next & 0x7f)
        if shift == 63, bits > 1 { throw DecodeError() }
        value |= bits << shift
        if next & 0x80 == 0 { return value }
        shift += 7
    }
    throw DecodeError()
}

/// Takes values from bytes.
package struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    package init(_ bytes: [UInt8], from start: Int = 0) {
        self.bytes = bytes
        position = min(max(0, start), bytes.count)
        end = bytes.count
    }

    package var remaining: Int { end - position }
    package var isAtEnd: Bool { position == end }

    package mutating func byte() throws(DecodeError) -> UInt8 {
        guard position < end else { throw DecodeError() }
        defer { position += 1 }
        return bytes[position]
    }

    package mutating func flag() throws(DecodeError) -> Bool {
        switch try byte() {
        case 0: return false
        case 1: return true
        default: throw DecodeError()
        }
    }

    package mutating func unsigned() throws(DecodeError) -> UInt64 {
        try varint { () throws(DecodeError) in try byte() }
    }

    package mutating func signed() throws(DecodeError) -> Int64 {
        let raw = try unsigned()
        return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }

    /// A count of things that take at least one byte each.
    package mutating func count() throws(DecodeError) -> Int {
        let raw = try unsigned()
        guard raw <= UInt64(remaining) else { throw DecodeError() }
        return Int(raw)
    }

    package mutating func fixed() throws(DecodeError) -> UInt64 {
        guard remaining >= 8 else { throw DecodeError() }
        var value: UInt64 = 0
        for i in 0..<8 { value |= UInt64(bytes[position + i]) << UInt64(8 * i) }
        position += 8
        return value
    }

    package mutating func data() throws(DecodeError) -> [UInt8] {
        let length = try count()
        defer { position += length }
        return Array(bytes[position..<(position + length)])
    }

    /// Everything that is left.
    package mutating func rest() -> [UInt8] {
        defer { position = end }
        return Array(bytes[position..<end])
    }

    package mutating func text() throws(DecodeError) -> String { String(decoding: try data(), as: UTF8.self) }

    package mutating func list<T>(
        _ each: (inout ByteReader) throws(DecodeError) -> T
    ) throws(DecodeError) -> [T] {
        let n = try count()
        var items: [T] = []
        items.reserveCapacity(min(n, 1024))
        for _ in 0..<n { items.append(try each(&self)) }
        return items
    }

    package mutating func optional<T>(
        _ some: (inout ByteReader) throws(DecodeError) -> T
    ) throws(DecodeError) -> T? {
        try flag() ? try some(&self) : nil
    }
}
