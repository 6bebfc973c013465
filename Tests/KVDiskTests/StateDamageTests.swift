// State databases that somebody altered, lost, or took from elsewhere: a start says so, keeps what the log knows, and
// takes another state. Who has nobody to take it from is refused with words that say what to do.
import CSQLite
import Glibc
import KVCore
import KVDisk
import Raft
import Testing

private let alone = Configuration(voters: [PeerID(1)])

func execute(_ sql: String, _ file: String) throws {
    var handle: OpaquePointer?
    defer { sqlite3_close_v2(handle) }
    #expect(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
    #expect(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK)
}

private func overwrite(_ file: String, _ bytes: [UInt8]) throws {
    let descriptor = open(file, O_WRONLY | O_TRUNC)
    #expect(descriptor >= 0 && write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
}

private enum Damage: String, CaseIterable {
    case counters, members, format, noRow, noMeta, noKeys, noHistory, noTimes, otherColumns, otherRule, garbage, empty
    case gone, older

    func happen(to path: String) throws {
        let file = path + "/state.sqlite"
        switch self {
        case .counters: try execute("UPDATE meta SET counters = zeroblob(length(counters))", file)
        case .members: try execute("UPDATE meta SET members = x'0042'", file)
        case .format: try execute("UPDATE meta SET format = 0", file)
        case .noRow: try execute("DELETE FROM meta", file)
        case .noMeta: try execute("DROP TABLE meta", file)
        case .noKeys: try execute("DROP TABLE current", file)
        case .noHistory: try execute("DROP TABLE history", file)
        case .noTimes: try execute("DROP TABLE times", file)
        case .otherColumns: try execute("ALTER TABLE leases RENAME COLUMN lease TO hire", file)
        case .otherRule:
            try execute(
                "DROP TABLE folded; CREATE TABLE folded(id INTEGER PRIMARY KEY CHECK(id = 1), revision INTEGER)", file)
        case .garbage:
            unlink(file + "-wal")
            try overwrite(file, Array(repeating: 0x5a, count: 9000))
        case .empty:
            unlink(file + "-wal")
            try overwrite(file, [])
        case .gone, .older:
            for name in ["", "-wal", "-shm"] { unlink(file + name) }
            guard self == .older else { return }
            let other = path + ".older"
            do {
                let disk = try ReplicaDisk(path: other, initial: three)
                #expect(disk.isNew)
            }
            for name in ["", "-wal"] { rename(other + "/state.sqlite" + name, file + name) }
            removeAll(other)
        }
    }
}

/// A directory with sixty entries in its log, and as many or fewer in its state.
struct Directory {
    let path: String
    private(set) var machine = StateMachine()
    private var entries: [Entry] = []

