// One SQLite connection and its prepared statements: the only place that calls SQLite. Confined to one thread at a time
// by its owner. Any result that is not expected is thrown with SQLite's own words; nothing is retried here and nothing
// is ignored.
import CSQLite
import Glibc

/// Why the disk could not do something. Whoever sees one about a save must not go on as if it were saved.
package enum DiskError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no room; the transaction was rolled back and may be tried again.
    case full(String)
    case damaged(String)
    case failed(String)
    case locked(String)

    package var description: String {
        switch self {
        case .full(let text): "disk full: \(text)"
        case .damaged(let text): "damaged: \(text)"
        case .failed(let text): "disk error: \(text)"
        case .locked(let text): "locked: \(text)"
        }
    }
}

/// Unchecked: SQLite does not guard this connection; its owner uses it from one thread at a time, under a lock of its own.
final class Database: @unchecked Sendable {
    /// A longer WAL is cut to this when it begins anew after a checkpoint.
    static let walBytesKept = 32 << 20
    enum Durability: String { case full = "FULL", normal = "NORMAL" }
    private let handle: OpaquePointer
    private let path: String
    private var statements: [String: Statement] = [:]
    /// The disk could not write or sync, which is final for this process: a second sync would succeed and mean nothing.
    private var failure: String?
    /// The disk did not give back a page. SQLite reads a page before it writes it: this file cannot become another.
    var isUnreadable = false
    private static let unreadableCodes: Set<Int32> = [
        SQLITE_IOERR | 1 << 8, SQLITE_IOERR | 2 << 8, SQLITE_IOERR | 32 << 8, SQLITE_IOERR | 33 << 8
    ]

    /// `vfs`: SQLite's name for the files to use; nil: those of the machine, paced.
    init(path: String, durability: Durability, vfs: String? = nil) throws(DiskError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(path, &opened, flags, vfs ?? PacedFiles.name)
        guard let opened else { throw .failed("\(path): out of memory") }
        handle = opened
        self.path = path
        try check(code)
        guard !isReadOnly else { throw .failed("\(path) can only be read") }
        try WALRepetition.run(path, vfs: vfs ?? PacedFiles.name)
        try check(tern_sqlite_no_checkpoint_on_close(handle))
        for pragma in [
            "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=\(durability.rawValue)", "wal_autocheckpoint=0",
            "temp_store=MEMORY", "cache_size=-4096", "journal_size_limit=\(Self.walBytesKept)"
        ] { try execute("PRAGMA \(pragma)") }
    }

    deinit {
        for statement in statements.values { sqlite3_finalize(statement.handle) }
        sqlite3_close_v2(handle)
    }

    /// Right after it was opened: the file; once it was looked into, also what it says of itself.
    var isReadOnly: Bool { sqlite3_db_readonly(handle, "main") == 1 }

    func execute(_ sql: String) throws(DiskError) {
        try refuseAfterFailure()
        try check(sqlite3_exec(handle, sql, nil, nil, nil))
    }

    private func refuseAfterFailure() throws(DiskError) {
        if let failure { throw .failed(failure) }
    }

    /// A prepared statement, ready to be bound; the same text gives the same one.
    func prepare(_ sql: String) throws(DiskError) -> Statement {
        try refuseAfterFailure()
        if let known = statements[sql] {
            known.reset()
            return known
        }
        var made: OpaquePointer?
        try check(sqlite3_prepare_v2(handle, sql, -1, &made, nil))
        guard let made else { throw .failed("\(path): no statement in \(sql)") }
        let statement = Statement(made, self)
        statements[sql] = statement
        return statement
    }

