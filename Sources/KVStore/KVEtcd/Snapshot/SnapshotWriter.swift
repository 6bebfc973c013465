// A store as a database file of etcd's: `etcdctl snapshot restore` makes a data directory of it, and so does `tern
// snapshot restore`. It holds what each key held at the oldest revision that is kept, and every change since. Revisions
// that are only on disk are read twice, a few at a time: first to find what their keys held before, then to be written.
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
    private let isWanted: () -> Bool

    /// `isWanted` is asked now and then; when it says no, an error is thrown.
    package init(_ export: StoreExport, isWanted: @escaping () -> Bool = { true }) {
        self.isWanted = isWanted
        self.export = export
        revision = export.snapshot.view.revision
        base = max(export.snapshot.view.compactRevision, Revision(1))
    }

    /// Answers the size of the file.
    package func write(to descriptor: Int32) throws -> Int {
        var plan = self
        try plan.findBase()
        let kept = try plan.keptRecords()
        let file = BoltWriter(descriptor: descriptor)
        for name in ["alarm", "auth", "authRoles", "authUsers", "cluster", "members_removed"] { try file.bucket(name) }
        try file.bucket("key") { file in
            try write(kept, to: file)
            try plan.forEachChange { item in try SnapshotWriter.write(item, to: file) }
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
        try plan.writeMeta(file)
        return try file.finish()
    }

    /// The same with the digest behind it, as a file on its own has it.
    package func writeWithDigest(to descriptor: Int32) throws {
        let bytes = try write(to: descriptor)
        var digest = SHA256()
        var offset = 0
        while offset < bytes {
            var piece = [UInt8](repeating: 0, count: min(1 << 20, bytes - offset))
            let got = pread(descriptor, &piece, piece.count, off_t(offset))
            guard got > 0 else { throw BoltError("the snapshot cannot be read back: errno \(errno)") }
            digest.update(data: piece[..<got])
            offset += got
        }
        let end = Array(digest.finalize())
        guard pwrite(descriptor, end, end.count, off_t(bytes)) == end.count else {
            throw BoltError("the snapshot cannot be written: errno \(errno)")
        }
    }

    /// A member that was sent a snapshot has less of the past than may be asked for.
    private mutating func findBase() throws {
        let floor = export.snapshot.windowFloor
        guard base < floor else { return }
        let first = try export.history(after: base, through: floor).first?.revision
        if first != base.next { base = first.map { Revision($0.rawValue - 1) } ?? floor }
    }

    private func forEachChange(_ body: (RevisionEvents) throws -> Void) throws {
        let floor = export.snapshot.windowFloor
        var next = base
        while next < floor {
            let items = try export.history(after: next, through: floor)
            guard let first = items.first, first.revision == next.next, let last = items.last,
                last.revision.rawValue - next.rawValue == Int64(items.count)
            else { throw BoltError("revision \(next.next) is not there any more, or not yet") }
            guard isWanted() else { throw SnapshotUnwanted() }
            for item in items { try body(item) }
            next = last.revision
        }
        guard isWanted() else { throw SnapshotUnwanted() }
        guard let recent = export.snapshot.recent(after: next) else { throw BoltError("a gap after revision \(next)") }
        for item in recent { try body(item) }
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
        try forEachChange { item in
            for event in item.events {
                if let previous = event.previous, previous.modRevision <= base { kept.append(previous) }
            }
        }
        return kept.sorted { ($0.modRevision, $0.key) < ($1.modRevision, $1.key) }
    }
}

// MARK: Records

extension SnapshotWriter {
    private static let recordsPerQuestion = 4096

    private func write(_ kept: [KeyValue], to file: BoltWriter) throws {
        var sub: Int64 = 0
        var last = Revision.zero
        for (place, record) in kept.enumerated() {
            guard place % Self.recordsPerQuestion > 0 || isWanted() else { throw SnapshotUnwanted() }
            sub = record.modRevision == last ? sub + 1 : 0
            last = record.modRevision
            try file.add(SnapshotKey(main: last.rawValue, sub: sub).bytes, Self.value(record))
        }
    }

    private static func write(_ item: RevisionEvents, to file: BoltWriter) throws {
        for (sub, event) in item.events.enumerated() {
            var key = SnapshotKey(main: item.revision.rawValue, sub: Int64(sub))
            switch event.kind {
            case .put: try file.add(key.bytes, value(event.current))
            case .delete:
                key.isTombstone = true
                var writer = ProtobufWriter()
                writer.byteArray(1, event.current.key.bytes)
                try file.add(key.bytes, writer.bytes)
            }
        }
    }

    private static func value(_ record: KeyValue) -> [UInt8] {
        var writer = ProtobufWriter(capacity: record.bytes)
        writer.fields(of: record)
        return writer.bytes
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
            for mark in try export.times(after: base) {
                let time = bigEndian(UInt64(bitPattern: mark.unixMilliseconds))
                try file.add(bigEndian(UInt64(bitPattern: mark.revision.rawValue)), time)
            }
        }
    }
}

/// A key of the bucket of keys: a revision, the place within it, and whether it is a deletion.
struct SnapshotKey {
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
        var bytes: [UInt8] = []
        bytes.reserveCapacity(18)
        withUnsafeBytes(of: main.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: "_"))
        withUnsafeBytes(of: sub.bigEndian) { bytes.append(contentsOf: $0) }
        if isTombstone { bytes.append(UInt8(ascii: "t")) }
        return bytes
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

func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

/// Eight bytes, the greatest first; nil when there are not eight.
func unsigned(_ bytes: some Collection<UInt8>) -> UInt64? {
    guard bytes.count == 8 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt64($1) }
}
