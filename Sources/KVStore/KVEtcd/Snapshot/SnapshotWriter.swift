// A store as a database file of etcd's: `etcdctl snapshot restore` makes a data directory of it, and so does `tern
// snapshot restore`. It holds what each key held at the oldest revision that is kept, and every change since. Revisions
// that are only on disk are read up to three times, a few at a time: to find what their keys held before, to know how
// large the file will be, and to be written.
import Crypto
import Glibc
import KVCore
import KVReplica
import NetGRPC
import Raft

/// Whoever asked for it is gone.
struct SnapshotUnwanted: Error {}

/// Writes one export.
package struct SnapshotWriter {
    private let export: StoreExport
    private let revision: Revision
    /// Changes up to here are not in the file, only what they left.
    private var base: Revision
    /// What was there at `base`, in the order of its revisions.
    private var kept: [KeyValue] = []
    private var times: [RevisionTime] = []
    private let isWanted: () -> Bool

    /// `isWanted` is asked now and then; when it says no, an error is thrown.
    package init(_ export: StoreExport, isWanted: @escaping () -> Bool = { true }) {
        self.isWanted = isWanted
        self.export = export
        revision = export.snapshot.view.revision
        base = max(export.snapshot.view.compactRevision, Revision(1))
    }

    /// Finds out how large the file will be; to be called before it is written.
    package mutating func plan() throws -> BoltPlan {
        try findBase()
        kept = try keptRecords()
        times = try export.times(after: base)
        return try compose(BoltWriter())
    }

    /// Gives the file to the sink, piece by piece.
    package func write(_ plan: BoltPlan, to sink: @escaping (UnsafeRawBufferPointer) throws -> Void) throws {
        _ = try compose(BoltWriter(plan, to: sink))
    }

    /// Answers the size of the file. The descriptor stays the caller's.
    package func write(to descriptor: Int32) throws -> Int {
        var writer = self
        let plan = try writer.plan()
        var offset = 0
        try writer.write(plan) { piece in
            try DescriptorBytes.write(piece, to: descriptor, at: offset)
            offset += piece.count
        }
        return plan.bytes
    }

    private func compose(_ file: BoltWriter) throws -> BoltPlan {
        for name in ["alarm", "auth", "authRoles", "authUsers", "cluster", "members_removed"] { try file.bucket(name) }
        try file.bucket("key") { file in
            try writeKept(to: file)
            try forEachChange { revision, place, event in
                try SnapshotWriter.write(event, SnapshotKey(main: revision.rawValue, sub: Int64(place)), to: file)
            }
        }
        try file.bucket("lease") { file in
            for lease in export.leases { try file.add(bigEndian(UInt64(bitPattern: lease.id.rawValue)), value(lease)) }
        }
        try file.bucket("members") { file in
            let named = export.members.map { (Array(String($0.id.rawValue, radix: 16).utf8), $0) }
            for (id, member) in named.sorted(by: { $0.0.lexicographicallyPrecedes($1.0) }) {
                try file.add(id, Array(json(member).utf8))
            }
        }
        try writeMeta(file)
        return try file.finish()
    }

    /// The same with the digest behind it, as a file on its own has it.
    package func writeWithDigest(to descriptor: Int32) throws {
        let bytes = try write(to: descriptor)
        var digest = SHA256()
        var offset = 0
        while offset < bytes {
            guard isWanted() else { throw SnapshotUnwanted() }
            var piece = [UInt8](repeating: 0, count: min(1 << 20, bytes - offset))
            let got = pread(descriptor, &piece, piece.count, off_t(offset))
            guard got > 0 else { throw BoltError("the snapshot cannot be read back: errno \(errno)") }
            digest.update(data: piece[..<got])
            offset += got
        }
        try DescriptorBytes.write(Array(digest.finalize()), to: descriptor, at: bytes)
    }

    /// A member that was sent a snapshot has less of the past than may be asked for.
    private mutating func findBase() throws {
        let floor = export.snapshot.windowFloor
        guard base < floor else { return }
        let first = try export.history(after: base, through: floor).first?.revision
        if first != base.next { base = first.map { Revision($0.rawValue - 1) } ?? floor }
    }

    /// `body` is given each change with its revision and its place within that one.
    private func forEachChange(_ body: (Revision, Int, EventView) throws -> Void) throws {
        let floor = export.snapshot.windowFloor
        var next = base
        while next < floor {
            let items = try export.history(after: next, through: floor)
            guard let first = items.first, first.revision == next.next, let last = items.last,
                last.revision.rawValue - next.rawValue == Int64(items.count)
            else { throw BoltError("revision \(next.next) is not there any more, or not yet") }
            guard isWanted() else { throw SnapshotUnwanted() }
            for item in items { try item.forEach { try body(item.revision, $0, $1) } }
            next = last.revision
        }
        guard isWanted() else { throw SnapshotUnwanted() }
        guard let recent = export.snapshot.recent(after: next) else { throw BoltError("a gap after revision \(next)") }
        for item in recent { try item.forEach { try body(item.revision, $0, $1) } }
    }

    /// What was there at `base`, in the order of its revisions.
    private func keptRecords() throws -> [KeyValue] {
        // Nothing ever changed at the first revision.
        guard base > Revision(1) else { return [] }
        var kept: [KeyValue] = []
        export.snapshot.view.forEach(.all) { record in
            if record.modRevision <= base { kept.append(record) }
            return true
        }
        try forEachChange { _, _, event in
            if let previous = event.previous, previous.modRevision <= base { kept.append(previous.record) }
        }
        return kept.sorted { ($0.modRevision, $0.key) < ($1.modRevision, $1.key) }
    }
}

