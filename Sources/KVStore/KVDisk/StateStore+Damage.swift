// A database that is not what was written: rows with checksums, pages that SQLite cannot follow, and how another state
// takes the place of such a one. Damage that is met late is noted for the next start, since it may lie where
// no start looks. Who takes part is copied elsewhere, so that this is known without the database.
import KVCore
import Raft
import Synchronization

extension StateStore {
    package static func sum(_ parts: [[UInt8]]) -> UInt64 {
        var hash = Hash64()
        for part in parts { hash.add(part) }
        return hash.value
    }

    /// Rows of an earlier program have no checksum.
    func revisionEvents(_ bytes: [UInt8]) throws(DiskError) -> RevisionEvents {
        try decode(bytes) { (r: inout ByteReader) throws(DecodeError) in
            let item = try r.revisionEvents()
            guard !r.isAtEnd else { return item }
            guard try r.fixed() == Self.sum(before: 8, bytes) else { throw DecodeError() }
            return item
        }
    }

    /// The same without values of it being made.
    func encodedRevision(_ bytes: [UInt8]) throws(DiskError) -> EncodedRevision {
        do {
            let item = try EncodedRevision(bytes)
            var sum = ByteReader(bytes, from: item.rest.lowerBound)
            guard !sum.isAtEnd else { return item }
            guard try sum.fixed() == Self.sum(before: 8, bytes), sum.isAtEnd else { throw DecodeError() }
            return item
        } catch { throw .damaged("state.sqlite: a row cannot be read") }
    }

    /// Of all but the last bytes.
    private static func sum(before last: Int, _ bytes: [UInt8]) -> UInt64 {
        var hash = Hash64()
        bytes.withUnsafeBytes { hash.add(UnsafeRawBufferPointer(rebasing: $0.dropLast(last))) }
        return hash.value
    }

    func condemningDamage<T: Sendable>(_ body: (inout Guarded) throws(DiskError) -> T) throws(DiskError) -> T {
        try locked { guarded throws(DiskError) in
            do throws(DiskError) { return try body(&guarded) } catch {
                if case .damaged = error { try condemn() }
                throw error
            }
        }
    }

    /// Where not even that can be written, the next start sees so.
    func condemn() throws(DiskError) {
        let verdict = database.isUnreadable ? Self.isUnreadable : Self.isWrong
        do throws(DiskError) { try database.execute("PRAGMA user_version = \(verdict)") } catch {
            guard case .damaged = error else { throw error }
        }
    }

    /// The state was found to be wrong, whatever the database says of it: no start believes it until another one is
    /// installed. Durable when this returns.
    package func distrust() throws(DiskError) {
        try locked { _ throws(DiskError) in
            try condemn()
            try database.checkpoint()
        }
    }

    /// What `user_version` says of the whole database.
    static let isWrong: Int64 = 1
    static let isUnreadable: Int64 = 2
    /// Of the past something could not be read.
    static let isDoubted: Int64 = 3

    /// For what only readers of the past want: what the disk does not give back today may be there tomorrow, and the
    /// present does not hang on it. The next start looks at all of it. Where it is altered, it is condemned at once.
    func doubtingDamage<T: Sendable>(_ body: (inout Guarded) throws(DiskError) -> T) throws(DiskError) -> T {
        try locked { guarded throws(DiskError) in
            let wasUnreadable = database.isUnreadable
            database.isUnreadable = false
            defer { if wasUnreadable { database.isUnreadable = true } }
            do throws(DiskError) { return try body(&guarded) } catch {
                guard case .damaged = error else { throw error }
                guard !database.isUnreadable else {
                    try doubt()
                    throw error
                }
                database.isUnreadable = wasUnreadable
                try condemn()
                throw error
            }
        }
    }

    /// What is known to be wrong stays so.
    private func doubt() throws(DiskError) {
        do throws(DiskError) {
            if try verdict() == 0 { try database.execute("PRAGMA user_version = \(Self.isDoubted)") }
        } catch {
            switch error {
            case .damaged, .full: return
            default: throw error
            }
        }
    }

    /// Every page, and every row of the past. What cannot be read now is not waited for any longer.
    func lookAtPast(_ counters: StateCounters) throws(DiskError) {
        let check = try database.prepare("PRAGMA quick_check(1)")
        defer { check.reset() }
        guard try check.step(), check.bytes(0) == Array("ok".utf8) else {
            database.isUnreadable = true
            throw .damaged("state.sqlite: not all of it can be read")
        }
        check.reset()
        var last: Revision?
        while let items = try pieceOfPast(after: last, counters.revision) {
            guard let first = items.first, last.map({ $0.next == first.revision }) ?? true else {
                throw .damaged("state.sqlite: a part of the past is missing")
            }
            last = items.last?.revision
        }
        guard last.map({ $0 == counters.revision }) ?? true else {
            throw .damaged("state.sqlite: the end of the past is missing")
        }
        _ = try times(after: .zero)
        do throws(DiskError) { try database.execute("PRAGMA user_version = 0") } catch {
            // It will be looked at once more.
            guard case .full = error else { throw error }
        }
    }

    private func pieceOfPast(after last: Revision?, _ through: Revision) throws(DiskError) -> [RevisionEvents]? {
        let items = try history(after: last ?? .zero, through: through)
        return items.isEmpty ? nil : items
    }

    /// Why nothing can be made of the file itself; nil when it is good or can become another.
    var unreadable: String? {
        guarded.withLock { database.isUnreadable ? $0.damage ?? "state.sqlite cannot be read" : nil }
    }

    /// Not a page of it is kept when another state comes.
    func condemnAtStart(_ text: String) { guarded.withLock { $0.damage = text } }

    /// Before the log goes from which the changes could be told.
    func copyMembers(_ guarded: inout Guarded) throws(DiskError) {
        guard let members, let present = guarded.present, present != guarded.copied else { return }
        try members.write(present.encode())
        guarded.copied = present
    }

    /// nil: there is none, or it is another cluster's.
    package func copiedMembers() -> MembersCopy? {
        guard let copy = members?.read().flatMap(MembersCopy.init(decoding:)) else { return nil }
        return cluster == nil || copy.cluster == nil || copy.cluster == cluster ? copy : nil
    }

    /// 0: nothing is said.
    func verdict() throws(DiskError) -> Int64 {
        let version = try database.prepare("PRAGMA user_version")
        defer { version.reset() }
        return try version.step() ? version.integer(0) : 0
    }

    /// A new database is made in memory, and all its pages take the place of the old ones in one transaction.
    func rebuild(_ state: StateMachine, _ configuration: Configuration) throws(DiskError) {
        let new = try StateStore(path: ":memory:", cluster: cluster)
        try new.install(state, configuration)
        try database.become(new.database)
    }
}
