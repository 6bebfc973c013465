// The Raft log, term and vote on disk. One transaction a batch of saves, synced when it returns; entries are chained by
// checksums, so that a damaged or replaced row is found when the log is read. Used by one thread; a save that throws
// was not done.
import KVCore
import Raft

/// The log of one replica.
package final class LogStore: @unchecked Sendable {
    static let checkpointPages = 1000
    private let database: Database
    private let mark: LogMarkFile
    private var hardState = HardState()
    private var base = EntryID.zero
    private var baseChain: UInt64 = 0
    private var last = LogIndex.zero
    private var lastChain: UInt64 = 0
    private var pagesSinceCheckpoint = 0
    /// The log ended below this when it was read. The mark stays there until the commit index has passed it: a second
    /// start must not take the damaged log for a short one.
    private var owed: LogMark?
    /// Bytes of entries since the start or the last compaction, about.
    package private(set) var logBytes = 0

    init(_ directory: DataDirectory) throws(DiskError) {
        mark = try LogMarkFile(path: directory.markPath)
        database = try Database(path: directory.logPath, durability: .full)
        try database.execute(
            """
            CREATE TABLE IF NOT EXISTS log(
              idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, fence INTEGER,
              chain INTEGER NOT NULL, data BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS hard(
              id INTEGER PRIMARY KEY CHECK(id = 0), term INTEGER NOT NULL, vote INTEGER, committed INTEGER NOT NULL,
              base_index INTEGER NOT NULL, base_term INTEGER NOT NULL, base_chain INTEGER NOT NULL);
            """)
    }

    /// Saves in order, as one durable step. Anything thrown: none of it is saved.
    package func save(_ saves: [Save]) throws(DiskError) {
        for save in saves { try lowerMark(before: save) }
        let old = (hardState, base, baseChain, last, lastChain)
        do throws(DiskError) {
            try database.transaction { () throws(DiskError) in
                for save in saves { try write(save) }
                try writeHard()
            }
        } catch {
            (hardState, base, baseChain, last, lastChain) = old
            throw error
        }
        if let known = owed, hardState.commit >= known.index { owed = nil }
        try mark.write(
            LogMark(
                term: hardState.term, vote: hardState.vote, index: owed?.index ?? last, chain: owed?.chain ?? lastChain),
            isSynced: false)
        pagesSinceCheckpoint += saves.reduce(2) { $0 + 1 + $1.entries.reduce(0) { $0 + $1.cost } / 4096 }
    }

    /// To be called when nothing waits to be saved.
    package func checkpointIfDue() throws(DiskError) {
        guard pagesSinceCheckpoint >= Self.checkpointPages else { return }
        try database.checkpoint()
        pagesSinceCheckpoint = 0
    }

    private func write(_ save: Save) throws(DiskError) {
        hardState = save.hardState
        if let snapshot = save.snapshot { try reset(to: snapshot.id) }
        guard let first = save.entries.first else { return }
        if first.index <= last { try truncate(from: first.index) }
        guard first.index == last.next else {
            throw .failed("log ends at \(last), entry \(first.index) was to be saved")
        }
        for entry in save.entries { try insert(entry) }
    }

    private func insert(_ entry: Entry) throws(DiskError) {
        lastChain = LogStore.chain(lastChain, entry)
        last = entry.index
        logBytes += entry.cost
        try database.prepare("INSERT INTO log(idx, term, kind, fence, chain, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")
            .bind(1, bits: entry.index.rawValue).bind(2, bits: entry.term.rawValue).bind(3, Int64(entry.kind.rawValue))
            .bind(4, bits: entry.fence?.rawValue).bind(5, bits: lastChain).bind(6, entry.data).run()
    }

    private func writeHard() throws(DiskError) {
        try database.prepare(
            """
            INSERT OR REPLACE INTO hard(id, term, vote, committed, base_index, base_term, base_chain)
            VALUES(0, ?1, ?2, ?3, ?4, ?5, ?6)
            """
        ).bind(1, bits: hardState.term.rawValue).bind(2, bits: hardState.vote?.rawValue).bind(
            3, bits: hardState.commit.rawValue
        )
        .bind(4, bits: base.index.rawValue).bind(5, bits: base.term.rawValue).bind(6, bits: baseChain).run()
    }

    /// The mark must not lead: before entries go, it is lowered for good.
    private func lowerMark(before save: Save) throws(DiskError) {
        guard owed == nil, let first = save.entries.first?.index, first <= last || save.snapshot != nil else { return }
        let kept = save.snapshot == nil ? first.previous : LogIndex.zero
        let chain = try chain(at: kept)
        try mark.write(LogMark(term: hardState.term, vote: hardState.vote, index: kept, chain: chain), isSynced: true)
    }

    private func truncate(from index: LogIndex) throws(DiskError) {
        lastChain = try chain(at: index.previous)
        last = index.previous
        try database.prepare("DELETE FROM log WHERE idx >= ?1").bind(1, bits: index.rawValue).run()
    }

    private func reset(to id: EntryID) throws(DiskError) {
        try database.execute("DELETE FROM log")
        base = id
        baseChain = LogStore.chain(of: id)
        last = id.index
        lastChain = baseChain
        logBytes = 0
    }

    private func chain(at index: LogIndex) throws(DiskError) -> UInt64 {
        if index <= base.index { return baseChain }
        let statement = try database.prepare("SELECT chain FROM log WHERE idx = ?1").bind(1, bits: index.rawValue)
        defer { statement.reset() }
        guard try statement.step() else { throw .damaged("entry \(index) is not in the log") }
        return statement.unsigned(0)
    }

    /// Drops entries that a durable state has made unnecessary. A few at a time.
    package func compact(to index: LogIndex) throws(DiskError) {
        guard index > base.index, index <= last else { return }
        try database.transaction { () throws(DiskError) in
            let statement = try database.prepare("SELECT term, chain FROM log WHERE idx = ?1").bind(
                1, bits: index.rawValue)
            guard try statement.step() else { throw .damaged("entry \(index) is not in the log") }
            base = EntryID(index: index, term: Term(statement.unsigned(0)))
            baseChain = statement.unsigned(1)
            statement.reset()
            try database.prepare("DELETE FROM log WHERE idx <= ?1").bind(1, bits: index.rawValue).run()
            try writeHard()
        }
        logBytes = Int(last.distance(after: base.index)) * 256
    }

    static func chain(_ previous: UInt64, _ entry: Entry) -> UInt64 {
        var hash = Hash64(seed: previous)
        hash.add(entry.index.rawValue)
        hash.add(entry.term.rawValue)
        hash.add(UInt64(entry.kind.rawValue))
        hash.add(entry.fence.map { $0.rawValue &+ 1 } ?? 0)
        hash.add(entry.data)
        return hash.value
    }

    static func chain(of id: EntryID) -> UInt64 {
        var hash = Hash64()
        hash.add(id.index.rawValue)
        hash.add(id.term.rawValue)
        return hash.value
    }
}

