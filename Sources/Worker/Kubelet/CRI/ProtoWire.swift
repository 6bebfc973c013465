// The protobuf wire format, as much of it as CRI v1 needs: varints, length-delimited fields, maps of strings.
// Hand-written so that the worker carries no protobuf library. Hostile bytes end in `ProtoError`, never in a trap.
// Default values are left out when writing, as proto3 does.

/// Bytes that are no well-formed message.
package struct ProtoError: Error, Sendable, Equatable {
    package var reason: String
    package init(_ reason: String) { self.reason = reason }
}

/// Appends fields to a message.
package struct ProtoWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    private mutating func key(_ field: Int, _ wire: UInt64) { varint(UInt64(field) << 3 | wire) }

    package mutating func int(_ field: Int, _ value: Int64) {
        guard value != 0 else { return }
        key(field, 0)
        varint(UInt64(bitPattern: value))
    }

    package mutating func int(_ field: Int, _ value: Int32) { int(field, Int64(value)) }
    package mutating func uint(_ field: Int, _ value: UInt32) { int(field, Int64(value)) }
    package mutating func bool(_ field: Int, _ value: Bool) { int(field, Int64(value ? 1 : 0)) }

    package mutating func data(_ field: Int, _ value: [UInt8]) {
        key(field, 2)
        varint(UInt64(value.count))
        bytes += value
    }

    package mutating func string(_ field: Int, _ value: String) {
        if !value.isEmpty { data(field, Array(value.utf8)) }
    }

    package mutating func strings(_ field: Int, _ values: [String]) {
        for value in values { data(field, Array(value.utf8)) }
    }

    package mutating func packed(_ field: Int, _ values: [Int64]) {
        guard !values.isEmpty else { return }
        var inner = ProtoWriter()
        for value in values { inner.varint(UInt64(bitPattern: value)) }
        data(field, inner.bytes)
    }

    package mutating func map(_ field: Int, _ values: [String: String]) {
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            message(field) {
                $0.string(1, name)
                $0.string(2, value)
            }
        }
    }

    /// A submessage; written even when it is empty, since its presence means something.
    package mutating func message(_ field: Int, _ body: (inout ProtoWriter) -> Void) {
        var inner = ProtoWriter()
        body(&inner)
        data(field, inner.bytes)
    }

    /// `Int64Value` and its like: nil is an absent message, 0 is a present one.
    package mutating func wrapped(_ field: Int, _ value: Int64?) {
        guard let value else { return }
        message(field) { $0.int(1, value) }
    }
}

/// One field of a message as it stands on the wire.
package struct ProtoField: Sendable {
    package enum Value: Sendable {
        case varint(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    package var number: Int
    package var value: Value

    package var int: Int64 { if case .varint(let raw) = value { Int64(bitPattern: raw) } else { 0 } }
    package var bool: Bool { int != 0 }
    package var bytes: ArraySlice<UInt8> { if case .bytes(let slice) = value { slice } else { [] } }
    package var string: String { String(decoding: bytes, as: UTF8.self) }
}

/// Reads a message field by field.
package struct ProtoReader: Sendable {
    private var rest: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
    package init(_ bytes: [UInt8]) { rest = bytes[...] }

    /// The next field that is a varint or bytes; fixed-width ones are stepped over; nil at the end.
    package mutating func next() throws(ProtoError) -> ProtoField? {
        while !rest.isEmpty {
            let key = try varint()
            let number = Int(truncatingIfNeeded: key >> 3)
            switch key & 7 {
            case 0: return ProtoField(number: number, value: .varint(try varint()))
            case 1: _ = try take(8)
            case 2:
                let count = try varint()
                guard count <= UInt64(rest.count) else {
                    throw ProtoError("field \(number) is longer than its message")
                }
                return ProtoField(number: number, value: .bytes(try take(Int(count))))
            case 5: _ = try take(4)
            default: throw ProtoError("wire type \(key & 7) is not known")
            }
        }
        return nil
    }

    private mutating func varint() throws(ProtoError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = rest.popFirst() {
            guard shift < 64 else { throw ProtoError("a varint of more than ten bytes") }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw ProtoError("the message ends inside a varint")
    }

    private mutating func take(_ count: Int) throws(ProtoError) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw ProtoError("the message ends inside a field") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}

/// A message that can be read; unknown fields are stepped over.
package protocol ProtoReadable {
    init()
    mutating func read(_ field: ProtoField) throws(ProtoError)
}

extension ProtoReadable {
    package init(proto bytes: ArraySlice<UInt8>) throws(ProtoError) {
        self.init()
        var reader = ProtoReader(bytes)
        while let field = try reader.next() { try read(field) }
    }
    package init(proto bytes: [UInt8]) throws(ProtoError) { try self.init(proto: bytes[...]) }
}

/// An entry of `map<string, string>`.
package struct ProtoMapEntry: ProtoReadable {
    package var key = ""
    package var value = ""
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: key = field.string
        case 2: value = field.string
        default: break
        }
    }
}

extension [String: String] {
    /// Adds the map entry that stands in `field`.
    package mutating func readEntry(_ field: ProtoField) throws(ProtoError) {
        let entry = try ProtoMapEntry(proto: field.bytes)
        self[entry.key] = entry.value
    }
}
