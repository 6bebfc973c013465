// A small protobuf wire reader and writer, for messages that callers encode by hand. Pure; unknown fields are
// skipped. It must never trap on hostile bytes: every length and tag is checked.

/// Why bytes are not a protobuf message.
package enum ProtobufError: Error, Equatable { case truncated, malformed, wrongType }

/// Walks the fields of one message.
package struct ProtobufReader {
    package enum WireType: UInt8 { case varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 }

    private let bytes: ArraySlice<UInt8>
    private var at: Int
    /// The field that `next` stopped at.
    package private(set) var field = 0
    package private(set) var wireType = WireType.varint
    private var isUnread = false

    package init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        at = bytes.startIndex
    }

    /// Steps to the next field; false at the end. A field that was not read is skipped.
    package mutating func next() throws(ProtobufError) -> Bool {
        if isUnread { try skip() }
        guard at < bytes.endIndex else { return false }
        let tag = try rawVarint()
        guard let type = WireType(rawValue: UInt8(tag & 7)), tag >> 3 > 0, tag >> 3 <= 0x1FFF_FFFF else {
            throw .malformed
        }
        field = Int(tag >> 3)
        wireType = type
        isUnread = true
        return true
    }

    package mutating func uint64() throws(ProtobufError) -> UInt64 {
        isUnread = false
        switch wireType {
        case .varint: return try rawVarint()
        case .fixed64: return try fixed(8)
        case .fixed32: return try fixed(4)
        case .bytes: throw .wrongType
        }
    }

    package mutating func int64() throws(ProtobufError) -> Int64 { Int64(bitPattern: try uint64()) }
    package mutating func int() throws(ProtobufError) -> Int { Int(truncatingIfNeeded: try int64()) }
    package mutating func int32() throws(ProtobufError) -> Int32 { Int32(truncatingIfNeeded: try uint64()) }
    package mutating func bool() throws(ProtobufError) -> Bool { try uint64() != 0 }
    package mutating func double() throws(ProtobufError) -> Double { Double(bitPattern: try uint64()) }

    package mutating func sint64() throws(ProtobufError) -> Int64 {
        let raw = try uint64()
        return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }

    /// The payload of a length-delimited field, without a copy.
    package mutating func slice() throws(ProtobufError) -> ArraySlice<UInt8> {
        guard wireType == .bytes else { throw .wrongType }
        isUnread = false
        let length = try rawVarint()
        guard length <= UInt64(bytes.endIndex - at) else { throw .truncated }
        let end = at + Int(length)
        defer { at = end }
        return bytes[at..<end]
    }

    package mutating func byteArray() throws(ProtobufError) -> [UInt8] { Array(try slice()) }
    package mutating func string() throws(ProtobufError) -> String { String(decoding: try slice(), as: UTF8.self) }

    /// A reader over a nested message.
    package mutating func message() throws(ProtobufError) -> ProtobufReader { ProtobufReader(try slice()) }

    /// One entry of a `map<string, string>`.
    package mutating func stringPair() throws(ProtobufError) -> (key: String, value: String) {
        var entry = try message()
        var pair = (key: "", value: "")
        while try entry.next() {
            if entry.field == 1 {
                pair.key = try entry.string()
            } else if entry.field == 2 {
                pair.value = try entry.string()
            }
        }
        return pair
    }

    /// The elements of a repeated integer field, packed or not.
    package mutating func packedInts(_ take: (Int64) -> Void) throws(ProtobufError) {
        guard wireType == .bytes else { return take(try int64()) }
        var inner = ProtobufReader(try slice())
        while inner.at < inner.bytes.endIndex { take(Int64(bitPattern: try inner.rawVarint())) }
    }

    private mutating func skip() throws(ProtobufError) {
        if wireType == .bytes { _ = try slice() } else { _ = try uint64() }
    }

    private mutating func fixed(_ count: Int) throws(ProtobufError) -> UInt64 {
        guard bytes.endIndex - at >= count else { throw .truncated }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[at + index]) << UInt64(8 * index) }
        at += count
        return value
    }

    private mutating func rawVarint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard at < bytes.endIndex else { throw .truncated }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw .malformed
    }
}

/// Builds one message. Default values (0, false, empty) are left out, as proto3 does.
package struct ProtobufWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    /// With room for so many bytes.
    package init(capacity: Int) { bytes.reserveCapacity(capacity) }

    package mutating func uint64(_ field: Int, _ value: UInt64) {
        guard value != 0 else { return }
        tag(field, 0)
        varint(value)
    }

    package mutating func int64(_ field: Int, _ value: Int64) { uint64(field, UInt64(bitPattern: value)) }
    package mutating func int(_ field: Int, _ value: Int) { int64(field, Int64(value)) }
    package mutating func bool(_ field: Int, _ value: Bool) { uint64(field, value ? 1 : 0) }

    package mutating func sint64(_ field: Int, _ value: Int64) {
        uint64(field, UInt64(bitPattern: value << 1) ^ UInt64(bitPattern: value >> 63))
    }

    package mutating func double(_ field: Int, _ value: Double) {
        guard value != 0 else { return }
        tag(field, 1)
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
        }
    }

    package mutating func string(_ field: Int, _ value: String) {
        guard !value.isEmpty else { return }
        payload(field, value.utf8)
    }

    package mutating func byteArray(_ field: Int, _ value: [UInt8]) {
        guard !value.isEmpty else { return }
        payload(field, value)
    }

    /// The same from memory that is only lent.
    package mutating func byteArray(_ field: Int, _ value: UnsafeRawBufferPointer) {
        guard !value.isEmpty else { return }
        payload(field, value)
    }

    package mutating func strings(_ field: Int, _ values: [String]) {
        for value in values { payload(field, value.utf8) }
    }

    /// A nested message; written even when empty (a set but empty submessage).
    package mutating func message(_ field: Int, _ build: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        build(&inner)
        payload(field, inner.bytes)
    }

    package mutating func stringMap(_ field: Int, _ map: [String: String]) {
        for (key, value) in map.sorted(by: { $0.key < $1.key }) {
            message(field) { entry in
                entry.string(1, key)
                entry.string(2, value)
            }
        }
    }

    /// A repeated integer field, packed.
    package mutating func packed(_ field: Int, _ values: [Int64]) {
        guard !values.isEmpty else { return }
        var inner = ProtobufWriter()
        for value in values { inner.varint(UInt64(bitPattern: value)) }
        payload(field, inner.bytes)
    }

    private mutating func payload(_ field: Int, _ value: some Collection<UInt8>) {
        tag(field, 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    private mutating func tag(_ field: Int, _ type: UInt64) { varint(UInt64(field) << 3 | type) }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
