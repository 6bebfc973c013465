// What the store reads from peers, logs, snapshots and disks: anything may come, nothing may trap, and what is taken
// means the same when it is written again.
import Glibc
import KVCore
import KVDisk
import Raft
import Testing

private let commands = StoreCorpus.commands
private let proposals = StoreCorpus.proposals
private let messages = StoreCorpus.messages

/// Of commands alone: a log that begins with them.
private let entries = proposals.enumerated().map { number, data in
    Entry(term: Term(2), index: LogIndex(UInt64(number + 1)), data: EntryFormat.entry(logTime: 5, proposal: data))
}

/// A state with some of everything.
private func machine() -> StateMachine {
    var machine = StateMachine()
    for (number, command) in ([.openSession] + commands).enumerated() {
        let id = ProposalID(client: ClientID(rawValue: 77), serial: UInt64(number), settledBelow: UInt64(number))
        let data = EntryFormat.entry(
            logTime: 5, proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
        _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data))
    }
    return machine
}

private func pieces() -> [[UInt8]] {
    var source = SnapshotSource(machine())
    var all: [[UInt8]] = []
    while !source.isDone { all.append(source.next()) }
    return all
}

@Suite struct StoreFuzzTests {
    @Test func `messages of peers`() {
        fuzz("messages", messages.map { $0.encode() }) { bytes in
            do throws(DecodeError) {
                let message = try PeerMessage(decoding: bytes)
                let again = try PeerMessage(decoding: message.encode())
                #expect(again == message)
            } catch { return }
        }
    }

