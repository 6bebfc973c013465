// The log and the state on a real disk: what was saved is there, what was not is not, and damage is noticed.
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

private func names(_ folder: String) -> [String] {
    guard let handle = opendir(folder) else { return [] }
    defer { closedir(handle) }
    var all: [String] = []
    while let entry = readdir(handle) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { all.append(name) }
    }
    return all.sorted()
}

/// The bytes of a file of the log, changed.
private func alter(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
    let file = try #require(fopen(path, "r+"))
    defer { fclose(file) }
    fseek(file, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: ftell(file))
    rewind(file)
    #expect(fread(&bytes, 1, bytes.count, file) == bytes.count)
    change(&bytes)
    rewind(file)
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
}

private func segment(_ path: String, _ number: Int = 1) -> String {
    let digits = String(number)
    return path + "/raft.log/" + String(repeating: "0", count: 16 - digits.count) + digits + ".log"
}

/// Where the data of the entry begins.
private func place(_ bytes: [UInt8], of index: UInt8, size: Int = 20) -> Int {
    let data = Array(repeating: index, count: size)
    return bytes.indices.first { bytes[$0...].starts(with: data) } ?? -1
}

let three = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])

private func entries(_ range: ClosedRange<UInt64>, term: UInt64 = 1, size: Int = 20) -> [Entry] {
    range.map { Entry(term: Term(term), index: LogIndex($0), data: Array(repeating: UInt8($0 & 0xff), count: size)) }
}

private func save(_ id: UInt64, _ entries: [Entry], term: UInt64 = 1, commit: UInt64 = 0) -> Save {
    let state = HardState(term: Term(term), vote: PeerID(2), commit: LogIndex(commit))
    return Save(id: SaveID(rawValue: id), hardState: state, entries: entries, snapshot: nil)
}

