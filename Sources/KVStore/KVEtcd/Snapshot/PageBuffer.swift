// Memory that pages and records are put together in: nothing is checked or counted byte by byte, as millions of records
// go through it; every write is checked as a whole.

/// Bytes that are appended to, in memory that is used again for the next page.
final class PageBuffer {
    private var memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(capacity: Int = BoltFormat.pageBytes) {
        memory = .allocate(byteCount: max(capacity, 1), alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Good until more is appended.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    /// Its room stays.
    func removeAll() { count = 0 }

    @inline(__always)
    func put<Number: FixedWidthInteger>(_ value: Number) {
        grow(by: MemoryLayout<Number>.size)
        memory.storeBytes(of: value.littleEndian, toByteOffset: count, as: Number.self)
        count += MemoryLayout<Number>.size
    }

    func append(_ other: UnsafeRawBufferPointer) {
        grow(by: other.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: other)
        count += other.count
    }

    func append(_ other: [UInt8]) { other.withUnsafeBytes { append($0) } }

    func pad(to end: Int) {
        guard end > count else { return }
        grow(by: end - count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count..<end]).initializeMemory(as: UInt8.self, repeating: 0)
        count = end
    }

    func header(page: UInt64, flags: UInt16, count: Int, overflow: Int) {
        put(page)
        put(flags)
        put(UInt16(clamping: count))
        put(UInt32(clamping: overflow))
    }

    /// A record of so many bytes; false: it was written with fewer or more.
    @inline(__always)
    func record(_ bytes: Int, _ write: (inout RecordWriter) -> Void) -> Bool {
        grow(by: bytes)
        var writer = RecordWriter(UnsafeMutableRawBufferPointer(rebasing: memory[count..<(count + bytes)]))
        write(&writer)
        count += bytes
        return writer.isExact
    }

    @inline(__always)
    private func grow(by more: Int) { if memory.count - count < more { enlarge(count + more) } }

    private func enlarge(_ needed: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(needed, 2 * memory.count), alignment: 16)
        larger.copyMemory(from: bytes)
        memory.deallocate()
        memory = larger
    }
}

/// One record's bytes, in a place whose size was counted before. What does not fit is not written.
struct RecordWriter {
    private let place: UnsafeMutableRawBufferPointer
    private var position = 0
    private var isOverrun = false

    init(_ place: UnsafeMutableRawBufferPointer) { self.place = place }

    var isExact: Bool { !isOverrun && position == place.count }

    @inline(__always)
    private mutating func has(room bytes: Int) -> Bool {
        guard place.count - position >= bytes else {
            isOverrun = true
            return false
        }
        return true
    }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        guard has(room: 1) else { return }
        place[position] = byte
        position += 1
    }

    @inline(__always)
    mutating func put(bigEndian value: UInt64) {
        guard has(room: 8) else { return }
        place.storeBytes(of: value.bigEndian, toByteOffset: position, as: UInt64.self)
        position += 8
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard has(room: bytes.count) else { return }
        UnsafeMutableRawBufferPointer(rebasing: place[position...]).copyMemory(from: bytes)
        position += bytes.count
    }

    @inline(__always)
    private mutating func put(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        put(UInt8(truncatingIfNeeded: rest))
    }
}

// MARK: Protobuf

extension RecordWriter {
    /// A field below 16; as in proto3, none for 0.
    @inline(__always)
    mutating func field(_ number: UInt8, _ value: Int64) {
        guard value != 0 else { return }
        put(number << 3)
        put(varint: UInt64(bitPattern: value))
    }

    /// A field below 16; none for no bytes.
    @inline(__always)
    mutating func field(_ number: UInt8, _ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        put(number << 3 | 2)
        put(varint: UInt64(bytes.count))
        put(bytes)
    }

    /// What a number takes as a field.
    @inline(__always)
    static func bytes(_ value: Int64) -> Int { value == 0 ? 0 : 1 + length(UInt64(bitPattern: value)) }

    /// What bytes take as a field.
    @inline(__always)
    static func bytes(_ value: UnsafeRawBufferPointer) -> Int {
        value.isEmpty ? 0 : 1 + length(UInt64(value.count)) + value.count
    }

    @inline(__always)
    private static func length(_ varint: UInt64) -> Int { max(1, (70 - varint.leadingZeroBitCount) / 7) }
}