    @Test func `proposals, and what they do to a state`() {
        let start = machine()
        fuzz("proposals", proposals) { bytes in
            var machine = start
            let entry = Entry(
                term: Term(1), index: machine.appliedIndex.next, data: EntryFormat.entry(logTime: 6, proposal: bytes))
            let applied = machine.apply(entry)
            #expect(applied.index == entry.index)
            // Twice the same is executed once, whatever it was.
            let revision = machine.view.revision
            _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: entry.data))
            if case .refused = applied.outcome { return }
            if applied.id?.client == ClientID(rawValue: 77) { #expect(machine.view.revision == revision) }
        }
    }

    @Test func `pieces of snapshots`() {
        fuzz("snapshots", pieces(), count: 2_000) { bytes in
            var sink = SnapshotSink()
            do throws(DecodeError) { try sink.add(bytes) } catch { return }
            guard var machine = sink.finish() else { return }
            _ = machine.view.revision
            _ = machine.apply(
                Entry(
                    term: Term(9), index: machine.appliedIndex.next,
                    data: EntryFormat.entry(logTime: 6, proposal: proposals[0])))
        }
    }

    @Test func `revisions of the past, taken apart and walked in place`() throws {
        let old = KeyValue(
            key: Key("key"), value: [1, 2, 3], createRevision: Revision(2), modRevision: Revision(2), version: 1)
        var new = old
        (new.value, new.modRevision, new.version) = (Array(repeating: 7, count: 300), Revision(300), 2)
        let deletion = KeyValue(
            key: Key("key"), value: [], createRevision: .zero, modRevision: Revision(301), version: 0)
        let all = [
            RevisionEvents(revision: Revision(2), events: [KVEvent(kind: .put, current: old, previous: nil)]),
            RevisionEvents(revision: Revision(300), events: [KVEvent(kind: .put, current: new, previous: old)]),
            RevisionEvents(
                revision: Revision(301),
                events: [
                    KVEvent(kind: .delete, current: deletion, previous: new),
                    KVEvent(kind: .put, current: old, previous: nil)
                ])
        ]
        let revisions = all.map { item in
            var writer = ByteWriter()
            writer.put(item)
            return writer.bytes
        }
        try fuzz("revisions", revisions, count: 5_000) { bytes in
            var reader = ByteReader(bytes)
            let whole: RevisionEvents
            do throws(DecodeError) { whole = try reader.revisionEvents() } catch {
                #expect(throws: DecodeError.self) { _ = try EncodedRevision(bytes) }
                return
            }
            let encoded = try EncodedRevision(bytes)
            var events: [KVEvent] = []
            try encoded.forEach { _, event in
                events.append(
                    KVEvent(kind: event.kind, current: event.current.record, previous: event.previous?.record))
            }
            #expect(encoded.revision == whole.revision && encoded.rest.count == reader.remaining)
            #expect(events == whole.events)
        }
    }

    @Test func `configurations`() {
        fuzz("configurations", StoreCorpus.configurations) { bytes in
            guard let configuration = Configuration(decoding: bytes) else { return }
            #expect(Configuration(decoding: configuration.encode()) == configuration)
        }
    }

    @Test func `copies of who takes part`() {
        let members = (1...3).map { Member(id: PeerID($0), name: "m\($0)", host: "10.0.0.\($0)", port: 2380) }
        let configurations = StoreCorpus.configurations.compactMap { Configuration(decoding: $0) } + [.empty]
        let corpus = configurations.enumerated().map { number, configuration in
            MembersCopy(cluster: number % 2 == 0 ? 7 : nil, configuration: configuration, members: members).encode()
        }
        #expect(corpus.allSatisfy { MembersCopy(decoding: $0) != nil })
        fuzz("members", corpus) { bytes in
            // With a sum that fits: else what it covers is never looked at.
            let body = Array(bytes.dropLast(8))
            var sum = ByteWriter()
            sum.put(fixed: StateStore.sum([body]))
            for bytes in [bytes, body + sum.bytes] {
                guard let copy = MembersCopy(decoding: bytes) else { continue }
                #expect(MembersCopy(decoding: copy.encode()) == copy)
            }
        }
    }

    /// A log as a witness keeps it, and one of many entries: more than one page of a segment.
    @Test(arguments: [true, false]) func `logs of witnesses and long logs`(_ isWitness: Bool) throws {
        let configuration = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)], witness: PeerID(3))
        let path = try temporaryDirectory()
        defer { remove(path) }
        let data = [UInt8](repeating: 9, count: 100)
        let entries = (1...500).map { number in
            isWitness
                ? Entry(term: Term(2), index: LogIndex(UInt64(number)), kind: .stripped)
                : Entry(term: Term(2), index: LogIndex(UInt64(number)), data: data)
        }
        do {
            let disk = try ReplicaDisk(path: path, initial: configuration)
            for (number, start) in stride(from: 0, to: 500, by: 50).enumerated() {
                let state = HardState(term: Term(2), vote: PeerID(2), commit: LogIndex(UInt64(start)))
                let part = Array(entries[start..<start + 50])
                try disk.log.save([
                    Save(id: SaveID(rawValue: UInt64(number + 1)), hardState: state, entries: part, snapshot: nil)
                ])
            }
        }
        let segment = path + "/raft.log/" + String(repeating: "0", count: 15) + "1.log"
        let whole = try bytes(of: segment)
        let used = (whole.lastIndex { $0 != 0 } ?? 0) + 1
        let front = Array(whole.prefix((used + 4095) / 4096 * 4096))
        let mark = try bytes(of: path + "/raft.mark")
        #expect(used > (isWitness ? 8_000 : 50_000))
        try fuzz("long logs", [front], count: 60) { changed in
            try open(path, configuration, segment, changed, front, mark, entries)
        }
    }

    /// A whole data directory, one of whose files was changed: it opens with less, or says why not.
    @Test func `logs and marks on the disk`() throws {
        let configuration = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])
        let path = try temporaryDirectory()
        defer { remove(path) }
        do {
            let disk = try ReplicaDisk(path: path, initial: configuration)
            let state = HardState(term: Term(2), vote: PeerID(2), commit: LogIndex(4))
            try disk.log.save([Save(id: SaveID(rawValue: 1), hardState: state, entries: entries, snapshot: nil)])
        }
        let segment = path + "/raft.log/" + String(repeating: "0", count: 15) + "1.log"
        let front = Array(try bytes(of: segment).prefix(4096))
        let mark = try bytes(of: path + "/raft.mark")
        try fuzz("log", [front], count: 150) { changed in try open(path, configuration, segment, changed, front, mark) }
        try fuzz("mark", [mark], count: 100) { changed in
            try open(path, configuration, path + "/raft.mark", changed, front, mark)
        }
    }

    private func open(
        _ path: String, _ configuration: Configuration, _ file: String, _ changed: [UInt8], _ front: [UInt8],
        _ mark: [UInt8], _ entries: [Entry] = entries
    ) throws {
        let folder = path + "/raft.log"
        for name in names(folder) where !name.hasSuffix("0001.log") { unlink(folder + "/" + name) }
        let segment = folder + "/" + String(repeating: "0", count: 15) + "1.log"
        try write(front + Array(repeating: 0, count: 4096), to: segment)
        try write(mark, to: path + "/raft.mark")
        try write(changed, to: file)
        do throws(DiskError) {
            let restored = try ReplicaDisk(path: path, initial: configuration).restored
            #expect(restored.entries.elementsEqual(entries.prefix(restored.entries.count)))
        } catch { #expect(!"\(error)".isEmpty) }
        for name in names(path) where name.hasPrefix("raft.log.damaged") { remove(path + "/" + name) }
    }
}

private func temporaryDirectory() throws -> String {
    var template = Array("/tmp/tern-fuzz-XXXXXX".utf8CString)
    return try #require(mkdtemp(&template).map { String(cString: $0) })
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

private func remove(_ path: String) {
    for name in names(path) { remove(path + "/" + name) }
    if rmdir(path) != 0 { unlink(path) }
}

private func bytes(of path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var all: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&block, 1, block.count, file), count > 0 { all += block[..<count] }
    return all
}

private func write(_ bytes: [UInt8], to path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
}
