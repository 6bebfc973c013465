// A disk that has no room for more of the database's WAL: what is in it makes room for what waits.
import CSQLite
import Glibc
import KVCore
import KVDisk
import Raft
import Synchronization
import Testing

/// Files that do not grow, by the files themselves: there is one set of SQLite's calls in a process.
private let lengths = Mutex<[ino_t: Int]>([:])

private func fits(_ descriptor: Int32, _ offset: Int, _ count: Int) -> Bool {
    lengths.withLock { lengths in
        var status = stat()
        guard !lengths.isEmpty, fstat(descriptor, &status) == 0, let length = lengths[status.st_ino] else {
            return true
        }
        return offset + count <= length
    }
}

private func whileFull(_ file: String, _ body: () throws -> Void) throws {
    var status = stat()
    #expect(stat(file, &status) == 0, "no file \(file)")
    lengths.withLock { $0[status.st_ino] = Int(status.st_size) }
    let direct: @convention(c) (Int32, UnsafeRawPointer?, Int, off_t) -> Int = { descriptor, bytes, count, offset in
        guard fits(descriptor, Int(offset), count) else {
            errno = ENOSPC
            return -1
        }
        return pwrite(descriptor, bytes, count, offset)
    }
    let sequential: @convention(c) (Int32, UnsafeRawPointer?, Int) -> Int = { descriptor, bytes, count in
        guard fits(descriptor, Int(lseek(descriptor, 0, SEEK_CUR)), count) else {
            errno = ENOSPC
            return -1
        }
        return write(descriptor, bytes, count)
    }
    defer { lengths.withLock { _ = $0.removeValue(forKey: status.st_ino) } }
    let placed = unsafeBitCast(direct, to: sqlite3_syscall_ptr.self)
    let calls = ["pwrite": placed, "pwrite64": placed, "write": unsafeBitCast(sequential, to: sqlite3_syscall_ptr.self)]
    try whileReplacing(calls, body)
}

@Suite(.serialized) struct FullDiskTests {
    private func put(_ size: Int, _ machine: inout StateMachine) -> StateChanges {
        let serial = machine.appliedIndex.rawValue
        let id = ProposalID(client: ClientID(rawValue: 5), serial: serial, settledBelow: serial)
        let command = Command.txn(Txn(success: [.put(Key("k\(serial)"), Array(repeating: 7, count: size))]))
        let data = EntryFormat.entry(
            logTime: 100, proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
        _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data))
        var changes = machine.takeChanges()
        changes.configuration = three
        return changes
    }

    @Test func `a write that finds the disk filled by the database's own log has its room`() throws {
        let directory = try Directory(compacted: 0)
        defer { removeAll(directory.path) }
        let disk = try ReplicaDisk(path: directory.path, initial: three)
        var machine = disk.machine
        try disk.state.write(put(400_000, &machine))
        let log = directory.path + "/state.sqlite-wal"
        try whileFull(log) {
            let next = put(200_000, &machine)
            #expect(throws: DiskError.self) { try disk.state.write(next) }
            var waited = 0
            try disk.state.write(next) {
                waited += 1
                return waited < 20
            }
            #expect(waited == 1)
        }
        #expect(try disk.state.checkpoint() == machine.appliedIndex)
    }

    @Test func `a write for which there is no room waits, and is whole when there is some`() throws {
        let directory = try Directory(compacted: 0)
        defer { removeAll(directory.path) }
        let disk = try ReplicaDisk(path: directory.path, initial: three)
        var machine = disk.machine
        let next = put(800_000, &machine)
        try whileFull(directory.path + "/state.sqlite-wal") {
            var waited = 0
            #expect(throws: DiskError.self) {
                try disk.state.write(next) {
                    waited += 1
                    return waited < 20
                }
            }
            #expect(waited == 20)
        }
        try disk.state.write(next)
        #expect(try disk.state.checkpoint() == machine.appliedIndex)
        #expect(
            try disk.state.history(after: Revision(1), through: machine.revision).last?.revision == machine.revision)
    }
}
