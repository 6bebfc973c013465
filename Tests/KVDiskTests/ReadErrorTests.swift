// Places that the disk does not give back: as good as altered ones. The log is short of what its mark says, the state is
// another's until a leader has sent one, and no start ends by it that could go on with the others' help.
import CSQLite
import Glibc
import KVCore
import KVDisk
import Raft
import Synchronization
import Testing

/// Places of files that cannot be read, by the files themselves: another one of the same name can.
private final class Faults: Sendable {
    private struct Place {
        var inode: ino_t
        var range: Range<Int>
    }
    private let places = Mutex<[Place]>([])

    func add(_ file: String, _ range: Range<Int>) {
        var status = stat()
        #expect(stat(file, &status) == 0, "no file \(file)")
        places.withLock { $0.append(Place(inode: status.st_ino, range: range)) }
    }

    func lift() { places.withLock { $0 = [] } }

    /// As a kernel that has not begun to answer: no part of a read comes that touches the place.
    func fails(_ descriptor: Int32, _ offset: Int, _ count: Int) -> Bool {
        places.withLock { places in
            guard !places.isEmpty else { return false }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return false }
            return places.contains { $0.inode == status.st_ino && $0.range.overlaps(offset..<(offset + max(1, count))) }
        }
    }

    var read: ReadCall {
        { [self] descriptor, into, count, offset in
            guard !fails(descriptor, offset, count) else {
                errno = EIO
                return -1
            }
            return pread(descriptor, into, count, off_t(offset))
        }
    }
}

private func segment(_ path: String) -> String { path + "/raft.log/" + String(repeating: "0", count: 15) + "1.log" }