// MARK: Reading at start

extension LogStore {
    /// What the log held, as far as its chain is whole.
    struct Found {
        var hardState: HardState
        var base: EntryID
        var entries: [Entry]
        /// The log was longer once.
        var voteMark: LogIndex?
    }

    func load() throws(DiskError) -> Found {
        try readHard()
        var entries: [Entry] = []
        var isMarkSeen = false
        last = base.index
        lastChain = baseChain
        let known = mark.read()
        if let known, known.index <= base.index { isMarkSeen = true }
        let statement = try database.prepare("SELECT idx, term, kind, fence, chain, data FROM log ORDER BY idx")
        while try statement.step() {
            guard let entry = LogStore.entry(statement), entry.index == last.next,
                statement.unsigned(4) == LogStore.chain(lastChain, entry)
            else { break }
            lastChain = statement.unsigned(4)
            last = entry.index
            logBytes += entry.cost
            entries.append(entry)
            if let known, known.index == last, known.chain == lastChain { isMarkSeen = true }
        }
        statement.reset()
        try database.prepare("DELETE FROM log WHERE idx > ?1").bind(1, bits: last.rawValue).run()
        if let known, known.term > hardState.term { (hardState.term, hardState.vote) = (known.term, known.vote) }
        let isShort = known.map { !isMarkSeen && $0.index > .zero } ?? false
        owed = isShort ? known : nil
        return Found(hardState: hardState, base: base, entries: entries, voteMark: isShort ? known?.index : nil)
    }

    private func readHard() throws(DiskError) {
        let statement = try database.prepare(
            "SELECT term, vote, committed, base_index, base_term, base_chain FROM hard WHERE id = 0")
        defer { statement.reset() }
        guard try statement.step() else { return }
        let vote = statement.isNull(1) ? nil : PeerID(statement.unsigned(1))
        hardState = HardState(term: Term(statement.unsigned(0)), vote: vote, commit: LogIndex(statement.unsigned(2)))
        base = EntryID(index: LogIndex(statement.unsigned(3)), term: Term(statement.unsigned(4)))
        baseChain = statement.unsigned(5)
    }

    private static func entry(_ row: Statement) -> Entry? {
        guard let kind = Entry.Kind(rawValue: UInt8(truncatingIfNeeded: row.integer(2))) else { return nil }
        return Entry(
            term: Term(row.unsigned(1)), index: LogIndex(row.unsigned(0)), kind: kind, data: row.bytes(5),
            fence: row.isNull(3) ? nil : Term(row.unsigned(3)))
    }

    /// The state is ahead of the log: the log begins anew behind it.
    func resetDurably(to id: EntryID) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            try reset(to: id)
            try writeHard()
        }
    }
}