    /// All or nothing.
    func transaction(_ body: () throws(DiskError) -> Void) throws(DiskError) {
        try execute("BEGIN IMMEDIATE")
        do throws(DiskError) {
            try body()
            try execute("COMMIT")
        } catch {
            if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    /// Moves the WAL into the database and syncs both. Answers the pages that were in the WAL; all of them are moved.
    @discardableResult
    func checkpoint() throws(DiskError) -> Int {
        try refuseAfterFailure()
        var pages: Int32 = 0
        var moved: Int32 = 0
        try check(sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved))
        guard pages == moved else { throw .failed("\(path): checkpoint moved \(moved) of \(pages) pages") }
        return Int(pages)
    }

    /// Every page becomes the other's, in one transaction; what the pages were does not matter.
    func become(_ other: Database) throws(DiskError) {
        try refuseAfterFailure()
        guard let copy = sqlite3_backup_init(handle, "main", other.handle, "main") else {
            try check(sqlite3_errcode(handle))
            throw .failed("\(path): cannot be replaced")
        }
        let moved = sqlite3_backup_step(copy, -1), ended = sqlite3_backup_finish(copy)
        try check(ended)
        guard moved == SQLITE_DONE else { throw .failed("\(path): was not replaced: \(moved)") }
    }

    func check(_ code: Int32) throws(DiskError) {
        switch code {
        case SQLITE_OK, SQLITE_ROW, SQLITE_DONE: return
        default: break
        }
        let text =
            "\(path): \(String(cString: sqlite3_errmsg(handle))) (\(sqlite3_extended_errcode(handle)), errno \(errno))"
        switch code & 0xff {
        case SQLITE_FULL: throw .full(text)
        case SQLITE_IOERR where Self.unreadableCodes.contains(sqlite3_extended_errcode(handle)):
            isUnreadable = true
            throw .damaged(text)
        // A quota is no failure of the disk.
        case SQLITE_IOERR where [EDQUOT, ENOSPC].contains(sqlite3_system_errno(handle)): throw .full(text)
        // Of statements that are right for the tables as they were made, these say that the tables are others.
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_ERROR, SQLITE_READONLY, SQLITE_SCHEMA, SQLITE_TOOBIG,
            SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_FORMAT:
            throw .damaged(text)
        case SQLITE_BUSY, SQLITE_LOCKED: throw .locked(text)
        case SQLITE_IOERR:
            failure = text
            throw .failed(text)
        default: throw .failed(text)
        }
    }
}

/// A prepared statement of one database.
final class Statement {
    let handle: OpaquePointer
    private unowned let database: Database

    init(_ handle: OpaquePointer, _ database: Database) {
        self.handle = handle
        self.database = database
    }

    func reset() { sqlite3_reset(handle) }

    @discardableResult
    func bind(_ position: Int32, _ value: Int64?) throws(DiskError) -> Statement {
        try database.check(
            value.map { sqlite3_bind_int64(handle, position, $0) } ?? sqlite3_bind_null(handle, position))
        return self
    }

    /// The bits of the number; it comes back by `unsigned`.
    @discardableResult
    func bind(_ position: Int32, bits value: UInt64?) throws(DiskError) -> Statement {
        try bind(position, value.map { Int64(bitPattern: $0) })
    }

    @discardableResult
    func bind(_ position: Int32, _ bytes: [UInt8]) throws(DiskError) -> Statement {
        guard bytes.count <= Int(Int32.max) else { throw .failed("\(bytes.count) bytes in one column") }
        let code = bytes.withUnsafeBytes { tern_sqlite_bind_blob(handle, position, $0.baseAddress, Int32($0.count)) }
        try database.check(code)
        return self
    }

    /// True while there is a row.
    func step() throws(DiskError) -> Bool {
        let code = sqlite3_step(handle)
        try database.check(code)
        return code == SQLITE_ROW
    }

    func run() throws(DiskError) {
        defer { reset() }
        _ = try step()
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    func bytes(_ column: Int32) -> [UInt8] {
        let count = Int(sqlite3_column_bytes(handle, column))
        guard count > 0, let base = sqlite3_column_blob(handle, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: base, count: count))
    }
}
