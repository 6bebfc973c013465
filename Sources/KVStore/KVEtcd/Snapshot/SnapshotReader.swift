// Reads a snapshot file, tern's or etcd's, into what a new cluster begins with: the keys as they were at one revision,
// and the leases. The digest behind the file is checked unless that is waived; whatever the bytes hold, the answer is a
// store or an error.
import Crypto
import Glibc
import KVCore
import KVReplica
import NetGRPC
import Raft

/// What a snapshot file holds.
package struct SnapshotContents: Sendable {
    /// The last revision in the file.
    package var revision = Revision(1)
    /// History before this is not in the file.
    package var compactRevision = Revision.zero
    /// The revision that the keys are of.
    package var target = Revision(1)
    package var records = OrderedTree()
    package var leases: [Lease] = []
    /// The members that the cluster had, as JSON.
    package var members: [String] = []
    /// When revisions were reached; etcd's own files do not say.
    package var times: [RevisionTime] = []
    /// SHA-256 of the file.
    package var digest: [UInt8] = []
    /// Versions of keys and deletions.
    package var versionCount = 0
    package var bytes = 0
}

/// Where to restore to.
package enum SnapshotTarget: Sendable {
    case latest
    case revision(Revision)
    /// Milliseconds since 1970.
    case time(Int64)
}

extension SnapshotContents {
    private static let digestBytes = 32
    private static let alignment = 512

    /// `isChecked`: the file must end with its digest.
    package init(path: String, target wish: SnapshotTarget = .latest, isChecked: Bool = true) throws {
        bytes = try SnapshotContents.verify(path, isChecked: isChecked, &digest)
        let file = try BoltReader(path: path, bytes: bytes)
        try readMeta(file)
        try readTimes(file)
        target = try findTarget(wish)
        try readKeys(file)
        if case .revision(let wanted) = wish, wanted > revision {
            throw BoltError("revision \(wanted) is not in the file: it ends at \(revision)")
        }
        target = min(target, revision)
        guard target >= compactRevision else {
            throw BoltError("revision \(target) was compacted: the file begins at \(compactRevision)")
        }
        try readLeases(file)
        try file.forEach("members") { _, value in
            members.append(String(decoding: value, as: UTF8.self))
            return true
        }
    }

