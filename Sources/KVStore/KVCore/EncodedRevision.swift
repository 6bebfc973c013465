// Changes as they lie on disk, walked in place: whoever copies a million records elsewhere makes no value of each. The
// form is that of `ByteReader.revisionEvents`. Pointers into the bytes are only good within the call that they were
// given to.

/// A record whose bytes are somebody else's.
package struct RecordView {
    package let key: UnsafeRawBufferPointer
    package let value: UnsafeRawBufferPointer
    package let createRevision: Revision
    package let modRevision: Revision
    package let version: Int64
    package let lease: LeaseID

    /// With bytes of its own.
    package var record: KeyValue {
        KeyValue(
            key: Key(Array(key)), value: Array(value), createRevision: createRevision, modRevision: modRevision,
            version: version, lease: lease)
    }
}

/// A change of one key whose bytes are somebody else's.
package struct EventView {
    package let kind: KVEvent.Kind
    package let current: RecordView
    package let previous: RecordView?
}

/// The changes of one revision, encoded: one part, or more where there are many. Every part was walked once.
package struct EncodedRevision: Sendable {
    package let revision: Revision
    /// What is behind the changes of the last part.
    package private(set) var rest: Range<Int>
    private var parts: [[UInt8]]

    /// Throws `DecodeError` for bytes that do not begin with one part of a revision.
    package init(_ part: [UInt8]) throws {
        (revision, rest) = try EncodedRevision.walk(part) { _ in }
        parts = [part]
    }

    package var bytes: Int { parts.reduce(0) { $0 + $1.count } }

    /// More of the same revision.
    package mutating func append(_ more: EncodedRevision) {
        parts += more.parts
        rest = more.rest
    }

    /// Every change in order, with its place.
    package func forEach(_ body: (Int, EventView) throws -> Void) throws {
        var place = 0
        for part in parts {
            _ = try EncodedRevision.walk(part) { event in
                try body(place, event)
                place += 1
            }
        }
    }

    @inline(__always)
    private static func walk(_ part: [UInt8], _ body: (EventView) throws -> Void) throws -> (Revision, Range<Int>) {
        try part.withUnsafeBytes { bytes in
            var reader = ViewReader(bytes)
            let revision = Revision(try reader.signed())
            for _ in 0..<(try reader.count()) { try body(try reader.event()) }
            return (revision, reader.position..<bytes.count)
        }
    }
}

extension RevisionEvents {
    /// Every change in order, with its place, as of one that lies on disk.
    package func forEach(_ body: (Int, EventView) throws -> Void) rethrows {
        for (place, event) in events.enumerated() {
            try event.current.withView { current in
                guard let previous = event.previous else {
                    return try body(place, EventView(kind: event.kind, current: current, previous: nil))
                }
                try previous.withView {
                    try body(place, EventView(kind: event.kind, current: current, previous: $0))
                }
            }
        }
    }
}

extension KeyValue {
    package func withView<Result>(_ body: (RecordView) throws -> Result) rethrows -> Result {
        try key.bytes.withUnsafeBytes { key in
            try value.withUnsafeBytes { value in
                try body(
                    RecordView(
                        key: key, value: value, createRevision: createRevision, modRevision: modRevision,
                        version: version, lease: lease))
            }
        }
    }
}

/// What `ByteReader` is to values, for views.
private struct ViewReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func byte() throws(DecodeError) -> UInt8 {
        guard position < bytes.count else { throw DecodeError() }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func unsigned() throws(DecodeError) -> UInt64 {
        try varint { () throws(DecodeError) in try byte() }
    }

    mutating func signed() throws(DecodeError) -> Int64 {
        let raw = try unsigned()
        return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }

    mutating func count() throws(DecodeError) -> Int {
        let raw = try unsigned()
        guard raw <= UInt64(bytes.count - position) else { throw DecodeError() }
        return Int(raw)
    }

    private mutating func data() throws(DecodeError) -> UnsafeRawBufferPointer {
        let length = try count()
        defer { position += length }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + length)])
    }

    private mutating func record() throws(DecodeError) -> RecordView {
        RecordView(
            key: try data(), value: try data(), createRevision: Revision(try signed()),
            modRevision: Revision(try signed()), version: try signed(), lease: LeaseID(rawValue: try signed()))
    }

    mutating func event() throws(DecodeError) -> EventView {
        guard let kind = KVEvent.Kind(rawValue: try byte()) else { throw DecodeError() }
        let current = try record()
        switch try byte() {
        case 0: return EventView(kind: kind, current: current, previous: nil)
        case 1: return EventView(kind: kind, current: current, previous: try record())
        default: throw DecodeError()
        }
    }
}