// MARK: Records

extension SnapshotWriter {
    private static let recordsPerQuestion = 4096

    private func writeKept(to file: BoltWriter) throws {
        var sub: Int64 = 0
        var last = Revision.zero
        for (place, record) in kept.enumerated() {
            guard place % Self.recordsPerQuestion > 0 || isWanted() else { throw SnapshotUnwanted() }
            sub = record.modRevision == last ? sub + 1 : 0
            last = record.modRevision
            let key = SnapshotKey(main: last.rawValue, sub: sub)
            try record.withView { try Self.write($0, key, to: file) }
        }
    }

    @inline(__always)
    private static func write(_ event: EventView, _ key: SnapshotKey, to file: BoltWriter) throws {
        guard event.kind == .delete else { return try write(event.current, key, to: file) }
        var key = key
        key.isTombstone = true
        let name = event.current.key
        try file.add(keyBytes: SnapshotKey.count + 1, valueBytes: RecordWriter.bytes(name)) { out in
            key.write(&out)
            out.field(1, name)
        }
    }

    @inline(__always)
    private static func write(_ record: RecordView, _ key: SnapshotKey, to file: BoltWriter) throws {
        try file.add(keyBytes: SnapshotKey.count, valueBytes: bytes(record)) { out in
            key.write(&out)
            out.field(1, record.key)
            out.field(2, record.createRevision.rawValue)
            out.field(3, record.modRevision.rawValue)
            out.field(4, record.version)
            out.field(5, record.value)
            out.field(6, record.lease.rawValue)
        }
    }

    /// Of a record's fields.
    @inline(__always)
    private static func bytes(_ record: RecordView) -> Int {
        RecordWriter.bytes(record.key) + RecordWriter.bytes(record.createRevision.rawValue)
            + RecordWriter.bytes(record.modRevision.rawValue) + RecordWriter.bytes(record.version)
            + RecordWriter.bytes(record.value) + RecordWriter.bytes(record.lease.rawValue)
    }

