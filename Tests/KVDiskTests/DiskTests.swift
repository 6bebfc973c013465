// The log and the state on real SQLite: what was saved is there, what was not is not, and damage is noticed.
import CSQLite
import Glibc
import KVCore
import KVDisk
import Raft
import Testing

private func temporaryDirectory() -> String {
    var template = Array("/tmp/tern-disk-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { return "/tmp/tern-disk" }
    return String(cString: path)
}

private func removeAll(_ path: String) {
    for name in ["raft.sqlite", "state.sqlite"] {
        for suffix in ["", "-wal", "-shm", ".damaged", "-wal.damaged"] { unlink(path + "/" + name + suffix) }
    }
    for name in ["lock", "raft.mark"] { unlink(path + "/" + name) }
    rmdir(path)
}

private let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])

private func entries(_ range: ClosedRange<UInt64>, term: UInt64 = 1, size: Int = 20) -> [Entry] {
    range.map { Entry(term: Term(term), index: LogIndex($0), data: Array(repeating: UInt8($0 & 0xff), count: size)) }
}

private func save(_ id: UInt64, _ entries: [Entry], term: UInt64 = 1, commit: UInt64 = 0) -> Save {
    let state = HardState(term: Term(term), vote: PeerID(2), commit: LogIndex(commit))
    return Save(id: SaveID(rawValue: id), hardState: state, entries: entries, snapshot: nil)
}

private func sql(_ path: String, _ text: String) {
    var handle: OpaquePointer?
    #expect(sqlite3_open(path, &handle) == SQLITE_OK)
    #expect(sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK)
    sqlite3_close(handle)
}

@Suite struct LogTests {
    @Test func `saved entries and votes are there again`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            #expect(disk.isNew && disk.restored == .fresh(three))
            try disk.log.save([save(1, entries(1...5)), save(2, entries(6...9), term: 2, commit: 4)])
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries == entries(1...9))
        #expect(restored.hardState == HardState(term: Term(2), vote: PeerID(2), commit: LogIndex(4)))
        #expect(restored.voteMark == nil && restored.snapshot.configuration == three)
        removeAll(path)
    }

    @Test func `entries replace everything from the first one on`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, entries(1...9))])
            try disk.log.save([save(2, entries(4...5, term: 3), term: 3)])
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries == entries(1...3) + entries(4...5, term: 3))
        #expect(restored.voteMark == nil)
        removeAll(path)
    }

    @Test func `an altered entry ends the log and takes the vote away`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9))]) }
        sql(path + "/raft.sqlite", "UPDATE log SET data = x'00' WHERE idx = 6")
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries == entries(1...5))
        #expect(restored.voteMark == LogIndex(9))
        removeAll(path)
    }

    @Test func `a log that lost its end is damaged, not short`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9))]) }
        sql(path + "/raft.sqlite", "DELETE FROM log WHERE idx > 7")
        #expect(try ReplicaDisk(path: path, initial: three).restored.voteMark == LogIndex(9))
        removeAll(path)
    }

    @Test func `a damaged log stays damaged over starts until what it lost is committed again`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9))]) }
        sql(path + "/raft.sqlite", "DELETE FROM log WHERE idx > 5")
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            #expect(disk.restored.voteMark == LogIndex(9))
            try disk.log.save([save(1, entries(6...7), commit: 6)])
            try disk.log.save([save(2, entries(7...7, term: 2), term: 2, commit: 6)])
        }
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            #expect(disk.restored.voteMark == LogIndex(9), "it still lacks 8 and 9, which it may have acknowledged")
            try disk.log.save([save(1, entries(8...10, term: 2), term: 2, commit: 9)])
        }
        #expect(try ReplicaDisk(path: path, initial: three).restored.voteMark == nil)
        removeAll(path)
    }

    @Test func `a database that is no database is set aside and takes the vote away`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9), term: 4)]) }
        for suffix in ["", "-wal"] {
            guard let file = fopen(path + "/raft.sqlite" + suffix, "w") else { continue }
            fputs(String(repeating: "garbage ", count: 1000), file)
            fclose(file)
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries.isEmpty && restored.voteMark == LogIndex(9))
        #expect(restored.hardState.term == Term(4))
        removeAll(path)
    }

    @Test func `a directory belongs to one process at a time`() throws {
        let path = temporaryDirectory()
        let disk = try ReplicaDisk(path: path, initial: three)
        #expect(throws: DiskError.self) { try ReplicaDisk(path: path, initial: three) }
        try disk.log.save([save(1, entries(1...1))])
        withExtendedLifetime(disk) { removeAll(path) }
    }
}

@Suite struct StateTests {
    /// A machine with some history, and the log entries that made it.
    private func made(_ count: UInt64) -> (machine: StateMachine, entries: [Entry]) {
        var machine = StateMachine()
        var entries: [Entry] = []
        let client = ClientID(rawValue: 5)
        for i in 1...count {
            let key = Key("k\(i % 17)")
            var command = Command.txn(
                Txn(success: [i % 6 == 0 ? .delete(key) : .put(key, Array(repeating: 1, count: 100))]))
            if i == 1 { command = .openSession }
            if i == 2 { command = .grantLease(LeaseID(rawValue: 3), ttlMilliseconds: 50) }
            let id = ProposalID(client: client, serial: i - 1, settledBelow: i / 2)
            let data = EntryFormat.entry(
                logTime: Int64(i), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
            let entry = Entry(term: Term(1), index: LogIndex(i), data: data)
            _ = machine.apply(entry)
            entries.append(entry)
        }
        return (machine, entries)
    }

    @Test func `what was written in batches is the same state again, with its history`() throws {
        let path = temporaryDirectory()
        var (machine, log) = made(60)
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, log)])
            var replay = StateMachine()
            for entry in log {
                _ = replay.apply(entry)
                guard entry.index.rawValue % 7 == 0 || entry.index == LogIndex(60) else { continue }
                var changes = replay.takeChanges()
                changes.configuration = three
                try disk.state.write(changes)
            }
            #expect(try disk.state.checkpoint() == LogIndex(60))
            try disk.log.compact(to: LogIndex(40))
        }
        let disk = try ReplicaDisk(path: path, initial: .empty)
        #expect(disk.machine.stateHash == machine.stateHash)
        #expect(disk.machine.history == machine.history)
        #expect(disk.restored.snapshot.index == LogIndex(60))
        #expect(disk.restored.base == EntryID(index: LogIndex(40), term: Term(1)))
        #expect(disk.restored.entries == Array(log[40...]))
        machine.discardChanges()
        removeAll(path)
    }

    @Test func `an installed snapshot resets a log that is behind it, and older changes are ignored`() throws {
        let path = temporaryDirectory()
        let (machine, log) = made(60)
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, Array(log[..<10]))])
            try disk.state.install(machine, three)
            var older = StateChanges()
            older.counters.applied = EntryID(index: LogIndex(9), term: Term(1))
            try disk.state.write(older)
        }
        let disk = try ReplicaDisk(path: path, initial: .empty)
        #expect(disk.machine.stateHash == machine.stateHash)
        #expect(disk.restored.base == machine.counters.applied && disk.restored.entries.isEmpty)
        removeAll(path)
    }
}