/// Where the entry's record is, about.
private func page(_ file: String, of key: String, times: Int) throws -> Int {
    let handle = try #require(fopen(file, "r"))
    defer { fclose(handle) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = fread(&bytes, 1, bytes.count, handle)
    let found = (0..<count).filter { bytes[$0...].starts(with: key.utf8) }
    return try #require(found.dropFirst(times).first) / 4096
}

@Suite(.serialized) struct ReadErrorTests {
    private let faults = Faults()

    private func open(_ directory: Directory, _ members: Configuration = three) throws -> ReplicaDisk {
        try ReplicaDisk(path: directory.path, initial: members, reading: faults.read)
    }

    @Test func `a page of the log that cannot be read leaves its owner without a vote, and it goes on`() throws {
        let directory = try Directory(compacted: 0, written: 5, value: Array(repeating: 7, count: 300))
        defer { removeAll(directory.path) }
        let bad = try page(segment(directory.path), of: "k3", times: 2)
        faults.add(segment(directory.path), bad * 4096..<(bad + 1) * 4096)
        var count = 0
        do {
            let disk = try open(directory)
            count = disk.restored.entries.count
            #expect(count > 5 && count < 60 && disk.log.unreadableBytes == 4096)
            #expect(disk.restored.voteMark == LogIndex(60))
            let entry = Entry(term: Term(4), index: LogIndex(UInt64(count) + 1), data: [9])
            let hard = HardState(term: Term(5), vote: nil, commit: LogIndex(UInt64(count)))
            try disk.log.save([Save(id: SaveID(rawValue: 9), hardState: hard, entries: [entry], snapshot: nil)])
        }
        // The place can be read again: what lay there does not come back.
        faults.lift()
        let disk = try open(directory)
        #expect(disk.restored.entries.count == count + 1 && disk.restored.entries.last?.data == [9])
        #expect(disk.restored.voteMark == LogIndex(60) && disk.log.unreadableBytes == 0)
        #expect(access(directory.path + "/raft.log/unreadable", F_OK) == 0, "it may be all that is left")
    }

    @Test func `a log whose beginning cannot be read is set aside`() throws {
        let directory = try Directory(compacted: 0, written: 5)
        defer { removeAll(directory.path) }
        faults.add(segment(directory.path), 0..<100)
        for round in 0..<2 {
            let disk = try open(directory)
            #expect(disk.restored.entries.isEmpty && disk.restored.voteMark == LogIndex(60), "round \(round)")
            #expect(disk.restored.snapshot.index == LogIndex(5))
        }
        #expect(access(directory.path + "/raft.log.damaged", F_OK) == 0)
    }

    @Test func `a mark that cannot be read is no missing mark: its owner votes when it has caught up`() throws {
        let directory = try Directory(compacted: 0)
        defer { removeAll(directory.path) }
        faults.add(directory.path + "/raft.mark", 0..<48)
        for _ in 0..<2 {
            let disk = try open(directory)
            #expect(disk.restored.isNewborn && disk.restored.entries.count == 60)
            let hard = HardState(term: Term(6), vote: nil, commit: LogIndex(60))
            try disk.log.save([Save(id: SaveID(rawValue: 9), hardState: hard, entries: [], snapshot: nil)])
        }
        try open(directory).forgetNewborn()
        #expect(try !open(directory).restored.isNewborn)
    }

    @Test func `who is alone and cannot read its mark refuses to start and says what to do, and leaves it as it is`()
        throws
    {
        let alone = Configuration(voters: [PeerID(1)])
        let directory = try Directory(alone, compacted: 0)
        defer { removeAll(directory.path) }
        faults.add(directory.path + "/raft.mark", 0..<48)
        for _ in 0..<2 {
            do {
                _ = try open(directory, alone)
                Issue.record("started")
            } catch { #expect("\(error)".contains("tern snapshot restore"), "\(error)") }
        }
        faults.lift()
        let disk = try open(directory, alone)
        #expect(!disk.restored.isNewborn && disk.restored.entries.count == 60 && disk.restored.voteMark == nil)
    }

    /// The state may be behind what the log says of who takes part.
    @Test func `who is alone by its log alone cannot do without its mark, who has others there can`() throws {
        let alone = Configuration(voters: [PeerID(1)])
        for (before, after) in [(three, alone), (alone, three)] {
            let directory = try Directory(before, compacted: 0)
            defer { removeAll(directory.path) }
            do {
                let disk = try open(directory, before)
                let entry = Entry(term: Term(4), index: LogIndex(61), kind: .configuration, data: after.encode())
                let hard = HardState(term: Term(4), vote: nil, commit: LogIndex(61))
                try disk.log.save([Save(id: SaveID(rawValue: 9), hardState: hard, entries: [entry], snapshot: nil)])
            }
            faults.add(directory.path + "/raft.mark", 0..<48)
            if after == alone {
                #expect(throws: DiskError.self) { try open(directory, before) }
            } else {
                #expect(try open(directory, before).restored.isNewborn)
            }
            faults.lift()
        }
    }

    @Test func `records of a newer program are refused, not taken for damage`() throws {
        let directory = try Directory(compacted: 0)
        defer { removeAll(directory.path) }
        let handle = try #require(fopen(segment(directory.path), "r+"))
        var head = [UInt8](repeating: 0, count: 200)
        #expect(fread(&head, 1, head.count, handle) == head.count)
        let length = Int(head[0]) | Int(head[1]) << 8
        // The head's format, behind its kind; with the check that a newer program would write.
        head[5] = 99
        var hash = Hash64(seed: 0)
        hash.add(Array(head[4..<(5 + length)]))
        for i in 0..<8 { head[5 + length + i] = UInt8(truncatingIfNeeded: hash.value >> UInt64(8 * i)) }
        rewind(handle)
        #expect(fwrite(head, 1, head.count, handle) == head.count)
        fclose(handle)
        do {
            _ = try open(directory)
            Issue.record("started")
        } catch { #expect("\(error)".contains("newer"), "\(error)") }
        #expect(access(directory.path + "/raft.log.damaged", F_OK) != 0)
    }
}

/// For SQLite's own reads, of which there is one set in a process.
private let pages = Faults()

private func whileFailing(_ body: () throws -> Void) throws {
    let direct: @convention(c) (Int32, UnsafeMutableRawPointer?, Int, off_t) -> Int = {
        descriptor, into, count, offset in
        guard !pages.fails(descriptor, Int(offset), count) else {
            errno = EIO
            return -1
        }
        return pread(descriptor, into, count, offset)
    }
    let sequential: @convention(c) (Int32, UnsafeMutableRawPointer?, Int) -> Int = { descriptor, into, count in
        guard !pages.fails(descriptor, Int(lseek(descriptor, 0, SEEK_CUR)), count) else {
            errno = EIO
            return -1
        }
        return read(descriptor, into, count)
    }
    defer { pages.lift() }
    let placed = unsafeBitCast(direct, to: sqlite3_syscall_ptr.self)
    let calls = ["pread": placed, "pread64": placed, "read": unsafeBitCast(sequential, to: sqlite3_syscall_ptr.self)]
    try whileReplacing(calls, body)
}

@Suite(.serialized) struct StateReadErrorTests {
    private func size(_ file: String) -> Int {
        var status = stat()
        return stat(file, &status) == 0 ? Int(status.st_size) : 0
    }

    /// False: the state was damaged. Another one is there afterwards.
    private func start(_ directory: Directory) throws -> Bool {
        let disk = try ReplicaDisk(path: directory.path, initial: .empty)
        #expect(disk.restored.snapshot.configuration == three && disk.restored.voteMark == nil)
        let isWhole = !disk.isStateDamaged
        do throws(DiskError) { try disk.state.install(directory.machine, three) } catch {
            // That it cannot be read was met only now: the process ends, and the next start knows it.
            guard case .damaged = error else { throw error }
            return false
        }
        return isWhole
    }

    @Test func `a state of which any page cannot be read takes another one's place, or is whole`() throws {
        var damaged = 0
        for isWAL in [false, true] {
            for number in 0..<12 {
                let directory = try Directory(compacted: 40, value: Array(repeating: 7, count: 900))
                defer { removeAll(directory.path) }
                let file = directory.path + "/state.sqlite"
                if !isWAL { unlink(file + "-wal") }
                let bad = isWAL ? file + "-wal" : file
                let first = number * 4096
                guard first < size(bad) else { continue }
                try whileFailing {
                    pages.add(bad, first..<(first + 4096))
                    let isWhole = try start(directory)
                    if !isWhole { damaged += 1 }
                    #expect(try isWhole || start(directory) || start(directory), "\(isWAL) \(number)")
                    let disk = try ReplicaDisk(path: directory.path, initial: .empty)
                    #expect(
                        !disk.isStateDamaged && disk.machine.stateHash == directory.machine.stateHash,
                        "\(isWAL) \(number)")
                }
            }
        }
        #expect(damaged > 5)
    }

    @Test func `a page that could not be read while it ran is not met again by the state that comes`() throws {
        let directory = try Directory(compacted: 40)
        defer { removeAll(directory.path) }
        let file = directory.path + "/state.sqlite"
        try execute("PRAGMA user_version = 2", file)
        var before = stat(), after = stat()
        #expect(stat(file, &before) == 0)
        let disk = try ReplicaDisk(path: directory.path, initial: .empty)
        #expect(disk.isStateDamaged && stat(file, &after) == 0 && after.st_ino != before.st_ino)
        try disk.state.install(directory.machine, three)
    }

    @Test func `who is alone and cannot read its state is refused before the file is moved: a later start may read it`()
        throws
    {
        let alone = Configuration(voters: [PeerID(1)])
        for isNoted in [true, false] {
            let directory = try Directory(alone, compacted: 40)
            defer { removeAll(directory.path) }
            let file = directory.path + "/state.sqlite"
            // What a process leaves behind that met such a page, or a file that cannot even be opened.
            if isNoted { try execute("PRAGMA user_version = 2", file) } else { unlink(file + "-wal") }
            var before = stat(), after = stat()
            #expect(stat(file, &before) == 0)
            try whileFailing {
                if !isNoted { pages.add(file, 0..<4096) }
                for _ in 0..<2 {
                    do {
                        _ = try ReplicaDisk(path: directory.path, initial: alone)
                        Issue.record("started")
                    } catch { #expect("\(error)".contains("tern snapshot restore"), "\(error)") }
                    #expect(stat(file, &after) == 0 && after.st_ino == before.st_ino)
                    #expect(access(file + ".damaged", F_OK) != 0)
                }
            }
            if isNoted { try execute("PRAGMA user_version = 0", file) }
            let disk = try ReplicaDisk(path: directory.path, initial: alone)
            #expect(!disk.isStateDamaged && disk.machine.stateHash == directory.machine.stateHash)
        }
    }

    @Test func `a state that is distrusted is so at the next start, until another one is installed`() throws {
        let directory = try Directory(compacted: 40)
        defer { removeAll(directory.path) }
        do {
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(!disk.isStateDamaged)
            try disk.state.distrust()
        }
        for _ in 0..<2 { #expect(try ReplicaDisk(path: directory.path, initial: .empty).isStateDamaged) }
        for isAtOnce in [false, true] {
            do {
                let disk = try ReplicaDisk(path: directory.path, initial: .empty)
                if isAtOnce { try disk.state.distrust() }
                try disk.state.install(directory.machine, three)
            }
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(!disk.isStateDamaged && disk.machine.stateHash == directory.machine.stateHash)
        }
    }

    /// Twenty megabytes of the past, of which the memory of a replica holds the newest part only. Answers what the disk
    /// holds, and where something of the third revision lies.
    private func longPast(_ path: String) throws -> (machine: StateMachine, place: Range<Int>) {
        var machine = StateMachine()
        let disk = try ReplicaDisk(path: path, initial: three)
        for i in 1...41 as ClosedRange<UInt64> {
            let value = [UInt8](repeating: UInt8(i), count: 500_000)
            let command = i == 1 ? .openSession : Command.txn(Txn(success: [.put(Key("k"), value)]))
            let id = ProposalID(client: ClientID(rawValue: 5), serial: i - 1, settledBelow: i - 1)
            let data = EntryFormat.entry(
                logTime: Int64(i), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
            _ = machine.apply(Entry(term: Term(1), index: LogIndex(i), data: data))
            guard i % 2 == 1 else { continue }
            var changes = machine.takeChanges()
            changes.configuration = three
            try disk.state.write(changes)
        }
        let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(41))
        let snapshot = SnapshotMetadata(index: LogIndex(41), term: Term(1), configuration: three)
        try disk.log.save([Save(id: SaveID(rawValue: 1), hardState: hard, entries: [], snapshot: snapshot)])
        _ = try disk.state.checkpoint()
        return (machine, try run(of: 4, in: path + "/state.sqlite"))
    }

    /// The second page of the file that is full of the byte.
    private func run(of byte: UInt8, in file: String) throws -> Range<Int> {
        let handle = try #require(fopen(file, "r"))
        defer { fclose(handle) }
        var page = [UInt8](repeating: 0, count: 4096), number = 0, found = 0
        while fread(&page, 1, page.count, handle) == page.count {
            if page.dropFirst(4).allSatisfy({ $0 == byte }) { found += 1 }
            if found == 2 { return number * 4096..<(number + 1) * 4096 }
            number += 1
        }
        throw DiskError.failed("no page of \(byte)")
    }

    private func inode(_ file: String) -> ino_t {
        var status = stat()
        return stat(file, &status) == 0 ? status.st_ino : 0
    }

    /// Meets the place as a reader of the past.
    private func meet(_ place: Range<Int>, _ disk: ReplicaDisk, _ file: String) throws {
        pages.add(file, place)
        do throws(DiskError) {
            _ = try disk.state.history(after: Revision(1), through: disk.machine.revision)
            Issue.record("it was read")
        } catch { #expect("\(error)".contains("I/O"), "\(error)") }
    }

    @Test func `a past that could not be read and can be again leaves the state as it is`() throws {
        let directory = try Directory(compacted: 0)
        removeAll(directory.path)
        defer { removeAll(directory.path) }
        let (machine, place) = try longPast(directory.path)
        let file = directory.path + "/state.sqlite"
        unlink(file + "-wal")
        let before = inode(file)
        try whileFailing {
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(!disk.isStateDamaged)
            try meet(place, disk, file)
            // What lies elsewhere can be read, and it can be written.
            #expect(
                try disk.state.history(after: Revision(30), through: machine.revision).first?.revision == Revision(31))
            _ = try disk.state.checkpoint()
        }
        for _ in 0..<2 {
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(disk.stateDamage == nil)
            #expect(disk.machine.stateHash == machine.stateHash && inode(file) == before)
            #expect(
                try disk.state.history(after: Revision(1), through: machine.revision).first?.revision == Revision(2))
        }
    }

    @Test(arguments: [false, true])
    func `a past that cannot be read at the next start either takes the state along`(isCondemned: Bool) throws {
        let directory = try Directory(compacted: 0)
        removeAll(directory.path)
        defer { removeAll(directory.path) }
        let (machine, place) = try longPast(directory.path)
        let file = directory.path + "/state.sqlite"
        unlink(file + "-wal")
        let before = inode(file)
        try whileFailing {
            do {
                let disk = try ReplicaDisk(path: directory.path, initial: .empty)
                try meet(place, disk, file)
                // A verdict of the others counts for more, before and after.
                if isCondemned {
                    pages.lift()
                    try disk.state.distrust()
                    try meet(place, disk, file)
                    pages.lift()
                }
            }
            let disk = try ReplicaDisk(path: directory.path, initial: .empty)
            #expect(disk.stateDamage != nil)
            #expect(isCondemned || inode(file) != before, "\(disk.stateDamage ?? "none")")
            try disk.state.install(machine, three)
        }
        let disk = try ReplicaDisk(path: directory.path, initial: .empty)
        #expect(!disk.isStateDamaged && disk.machine.stateHash == machine.stateHash)
    }
}