    init(
        _ members: Configuration = three, compacted: UInt64, cluster: UInt64? = nil, written: UInt64 = 60,
        value: [UInt8] = [1, 2, 3]
    ) throws {
        var template = Array("/tmp/tern-damage-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp/tern-damage"
        var changes = StateChanges()
        for i in 1...60 as ClosedRange<UInt64> {
            let command = i == 1 ? .openSession : Command.txn(Txn(success: [.put(Key("k\(i % 17)"), value)]))
            let id = ProposalID(client: ClientID(rawValue: 5), serial: i - 1, settledBelow: i / 2)
            let data = EntryFormat.entry(
                logTime: Int64(i), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
            entries.append(Entry(term: Term(1), index: LogIndex(i), data: data))
            _ = machine.apply(entries[entries.count - 1])
            if i == written { changes = machine.takeChanges() }
        }
        let disk = try ReplicaDisk(path: path, initial: members, cluster: cluster)
        let hard = HardState(term: Term(4), vote: PeerID(2), commit: LogIndex(60))
        try disk.log.save([Save(id: SaveID(rawValue: 1), hardState: hard, entries: entries, snapshot: nil)])
        changes.configuration = members
        try disk.state.write(changes)
        _ = try disk.state.checkpoint()
        if compacted > 0 { try disk.log.compact(to: LogIndex(compacted)) }
    }
}

@Suite struct StateDamageTests {
    @Test(arguments: Damage.allCases)
    private func `a state database that was altered is told apart, and takes another state`(_ damage: Damage) throws {
        let directory = try Directory(compacted: 40)
        defer { removeAll(directory.path) }
        try damage.happen(to: directory.path)
        for _ in 0..<2 {
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(disk.isStateDamaged && !disk.isStateRemade && !disk.isNew)
            #expect(disk.restored.hardState == HardState(term: Term(4), vote: PeerID(2), commit: LogIndex(60)))
            #expect(disk.restored.base.index == LogIndex(40) && disk.restored.entries.count == 20)
            #expect(disk.restored.voteMark == nil)
            #expect(disk.restored.snapshot.configuration == three)
        }
        do {
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            try disk.state.install(directory.machine, three)
        }
        let disk = try ReplicaDisk(path: directory.path, initial: .empty)
        #expect(!disk.isStateDamaged && disk.machine.stateHash == directory.machine.stateHash)
        #expect(disk.restored.snapshot.index == LogIndex(60))
    }

    @Test(arguments: [true, false])
    func `a revision of the past that was altered is not given out, and no start believes the rest`(
        _ isEncoded: Bool
    ) throws {
        let directory = try Directory(compacted: 40)
        defer { removeAll(directory.path) }
        let file = directory.path + "/state.sqlite"
        // Of the value; what is before and behind it says nothing about that.
        let altered = "CAST(substr(events, 1, 9) || x'77' || substr(events, 11) AS BLOB)"
        try execute("UPDATE history SET events = \(altered) WHERE revision = 20", file)
        do {
            let store = try StateStore(path: file)
            let before = try store.encodedHistory(after: Revision(9), through: Revision(19))
            #expect(before.map(\.revision.rawValue) == Array(10...19))
            #expect(throws: DiskError.self) {
                if isEncoded {
                    _ = try store.encodedHistory(after: Revision(9), through: Revision(30))
                } else {
                    _ = try store.history(after: Revision(9), through: Revision(30))
                }
            }
        }
        #expect(try ReplicaDisk(path: directory.path, initial: .empty).isStateDamaged)
    }

    @Test func `without the copy nobody knows who takes part, until a leader says so`() throws {
        let directory = try Directory(compacted: 40)
        defer { removeAll(directory.path) }
        try Damage.counters.happen(to: directory.path)
        unlink(directory.path + "/members")
        let disk = try ReplicaDisk(path: directory.path, initial: three)
        #expect(disk.isStateDamaged && disk.restored.snapshot.configuration == .empty)
    }

    @Test(arguments: Damage.allCases)
    private func `from a log that begins at the beginning the state is made anew`(_ damage: Damage) throws {
        for members in [three, alone] {
            let directory = try Directory(members, compacted: 0)
            defer { removeAll(directory.path) }
            try damage.happen(to: directory.path)
            if damage == .older { continue }
            for round in 0..<2 {
                let disk = try ReplicaDisk(path: directory.path, initial: .empty)
                #expect(!disk.isStateDamaged && disk.isStateRemade == (round == 0), "round \(round)")
                #expect(disk.restored.snapshot.configuration == members)
                var machine = disk.machine
                for entry in disk.restored.entries { _ = machine.apply(entry) }
                #expect(machine.stateHash == directory.machine.stateHash && machine.revision > Revision(1))
            }
        }
    }

    @Test(arguments: Damage.allCases)
    private func `who is alone and has no other place for the state refuses to start and says what to do`(
        _ damage: Damage
    ) throws {
        let directory = try Directory(alone, compacted: 40)
        defer { removeAll(directory.path) }
        try damage.happen(to: directory.path)
        for isCopyThere in [true, false] {
            if !isCopyThere { unlink(directory.path + "/members") }
            do {
                _ = try ReplicaDisk(path: directory.path, initial: alone)
                Issue.record("started with \(damage)")
            } catch { #expect("\(error)".contains("tern snapshot restore"), "\(error)") }
        }
    }

    @Test func `a first start that ended early is a first start again`() throws {
        let directory = try Directory(compacted: 0)
        defer { removeAll(directory.path) }
        for rest in ["", "DELETE FROM meta; DELETE FROM folded"] {
            let path = directory.path + "/new"
            defer { removeAll(path) }
            do { _ = try ReplicaDisk(path: path, initial: alone) }
            unlink(path + "/members")
            try execute(rest, path + "/state.sqlite")
            let disk = try ReplicaDisk(path: path, initial: alone)
            #expect(!disk.isStateDamaged && disk.isNew == !rest.isEmpty)
            #expect(disk.restored.snapshot.configuration == alone)
        }
    }

    @Test func `another cluster's state is refused, and stays as it is`() throws {
        let ours = try Directory(compacted: 40, cluster: 7)
        let theirs = try Directory(compacted: 40, cluster: 8)
        defer {
            removeAll(ours.path)
            removeAll(theirs.path)
        }
        let file = "/state.sqlite"
        for name in ["", "-wal"] { rename(theirs.path + file + name, ours.path + file + name) }
        #expect(throws: DiskError.self) { try ReplicaDisk(path: ours.path, initial: three, cluster: 7) }
        // Whoever it belongs to can still use it.
        for name in ["", "-wal"] { rename(ours.path + file + name, theirs.path + file + name) }
        #expect(try !ReplicaDisk(path: theirs.path, initial: three, cluster: 8).isStateDamaged)
    }
}
