// The table of records follows the history late: whatever was written, folded, compacted and opened again in between,
// the state is the same.
import CSQLite
import Glibc
import KVCore
import KVDisk
import Raft
import Testing

private func temporaryDirectory() -> String {
    var template = Array("/tmp/tern-fold-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { return "/tmp/tern-fold" }
    return String(cString: path)
}

private struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return mix64(state)
    }
}

/// A machine that is told commands and a disk that follows it.
private struct Follower {
    let path: String
    var machine = StateMachine()
    private var disk: ReplicaDisk?
    private var serial: UInt64 = 0

    init(_ path: String) throws {
        self.path = path
        disk = try ReplicaDisk(path: path, initial: Configuration(voters: [PeerID(1)]))
        apply(.openSession)
    }

    mutating func apply(_ command: Command) {
        let id = ProposalID(client: ClientID(rawValue: 5), serial: serial, settledBelow: serial)
        let data = EntryFormat.entry(
            logTime: Int64(serial), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
        _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data))
        serial += 1
    }

    mutating func write() throws {
        var changes = machine.takeChanges()
        changes.configuration = Configuration(voters: [PeerID(1)])
        try disk?.state.write(changes)
    }

    mutating func close() { disk = nil }

    func history(after: Revision, through: Revision) throws -> [RevisionEvents] {
        let found = try disk?.state.history(after: after, through: through) ?? []
        let encoded = try disk?.state.encodedHistory(after: after, through: through) ?? []
        #expect(try encoded.map { try RevisionEvents(copying: $0) } == found)
        return found
    }

    mutating func reopen() throws -> StateMachine {
        disk = nil
        let opened = try ReplicaDisk(path: path, initial: .empty)
        disk = opened
        return opened.machine
    }
}

extension RevisionEvents {
    /// Of what is walked in place.
    init(copying encoded: EncodedRevision) throws {
        var events: [KVEvent] = []
        try encoded.forEach { place, event in
            #expect(place == events.count)
            events.append(
                KVEvent(kind: event.kind, current: event.current.record, previous: event.previous?.record))
        }
        self.init(revision: encoded.revision, events: events)
    }
}

