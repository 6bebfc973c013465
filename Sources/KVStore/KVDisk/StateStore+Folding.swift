// The table of records follows the history late: a put costs one row that is appended, and the page of its key is
// written once for all changes that gathered meanwhile. A row says through which revision the table is whole; at start
// the revisions behind it are applied to it, so they must never be trimmed before.
import KVCore

/// What the table of records has not been told.
struct Folding {
    static let keysMax = 32_768
    /// So many writes at most: what a start has to apply stays small.
    static let writesMax = 16
    /// The table of records holds everything through here.
    private(set) var folded = Revision(1)
    /// The history holds everything through here.
    private(set) var written = Revision(1)
    /// nil: the key is gone.
    private(set) var pending: [Key: KeyValue?] = [:]
    private var writes = 0

    init(through revision: Revision = Revision(1)) {
        folded = revision
        written = revision
    }

    mutating func note(_ items: [RevisionEvents], through revision: Revision) {
        for item in items { note(item) }
        written = revision
        if !pending.isEmpty { writes += 1 }
    }

    mutating func note(_ item: RevisionEvents) {
        for event in item.events { pending[event.current.key] = .some(event.kind == .put ? event.current : nil) }
    }

    /// `needs`: the history is to go below this revision.
    func isDue(needs revision: Revision) -> Bool {
        pending.count >= Self.keysMax || writes >= Self.writesMax || revision.rawValue &- 1 > folded.rawValue
    }
}

extension StateStore {
    /// One transaction, in key order: neighbours share a page.
    func foldIfDue(needs revision: Revision, _ guarded: inout Guarded) throws(DiskError) {
        guard guarded.folding.isDue(needs: revision) else { return }
        let written = guarded.folding.written
        let keys = guarded.folding.pending.keys.sorted()
        let pending = guarded.folding.pending
        try database.transaction { () throws(DiskError) in
            for key in keys {
                if let record = pending[key] ?? nil { try write(record) } else { try delete(key) }
            }
            try writeFolded(written)
        }
        guarded.folding = Folding(through: written)
    }

    func write(_ record: KeyValue) throws(DiskError) {
        var writer = ByteWriter(capacity: record.bytes)
        writer.put(record)
        try database.prepare("INSERT OR REPLACE INTO current(key, record) VALUES(?1, ?2)")
            .bind(1, record.key.bytes).bind(2, writer.bytes).run()
    }

    private func delete(_ key: Key) throws(DiskError) {
        try database.prepare("DELETE FROM current WHERE key = ?1").bind(1, key.bytes).run()
    }

    func writeFolded(_ revision: Revision) throws(DiskError) {
        try database.prepare("INSERT OR REPLACE INTO folded(id, revision) VALUES(0, ?1)").bind(1, revision.rawValue)
            .run()
    }

    /// At start: brings records to a revision. `isFolded`: the table is that far already, and says so from now on.
    func replay(
        onto records: inout OrderedTree, through revision: Revision, isFolded: Bool
    ) throws(DiskError) -> Folding {
        if isFolded { try writeFolded(revision) }
        let row = try database.prepare("SELECT revision FROM folded WHERE id = 0")
        defer { row.reset() }
        guard try row.step() else { throw .damaged("state.sqlite: how far its records are is not known") }
        var folding = Folding(through: Revision(row.integer(0)))
        var next = folding.folded
        let statement = try database.prepare("SELECT events FROM history WHERE revision > ?1 ORDER BY revision")
            .bind(1, next.rawValue)
        defer { statement.reset() }
        let parts = try HistoryParts(self)
        while try statement.step() {
            let item = try parts.whole(try revisionEvents(statement.bytes(0)))
            guard item.revision.rawValue == next.rawValue &+ 1 else { break }
            next = item.revision
            apply(item, to: &records)
            folding.note(item)
        }
        guard next == revision else { throw .damaged("state.sqlite: no history from \(next) to \(revision)") }
        folding.note([], through: revision)
        return folding
    }

    private func apply(_ item: RevisionEvents, to records: inout OrderedTree) {
        for event in item.events {
            if event.kind == .put { records.put(event.current) } else { records.remove(event.current.key) }
        }
    }
}
