// The records of a log segment and their bytes: length, kind, body, and a check that chains each record to all before
// it. Pure. A record that was torn, altered, or left behind from an earlier use of the file breaks the chain; nothing
// behind it is believed.
import KVCore
import Raft

/// What a segment starts with: all that is needed of the segments before it.
struct LogHead: Hashable, Sendable {
    static let format: UInt64 = 1
    var number: UInt64
    /// The chain at the end of the segment before.
    var previous: UInt64
    var hardState: HardState
    var base: EntryID
    /// The last entry before this segment.
    var last: EntryID
}

enum LogRecord: Hashable, Sendable {
    case head(LogHead)
    case hard(HardState)
    /// Replaces whatever the log held from its index on.
    case entry(Entry)
    /// Entries up to here are not needed any more.
    case base(EntryID)
    /// The log is empty and begins behind this entry.
    case reset(EntryID)
}

/// Records on their way to one write.
struct LogBatch {
    static let overheadBytes = 13
    private var writer = ByteWriter()
    private(set) var chain: UInt64

    init(after chain: UInt64) { self.chain = chain }

    var bytes: [UInt8] { writer.bytes }
    var count: Int { writer.bytes.count }

    /// Empties it, keeping the room.
    mutating func begin(after chain: UInt64) {
        self.chain = chain
        writer.bytes.removeAll(keepingCapacity: true)
    }

    mutating func add(_ record: LogRecord) {
        let start = writer.bytes.count
        for _ in 0..<4 { writer.put(byte: 0) }
        writer.put(record)
        let length = UInt32(truncatingIfNeeded: writer.bytes.count - start - 5)
        for i in 0..<4 { writer.bytes[start + i] = UInt8(truncatingIfNeeded: length >> UInt32(8 * i)) }
        chain = writer.bytes.withUnsafeBytes {
            LogBatch.chain(chain, UnsafeRawBufferPointer(rebasing: $0[(start + 4)...]))
        }
        writer.put(fixed: chain)
    }

    static func chain(_ previous: UInt64, _ record: UnsafeRawBufferPointer) -> UInt64 {
        var hash = Hash64(seed: previous)
        hash.add(record)
        return hash.value
    }
}

/// Takes records from the bytes of a segment until the chain breaks.
struct LogRecordReader {
    private let bytes: [UInt8]
    /// Where the next record begins.
    private(set) var position = 0
    private(set) var chain: UInt64
    /// A record is whole and means nothing here: a newer program wrote it.
    private(set) var isForeign = false

    init(_ bytes: [UInt8], after chain: UInt64) {
        self.bytes = bytes
        self.chain = chain
    }

    /// nil: nothing that is whole follows.
    mutating func next() -> LogRecord? {
        guard bytes.count - position >= LogBatch.overheadBytes else { return nil }
        var length = 0
        for i in 0..<4 { length |= Int(bytes[position + i]) << (8 * i) }
        let end = position + 5 + length
        guard length > 0, end <= bytes.count - 8 else { return nil }
        let check = bytes.withUnsafeBytes {
            LogBatch.chain(chain, UnsafeRawBufferPointer(rebasing: $0[(position + 4)..<end]))
        }
        var stored: UInt64 = 0
        for i in 0..<8 { stored |= UInt64(bytes[end + i]) << UInt64(8 * i) }
        guard stored == check else { return nil }
        guard let record = LogRecordReader.decode(Array(bytes[(position + 4)..<end])) else {
            isForeign = true
            return nil
        }
        position = end + 8
        chain = check
        return record
    }

    private static func decode(_ bytes: [UInt8]) -> LogRecord? {
        var reader = ByteReader(bytes)
        do throws(DecodeError) {
            let record = try reader.logRecord()
            return reader.isAtEnd ? record : nil
        } catch { return nil }
    }
}

extension ByteWriter {
    fileprivate mutating func put(_ record: LogRecord) {
        switch record {
        case .head(let head):
            put(byte: 1)
            put(fixed: LogHead.format)
            put(fixed: head.number)
            put(fixed: head.previous)
            put(head.hardState)
            put(head.base)
            put(head.last)
        case .hard(let state): put(byte: 2); put(state)
        case .entry(let entry): put(byte: 3); put(entry)
        case .base(let id): put(byte: 4); put(id)
        case .reset(let id): put(byte: 5); put(id)
        }
    }

    private mutating func put(_ state: HardState) {
        put(state.term.rawValue)
        put(optional: state.vote) { $0.put($1.rawValue) }
        put(state.commit.rawValue)
    }
}

extension ByteReader {
    fileprivate mutating func logRecord() throws(DecodeError) -> LogRecord {
        switch try byte() {
        case 1:
            guard try fixed() == LogHead.format else { throw DecodeError() }
            return .head(
                LogHead(
                    number: try fixed(), previous: try fixed(), hardState: try hardState(), base: try entryID(),
                    last: try entryID()))
        case 2: return .hard(try hardState())
        case 3: return .entry(try entry())
        case 4: return .base(try entryID())
        case 5: return .reset(try entryID())
        default: throw DecodeError()
        }
    }

    private mutating func hardState() throws(DecodeError) -> HardState {
        let term = Term(try unsigned())
        let vote = try optional { (r: inout ByteReader) throws(DecodeError) in PeerID(try r.unsigned()) }
        return HardState(term: term, vote: vote, commit: LogIndex(try unsigned()))
    }
}