@Suite struct FoldingTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func `any order of writes, compactions and starts keeps the state`(
        seed: UInt64
    ) throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var dice = Dice(state: seed)
        var follower = try Follower(path)
        for _ in 0..<400 {
            switch Int.random(in: 0..<20, using: &dice) {
            case 0..<9:
                let key = Key("k\(Int.random(in: 0..<40, using: &dice))")
                follower.apply(
                    .txn(
                        Txn(success: [
                            .put(key, Array(repeating: UInt8(follower.machine.revision.rawValue & 0xff), count: 50))
                        ])))
            case 9..<11:
                follower.apply(.txn(Txn(success: [.delete(Key("k\(Int.random(in: 0..<40, using: &dice))"))])))
            case 11 where seed > 2: follower.apply(.compact(follower.machine.revision))
            case 12..<18: try follower.write()
            case 18:
                try follower.write()
                let found = try follower.reopen()
                #expect(found.stateHash == follower.machine.stateHash)
                #expect(
                    found.view.range(RangeRequest(.all)).items == follower.machine.view.range(RangeRequest(.all)).items)
            default: continue
            }
        }
    }

    @Test func `a revision that is larger than a row or a piece of a snapshot comes back whole`() throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var follower = try Follower(path)
        for i in 0..<24 {
            follower.apply(.txn(Txn(success: [.put(Key("k\(i)"), Array(repeating: UInt8(i), count: 1 << 20))])))
        }
        try follower.write()
        follower.apply(.txn(Txn(success: [.delete(.all, returnPrevious: false)])))
        let large = follower.machine.revision
        try follower.write()
        // Memory forgets it with the next revision.
        let before = follower.machine
        follower.apply(.txn(Txn(success: [.put(Key("after"), [1])])))
        try follower.write()
        let events = try #require(before.history.first { $0.revision == large }).events
        #expect(events.count == 24)

        var source = SnapshotSource(before)
        var sink = SnapshotSink()
        while !source.isDone {
            let piece = source.next()
            #expect(piece.count < 4 << 20)
            try sink.add(piece)
        }
        #expect(sink.finish()?.history == before.history)

        let found = try follower.reopen()
        #expect(found.stateHash == follower.machine.stateHash && found.view.keyCount == 1)
        let read = try follower.history(after: Revision(large.rawValue - 1), through: large)
        #expect(read.map(\.events) == [events])
        var places: [Int] = []
        read.first?.forEach { place, event in
            if event.current.record == events[place].current { places.append(place) }
        }
        #expect(places == Array(0..<24))
        follower.apply(.compact(follower.machine.revision))
        for _ in 0..<2 {
            follower.apply(.txn(Txn(success: [.put(Key("after"), [1])])))
            try follower.write()
        }
        #expect(try follower.history(after: .zero, through: large).isEmpty)
    }

    @Test func `history that was compacted goes in bounded steps, one with each write`() throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var follower = try Follower(path)
        let step = Int64(StateStore.historyRowsPerStep)
        for i in 0..<3 * step {
            follower.apply(.txn(Txn(success: [.put(Key("k\(i % 10)"), [1])])))
            if i % 500 == 0 { try follower.write() }
        }
        try follower.write()
        let last = follower.machine.revision
        follower.apply(.compact(last))
        func oldest() throws -> Int64 {
            try follower.history(after: .zero, through: follower.machine.revision).first?.revision.rawValue ?? .max
        }
        var before = try oldest()
        var writes = 0
        while before < last.rawValue {
            follower.apply(.txn(Txn(success: [.put(Key("meanwhile"), [1])])))
            try follower.write()
            writes += 1
            let now = try oldest()
            #expect(now > before && now - before <= step, "\(now - before) rows with one write")
            before = now
            try #require(writes <= 10)
        }
        #expect(writes >= 3 && before == last.rawValue)
    }

    @Test func `records of a directory whose table was never behind are read`() throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var follower = try Follower(path)
        for i in 0..<10 { follower.apply(.txn(Txn(success: [.put(Key("k\(i)"), [1])]))) }
        follower.apply(.compact(follower.machine.revision))
        try follower.write()
        follower.close()
        try execute(
            "UPDATE meta SET format = 1, counters = substr(counters, 1, length(counters) - 8); DELETE FROM folded",
            path + "/state.sqlite")
        #expect(try follower.reopen().stateHash == follower.machine.stateHash)
        follower.apply(.txn(Txn(success: [.put(Key("more"), [2])])))
        try follower.write()
        #expect(try follower.reopen().stateHash == follower.machine.stateHash)
    }

    @Test func `rows without checksums are read`() throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var follower = try Follower(path)
        for i in 0..<10 { follower.apply(.txn(Txn(success: [.put(Key("k\(i)"), [1])]))) }
        try follower.write()
        follower.close()
        try execute(
            """
            UPDATE meta SET format = 2, counters = substr(counters, 1, length(counters) - 8);
            UPDATE history SET events = substr(events, 1, length(events) - 8)
            """, path + "/state.sqlite")
        #expect(try follower.reopen().stateHash == follower.machine.stateHash)
    }

    @Test func `history that the records need and that is gone is damage`() throws {
        let path = temporaryDirectory()
        defer { removeAll(path) }
        var follower = try Follower(path)
        for i in 0..<10 { follower.apply(.txn(Txn(success: [.put(Key("k\(i)"), [1])]))) }
        try follower.write()
        follower.close()
        try execute("DELETE FROM history WHERE revision = 7", path + "/state.sqlite")
        #expect(throws: DiskError.self) { try follower.reopen() }
    }

    private func execute(_ sql: String, _ file: String) throws {
        var handle: OpaquePointer?
        #expect(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
        #expect(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK)
        sqlite3_close_v2(handle)
    }
}