    private func value(_ lease: Lease) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.int64(1, lease.id.rawValue)
        writer.int64(2, max(1, lease.ttlMilliseconds / 1000))
        return writer.bytes
    }

    private func json(_ member: Member) -> String {
        func list(_ items: [String]) -> String { "[\(items.map(quoted).joined(separator: ","))]" }
        var fields = ["\"id\":\(member.id.rawValue)", "\"peerURLs\":\(list(["http://\(member.host):\(member.port)"]))"]
        if !member.name.isEmpty { fields.append("\"name\":\(quoted(member.name))") }
        if !member.clientURLs.isEmpty { fields.append("\"clientURLs\":\(list(member.clientURLs))") }
        if export.learners.contains(member.id) { fields.append("\"isLearner\":true") }
        return "{\(fields.joined(separator: ","))}"
    }

    private func quoted(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case _ where scalar.value < 0x20: " "
            default: "\(scalar)"
            }
        }
        return "\"\(escaped.joined())\""
    }

    private func writeMeta(_ file: BoltWriter) throws {
        try file.bucket("meta") { file in
            try file.add(Array("consistent_index".utf8), bigEndian(export.applied.index.rawValue))
            if base > Revision(1) {
                let compacted = SnapshotKey(main: base.rawValue, sub: 0).bytes
                try file.add(Array("finishedCompactRev".utf8), compacted)
                try file.add(Array("scheduledCompactRev".utf8), compacted)
            }
            try file.add(Array("term".utf8), bigEndian(export.applied.term.rawValue))
        }
        try file.bucket(SnapshotKey.ownBucket) { file in
            try file.add(Array("cluster".utf8), bigEndian(export.cluster))
            try file.add(Array("revision".utf8), bigEndian(UInt64(revision.rawValue)))
        }
        try file.bucket(SnapshotKey.timesBucket) { file in
            for mark in times {
                let time = bigEndian(UInt64(bitPattern: mark.unixMilliseconds))
                try file.add(bigEndian(UInt64(bitPattern: mark.revision.rawValue)), time)
            }
        }
    }
}

/// A key of the bucket of keys: a revision, the place within it, and whether it is a deletion.
struct SnapshotKey {
    /// Of all but those of deletions, which have one more.
    static let count = 17
    /// Buckets that etcd does not look at.
    static let ownBucket = "tern"
    static let timesBucket = "tern_times"
    var main: Int64
    var sub: Int64
    var isTombstone = false

    init(main: Int64, sub: Int64) {
        self.main = main
        self.sub = sub
    }

    var bytes: [UInt8] {
        let tail = isTombstone ? Array("t".utf8) : []
        return bigEndian(UInt64(bitPattern: main)) + Array("_".utf8) + bigEndian(UInt64(bitPattern: sub)) + tail
    }

    @inline(__always)
    func write(_ out: inout RecordWriter) {
        out.put(bigEndian: UInt64(bitPattern: main))
        out.put(UInt8(ascii: "_"))
        out.put(bigEndian: UInt64(bitPattern: sub))
        if isTombstone { out.put(UInt8(ascii: "t")) }
    }

    /// nil: the bytes are something else.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 17 || (bytes.count == 18 && bytes[17] == UInt8(ascii: "t")), bytes[8] == UInt8(ascii: "_"),
            let main = unsigned(bytes[0..<8]), let sub = unsigned(bytes[9..<17])
        else { return nil }
        self.main = Int64(bitPattern: main)
        self.sub = Int64(bitPattern: sub)
        isTombstone = bytes.count == 18
    }
}

/// All bytes or an error.
enum DescriptorBytes {
    static func write(_ bytes: [UInt8], to descriptor: Int32, at offset: Int) throws {
        try bytes.withUnsafeBytes { try write($0, to: descriptor, at: offset) }
    }

    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw BoltError("the snapshot cannot be written: \(String(cString: strerror(errno)))")
            }
            done += count
        }
    }

    static func read(_ descriptor: Int32, at offset: Int, _ count: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = buffer[done...].withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, $0.count, off_t(offset + done))
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw BoltError("the snapshot cannot be read back: \(errno)") }
            done += got
        }
        return buffer
    }
}

func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

/// Eight bytes, the greatest first; nil when there are not eight.
func unsigned(_ bytes: some Collection<UInt8>) -> UInt64? {
    guard bytes.count == 8 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt64($1) }
}
