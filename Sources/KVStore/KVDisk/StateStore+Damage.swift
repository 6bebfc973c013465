// A database that is not what was written: rows with checksums, pages that SQLite cannot follow, and how another state
// takes the place of such a one. Damage that is met late is noted for the next start, since it may lie where
// no start looks. Who takes part is copied elsewhere, so that this is known without the database.
import KVCore
import Raft
import Synchronization

extension StateStore {
    static func sum(_ parts: [[UInt8]]) -> UInt64 {
        var hash = Hash64()
        for part in parts { hash.add(part) }
        return hash.value
    }

    /// Rows of an earlier program have no checksum.
    func revisionEvents(_ bytes: [UInt8]) throws(DiskError) -> RevisionEvents {
        try decode(bytes) { (r: inout ByteReader) throws(DecodeError) in
            let item = try r.revisionEvents()
            guard !r.isAtEnd else { return item }
            guard try r.fixed() == Self.sum([Array(bytes.dropLast(8))]) else { throw DecodeError() }
            return item
        }
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

    func isCondemned() throws(DiskError) -> Bool {
        let version = try database.prepare("PRAGMA user_version")
        defer { version.reset() }
        guard try version.step() else { return false }
        if version.integer(0) == Self.isUnreadable { database.isUnreadable = true }
        return version.integer(0) != 0
    }

    /// A new database is made in memory, and all its pages take the place of the old ones in one transaction.
    func rebuild(_ state: StateMachine, _ configuration: Configuration) throws(DiskError) {
        let new = try StateStore(path: ":memory:", cluster: cluster)
        try new.install(state, configuration)
        try database.become(new.database)
    }
}