    /// How much of the file is the database.
    private static func verify(_ path: String, isChecked: Bool, _ digest: inout [UInt8]) throws -> Int {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BoltError("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        let hasDigest = size % alignment == digestBytes
        guard hasDigest || !isChecked else { throw BoltError("\(path) has no digest behind it: it is cut or a copy") }
        let bytes = hasDigest ? size - digestBytes : size
        var hash = SHA256()
        var offset = 0
        while offset < bytes {
            let piece = try read(descriptor, offset, min(1 << 20, bytes - offset))
            hash.update(data: piece)
            offset += piece.count
        }
        digest = Array(hash.finalize())
        if hasDigest, isChecked, try read(descriptor, bytes, digestBytes) != digest {
            throw BoltError("\(path) is damaged: its digest does not match")
        }
        return bytes
    }

    private static func read(_ descriptor: Int32, _ offset: Int, _ count: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let got = pread(descriptor, &buffer, count, off_t(offset))
        guard got > 0 else { throw BoltError("the file cannot be read: \(String(cString: strerror(errno)))") }
        return Array(buffer[..<got])
    }

    private mutating func readMeta(_ file: BoltReader) throws {
        try file.forEach("meta") { key, value in
            if ["finishedCompactRev", "scheduledCompactRev"].contains(where: { key.elementsEqual($0.utf8) }) {
                guard let at = SnapshotKey(value), at.main >= 0 else { throw BoltError("a compaction is malformed") }
                compactRevision = max(compactRevision, Revision(at.main))
            }
            return true
        }
        revision = max(revision, compactRevision)
        try file.forEach(SnapshotKey.ownBucket) { key, value in
            if key.elementsEqual("revision".utf8), let number = unsigned(value), number < UInt64(Int64.max) / 2 {
                revision = max(revision, Revision(Int64(number)))
            }
            return true
        }
    }

    private mutating func readTimes(_ file: BoltReader) throws {
        try file.forEach(SnapshotKey.timesBucket) { key, value in
            guard let revision = unsigned(key), let time = unsigned(value), revision <= UInt64(Int64.max) else {
                throw BoltError("a time is malformed")
            }
            times.append(
                RevisionTime(revision: Revision(Int64(revision)), unixMilliseconds: Int64(bitPattern: time)))
            return true
        }
    }

    private func findTarget(_ wish: SnapshotTarget) throws -> Revision {
        switch wish {
        case .latest: return Revision(Int64.max)
        case .revision(let wanted): return wanted
        case .time(let time):
            // The last one, as clocks are set back.
            guard let reached = times.lastIndex(where: { $0.unixMilliseconds <= time }) else {
                throw BoltError(
                    times.isEmpty ? "the file does not say when its revisions were" : "the file begins after that time")
            }
            guard reached + 1 < times.count else { return Revision(Int64.max) }
            return Revision(times[reached + 1].revision.rawValue &- 1)
        }
    }

    private mutating func readKeys(_ file: BoltReader) throws {
        let hasKeys = try file.forEach("key") { key, value in
            guard let at = SnapshotKey(key), at.main > 0, at.main < Int64.max / 2 else {
                throw BoltError("a revision is malformed")
            }
            versionCount += 1
            revision = max(revision, Revision(at.main))
            guard Revision(at.main) <= target else { return true }
            let record = try SnapshotContents.record(value)
            if at.isTombstone { records.remove(record.key) } else { records.put(record) }
            return true
        }
        guard hasKeys else { throw BoltError("the file has no keys: it is no snapshot") }
    }

    private static func record(_ bytes: [UInt8]) throws -> KeyValue {
        var reader = ProtobufReader(bytes)
        var record = KeyValue(
            key: Key([]), value: [], createRevision: .zero, modRevision: .zero, version: 0)
        while try reader.next() {
            switch reader.field {
            case 1: record.key = Key(try reader.byteArray())
            case 2: record.createRevision = Revision(try reader.int64())
            case 3: record.modRevision = Revision(try reader.int64())
            case 4: record.version = try reader.int64()
            case 5: record.value = try reader.byteArray()
            case 6: record.lease = LeaseID(rawValue: try reader.int64())
            default: continue
            }
        }
        guard !record.key.bytes.isEmpty else { throw BoltError("a record has no key") }
        return record
    }

    /// They begin anew: whoever keeps them alive needs time to come back.
    private mutating func readLeases(_ file: BoltReader) throws {
        try file.forEach("lease") { _, value in
            var reader = ProtobufReader(value)
            var (id, seconds) = (Int64(0), Int64(0))
            while try reader.next() {
                if reader.field == 1 { id = try reader.int64() }
                if reader.field == 2 { seconds = try reader.int64() }
            }
            let life = min(max(seconds, 1), StateMachine.ttlMillisecondsMax / 1000) * 1000
            if id != 0, leases.count < LeaseTable.leasesMax {
                leases.append(Lease(id: LeaseID(rawValue: id), ttlMilliseconds: life, deadline: life))
            }
            return true
        }
    }
}

extension SnapshotContents {
    /// The beginning of a new cluster: the keys as they are, at a revision that no watcher of the old cluster has seen.
    package func begin(after bump: Int64) -> NewStore {
        let known = Set(leases.map(\.id))
        var kept = records
        records.forEach(.all) { record in
            if record.lease != .none, !known.contains(record.lease) {
                var free = record
                free.lease = .none
                kept.put(free)
            }
            return true
        }
        return NewStore(records: kept, leases: leases, revision: Revision(revision.rawValue + max(0, bump)))
    }
}