/// Compacts the log up to an entry that the state is said to have.
private func compact(_ disk: ReplicaDisk, to id: EntryID) throws {
    var changes = StateChanges()
    changes.counters.applied = id
    changes.configuration = three
    try disk.state.write(changes)
    try disk.log.compact(to: id.index)
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

    @Test func `a state that is replaced right before the log's first entry leaves the log as it is`() throws {
        let path = temporaryDirectory()
        let id = EntryID(index: LogIndex(5), term: Term(1))
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, entries(1...9), commit: 9)])
            try compact(disk, to: id)
            var replaced = save(2, [], commit: 9)
            replaced.snapshot = SnapshotMetadata(index: id.index, term: id.term, configuration: three)
            try disk.log.save([replaced])
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.base == id && restored.entries == entries(6...9) && restored.voteMark == nil)
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
        try alter(segment(path)) { bytes in bytes[place(bytes, of: 6) + 3] ^= 1 }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries == entries(1...5))
        #expect(restored.voteMark == LogIndex(9))
        removeAll(path)
    }

    @Test func `a log that lost its end is damaged, not short`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9))]) }
        try alter(segment(path)) { bytes in
            for at in place(bytes, of: 7) + 20..<bytes.count { bytes[at] = 0 }
        }
        #expect(try ReplicaDisk(path: path, initial: three).restored.voteMark == LogIndex(9))
        removeAll(path)
    }

    @Test func `a damaged log stays damaged over starts until what it lost is committed again`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9))]) }
        try alter(segment(path)) { bytes in
            for at in place(bytes, of: 6)..<bytes.count { bytes[at] = 0 }
        }
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

    @Test func `a log that is no log is set aside and takes the vote away`() throws {
        let path = temporaryDirectory()
        do { try ReplicaDisk(path: path, initial: three).log.save([save(1, entries(1...9), term: 4)]) }
        try alter(segment(path)) { bytes in
            for at in bytes.indices { bytes[at] = UInt8(at % 251) }
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries.isEmpty && restored.voteMark == LogIndex(9))
        #expect(restored.hardState.term == Term(4))
        removeAll(path)
    }

    @Test func `a batch that was torn anywhere leaves a front of it, and the mark tells`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, entries(1...4))])
            try disk.log.save([save(2, entries(4...9, term: 2), term: 2, commit: 3)])
        }
        let whole = entries(1...3) + entries(4...9, term: 2)
        var ends: [Int] = []
        try alter(segment(path)) { bytes in
            let end = place(bytes, of: 9) + 21 + 8
            ends = Array(stride(from: place(bytes, of: 4) + 28, to: end, by: 11)).reversed()
        }
        for end in ends {
            try alter(segment(path)) { bytes in
                for at in end..<bytes.count { bytes[at] = 0 }
            }
            let found = try ReplicaDisk(path: path, initial: three).restored
            let isOld = found.entries == entries(1...4)
            #expect(isOld || found.entries == Array(whole.prefix(found.entries.count)), "cut at \(end)")
            #expect(found.entries.last?.term ?? .zero <= found.hardState.term)
            #expect(found.voteMark == LogIndex(9))
        }
        removeAll(path)
    }

    @Test func `a torn batch commits nothing of what it was to replace`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, entries(1...9), commit: 3)])
            try disk.log.save([save(2, entries(4...8, term: 2), term: 2, commit: 7)])
        }
        #expect(try ReplicaDisk(path: path, initial: three).restored.hardState.commit == LogIndex(7))
        // Only the hard state of the second batch got through.
        try alter(segment(path)) { bytes in
            let first = place(bytes, of: 4), data = Array(bytes[first..<(first + 20)])
            let second = bytes.indices.dropFirst(first + 20).first { bytes[$0...].starts(with: data) } ?? bytes.count
            for at in second..<bytes.count { bytes[at] = 0 }
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.hardState.commit <= LogIndex(3), "the old entries 4 to 7 were never committed")
        removeAll(path)
    }

    @Test func `segments follow each other, and those that are not needed are used again`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            for first in stride(from: UInt64(1), to: 3000, by: 50) {
                try disk.log.save([save(first, entries(first...first + 49, size: 8000))])
            }
            #expect(names(path + "/raft.log").count { $0.hasSuffix(".log") } > 4)
            try compact(disk, to: EntryID(index: LogIndex(2900), term: Term(1)))
            #expect(names(path + "/raft.log").count { $0.hasSuffix(".log") } == 1)
            for first in stride(from: UInt64(3001), to: 4500, by: 50) {
                try disk.log.save([save(first, entries(first...first + 49, size: 8000))])
            }
        }
        let found = try ReplicaDisk(path: path, initial: three)
        #expect(found.restored.base == EntryID(index: LogIndex(2900), term: Term(1)))
        #expect(found.restored.entries == entries(2901...4500, size: 8000) && found.restored.voteMark == nil)
        withExtendedLifetime(found) { removeAll(path) }
    }

    @Test func `an entry that is larger than a segment is kept`() throws {
        let path = temporaryDirectory()
        let large = [Entry(term: Term(1), index: LogIndex(1), data: Array(repeating: 3, count: 9 << 20))]
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, large)])
            try disk.log.save([save(2, entries(2...3))])
        }
        #expect(try ReplicaDisk(path: path, initial: three).restored.entries == large + entries(2...3))
        removeAll(path)
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func `any order of saves, compactions and restarts`(seed: UInt64) throws {
        let path = temporaryDirectory()
        var generator = SeededGenerator(seed: seed)
        var base: UInt64 = 0
        var model: [Entry] = []
        var term: UInt64 = 1
        var disk: ReplicaDisk? = try ReplicaDisk(path: path, initial: three)
        for round in 1...120 as ClosedRange<UInt64> {
            let last = base + UInt64(model.count)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0 where !model.isEmpty:
                let upTo = UInt64.random(in: 1...UInt64(model.count), using: &generator)
                let id = model[Int(upTo) - 1]
                if let disk { try compact(disk, to: EntryID(index: id.index, term: id.term)) }
                model.removeFirst(Int(upTo))
                base += upTo
            case 1:
                disk = nil
                let found = try ReplicaDisk(path: path, initial: three)
                #expect(found.restored.entries == model, "seed \(seed) round \(round)")
                #expect(found.restored.voteMark == nil)
                disk = found
            case 2 where !model.isEmpty:
                term += 1
                let first = base + UInt64.random(in: 1...UInt64(model.count), using: &generator)
                model.removeLast(Int(last - first + 1))
                let more = entries(first...first + 2, term: term, size: Int.random(in: 0...70_000, using: &generator))
                try disk?.log.save([save(round, more, term: term)])
                model += more
            default:
                let more = entries(
                    last + 1...last + 1 + UInt64.random(in: 0...9, using: &generator), term: term,
                    size: Int.random(in: 0...70_000, using: &generator))
                try disk?.log.save([save(round, more, term: term)])
                model += more
            }
        }
        removeAll(path)
    }

    @Test func `a snapshot that the log holds leaves the log's end alone`() throws {
        let path = temporaryDirectory()
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, entries(1...9))])
            var repair = save(2, entries(10...10), commit: 9)
            repair.snapshot = SnapshotMetadata(index: LogIndex(6), term: Term(1), configuration: three)
            try disk.log.save([repair, save(3, entries(11...12))])
            try disk.log.save([save(4, entries(12...13, term: 2), term: 2)])
            let state = StateMachine(
                counters: counters(6), records: OrderedTree(), leases: [], sessions: [], members: [], history: [])
            try disk.state.install(state, three)
        }
        let restored = try ReplicaDisk(path: path, initial: three).restored
        #expect(restored.entries == entries(7...11) + entries(12...13, term: 2))
        #expect(restored.base == EntryID(index: LogIndex(6), term: Term(1)) && restored.voteMark == nil)
        removeAll(path)
    }

    private func counters(_ applied: UInt64) -> StateCounters {
        var counters = StateCounters()
        counters.applied = EntryID(index: LogIndex(applied), term: Term(1))
        return counters
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

    @Test(arguments: [4, 64] as [UInt8])
    func `a state that is not what was written is told apart`(_ bit: UInt8) throws {
        let path = temporaryDirectory()
        let (machine, log) = made(60)
        do {
            let disk = try ReplicaDisk(path: path, initial: three)
            try disk.log.save([save(1, log)])
            var replay = StateMachine()
            for entry in log { _ = replay.apply(entry) }
            var changes = replay.takeChanges()
            changes.configuration = three
            try disk.state.write(changes)
            _ = try disk.state.checkpoint()
            try disk.log.compact(to: LogIndex(40))
        }
        do {
            let disk = try ReplicaDisk(path: path, initial: .empty)
            #expect(!disk.isStateDamaged && disk.machine.stateHash == machine.stateHash)
        }
        // One bit of every value; the checkpoint has brought all pages from the side file.
        unlink(path + "/state.sqlite-wal")
        try alter(path + "/state.sqlite") { bytes in
            let value = Array(repeating: UInt8(1), count: 100)
            for at in bytes.indices.dropLast(100) where bytes[at...].starts(with: value) {
                // Within the value, or the length before it: the row cannot be read then.
                if bit == 4 { bytes[at + 50] ^= bit } else { bytes[at - 1] ^= bit }
            }
        }
        let disk = try ReplicaDisk(path: path, initial: .empty)
        #expect(disk.isStateDamaged)
        withExtendedLifetime(disk) { removeAll(path) }
    }
}
