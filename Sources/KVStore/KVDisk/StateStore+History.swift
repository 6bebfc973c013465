// The past from the state database: revisions in order, a few at a time, so that no reader keeps the writer waiting for
// long.
import KVCore
import Synchronization

extension StateStore {
    package static let historyRowsMax: Int64 = 256
    /// Of revisions, above which no more are added.
    package static let historyBytesMax = 4 << 20

    /// Revisions after one and through another that are still kept, oldest first: some of them, as many as the two limits
    /// allow, but one at least. A revision that is missing at the front was compacted, or at the end is not written yet.
    package func history(after: Revision, through: Revision) throws(DiskError) -> [RevisionEvents] {
        try rows(after, through) { (row, parts) throws(DiskError) in
            let item = try parts.whole(try revisionEvents(row))
            return (item, item.revision, item.bytes)
        }
    }

    /// The same as the bytes that they are kept as.
    package func encodedHistory(after: Revision, through: Revision) throws(DiskError) -> [EncodedRevision] {
        try rows(after, through) { (row, parts) throws(DiskError) in
            let item = try parts.whole(try encodedRevision(row))
            return (item, item.revision, item.bytes)
        }
    }

    private func rows<Item: Sendable>(
        _ after: Revision, _ through: Revision,
        _ item: ([UInt8], HistoryParts) throws(DiskError) -> (Item, Revision, bytes: Int)
    ) throws(DiskError) -> [Item] {
        try doubtingDamage { _ throws(DiskError) in
            let statement = try database.prepare(
                "SELECT events FROM history WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3")
            try statement.bind(1, after.rawValue).bind(2, through.rawValue).bind(3, Self.historyRowsMax)
            defer { statement.reset() }
            let parts = try HistoryParts(self)
            var found: [Item] = []
            var bytes = 0
            var last: Revision?
            while bytes < Self.historyBytesMax, try statement.step() {
                let (next, revision, count) = try item(statement.bytes(0), parts)
                guard revision > after, last.map({ $0.next == revision }) ?? true else {
                    throw .damaged("state.sqlite: no history before \(revision)")
                }
                bytes += count
                last = revision
                found.append(next)
            }
            return found
        }
    }
}

extension StateStore {
    /// Everything through it is written, as far as it was ever here: what is newer comes later.
    package var writtenRevision: Revision { guarded.withLock { $0.folding.written } }

    /// What is known about revisions after one, in order, and the last mark before: it says since when that one is there.
    package func times(after revision: Revision) throws(DiskError) -> [RevisionTime] {
        try doubtingDamage { _ throws(DiskError) in
            let statement = try database.prepare(
                """
                SELECT revision, unix_ms FROM times
                WHERE revision >= coalesce((SELECT max(revision) FROM times WHERE revision <= ?1), 0) ORDER BY revision
                """)
            try statement.bind(1, revision.rawValue)
            defer { statement.reset() }
            var found: [RevisionTime] = []
            while try statement.step() {
                found.append(
                    RevisionTime(revision: Revision(statement.integer(0)), unixMilliseconds: statement.integer(1)))
            }
            return found
        }
    }

    /// Those of compacted revisions go.
    func write(_ times: [RevisionTime], compacted: Revision) throws(DiskError) {
        guard !times.isEmpty else { return }
        for mark in times {
            try database.prepare("INSERT OR REPLACE INTO times(revision, unix_ms) VALUES(?1, ?2)")
                .bind(1, mark.revision.rawValue).bind(2, mark.unixMilliseconds).run()
        }
        try database.prepare(
            "DELETE FROM times WHERE revision < (SELECT max(revision) FROM times WHERE revision <= ?1)"
        ).bind(1, compacted.rawValue).run()
    }
}

/// What the rows of large revisions go on with. Nearly every store has none, and then nothing is looked up.
struct HistoryParts {
    private let store: StateStore
    private let isEmpty: Bool

    init(_ store: StateStore) throws(DiskError) {
        self.store = store
        let any = try store.database.prepare("SELECT 1 FROM more LIMIT 1")
        defer { any.reset() }
        isEmpty = try !any.step()
    }

    func whole(_ first: RevisionEvents) throws(DiskError) -> RevisionEvents {
        var item = first
        try forEach(of: first.revision) { row throws(DiskError) in
            let part = try store.revisionEvents(row)
            item.events += part.events
            return part.revision
        }
        return item
    }

    func whole(_ first: EncodedRevision) throws(DiskError) -> EncodedRevision {
        var item = first
        try forEach(of: first.revision) { row throws(DiskError) in
            let part = try store.encodedRevision(row)
            item.append(part)
            return part.revision
        }
        return item
    }

    /// `body` answers the revision of the part.
    private func forEach(
        of revision: Revision, _ body: ([UInt8]) throws(DiskError) -> Revision
    ) throws(DiskError) {
        guard !isEmpty else { return }
        let rest = try store.database.prepare("SELECT part, events FROM more WHERE revision = ?1 ORDER BY part")
            .bind(1, revision.rawValue)
        defer { rest.reset() }
        var last: Int64 = 0
        while try rest.step() {
            guard rest.integer(0) == last &+ 1, try body(rest.bytes(1)) == revision else {
                throw .damaged("state.sqlite: a part of revision \(revision) is missing")
            }
            last &+= 1
        }
    }
}
