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
        try doubtingDamage { _ throws(DiskError) in
            let statement = try database.prepare(
                "SELECT events FROM history WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3")
            try statement.bind(1, after.rawValue).bind(2, through.rawValue).bind(3, Self.historyRowsMax)
            defer { statement.reset() }
            let parts = try HistoryParts(self)
            var found: [RevisionEvents] = []
            var bytes = 0
            while bytes < Self.historyBytesMax, try statement.step() {
                let item = try parts.whole(try revisionEvents(statement.bytes(0)))
                bytes += item.bytes
                guard item.revision > after, found.last.map({ $0.revision.next == item.revision }) ?? true else {
                    throw .damaged("state.sqlite: no history before \(item.revision)")
                }
                found.append(item)
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
        guard !isEmpty else { return first }
        var item = first
        let rest = try store.database.prepare("SELECT part, events FROM more WHERE revision = ?1 ORDER BY part")
            .bind(1, first.revision.rawValue)
        defer { rest.reset() }
        var last: Int64 = 0
        while try rest.step() {
            let part = try store.revisionEvents(rest.bytes(1))
            guard rest.integer(0) == last &+ 1, part.revision == first.revision else {
                throw .damaged("state.sqlite: a part of revision \(first.revision) is missing")
            }
            last &+= 1
            item.events += part.events
        }
        return item
    }
}
