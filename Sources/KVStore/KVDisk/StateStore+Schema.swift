// The tables of the state database. Their text is compared at start: a table that is missing or made otherwise is damage,
// and would else be met by a later write only. What earlier programs did not have is made where it is missing.

extension StateStore {
    private static let tables: [(name: String, body: String)] = [
        (
            "meta",
            """
            meta(
              id INTEGER PRIMARY KEY CHECK(id = 0), format INTEGER NOT NULL, counters BLOB NOT NULL,
              configuration BLOB NOT NULL, members BLOB NOT NULL)
            """
        ),
        ("current", "current(key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID"),
        ("folded", "folded(id INTEGER PRIMARY KEY CHECK(id = 0), revision INTEGER NOT NULL)"),
        ("history", "history(revision INTEGER PRIMARY KEY, events BLOB NOT NULL)"),
        (
            "more",
            """
            more(
              revision INTEGER NOT NULL, part INTEGER NOT NULL, events BLOB NOT NULL, PRIMARY KEY(revision, part))
            """
        ),
        ("leases", "leases(id INTEGER PRIMARY KEY, lease BLOB NOT NULL)"),
        ("sessions", "sessions(client INTEGER PRIMARY KEY, session BLOB NOT NULL)"),
        ("times", "times(revision INTEGER PRIMARY KEY, unix_ms INTEGER NOT NULL)")
    ]

    /// What is in the database's own list of tables.
    struct Schema {
        /// One of them is not as this program makes it.
        var altered: String?
        /// Those that were not there; all of them in a new database.
        var missing: [String] = []
        var isNew: Bool { missing.count == StateStore.tables.count }
    }

    /// Makes those of a new database; says what is missing in another.
    static func prepareTables(_ database: Database) throws(DiskError) -> Schema {
        let known = try database.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        var found: [[UInt8]: [UInt8]] = [:]
        while try known.step() { found[known.bytes(0)] = known.bytes(1) }
        known.reset()
        var schema = Schema()
        for table in tables {
            guard let text = found[Array(table.name.utf8)] else {
                schema.missing.append(table.name)
                continue
            }
            if text != Array("CREATE TABLE \(table.body)".utf8) { schema.altered = table.name }
        }
        guard schema.altered == nil else { return schema }
        // A file that can be opened for writing and that SQLite writes nothing to says something else of itself.
        if !schema.isNew, database.isReadOnly { throw .damaged("state.sqlite: its head is not what was written") }
        if schema.isNew { try makeTables(database) }
        return schema
    }

    /// All or none: a first start may end here.
    static func makeTables(_ database: Database) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            for table in tables { try database.execute("CREATE TABLE IF NOT EXISTS \(table.body)") }
        }
    }

    /// Nothing was ever written: a first start did not get so far.
    func isEmpty() throws(DiskError) -> Bool {
        for table in Self.tables {
            let any = try database.prepare("SELECT 1 FROM \(table.name) LIMIT 1")
            defer { any.reset() }
            if try any.step() { return false }
        }
        return true
    }
}
