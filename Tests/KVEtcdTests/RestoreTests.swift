// The way back: files of tern and of etcd become new clusters; damaged and hostile files become errors.
import Glibc
import KVCore
import KVDisk
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct RestoreTests {
    private func save(_ face: Face, to path: String) async throws {
        let export = try #require(await face.replica.export())
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        try SnapshotWriter(export).writeWithDigest(to: descriptor)
        close(descriptor)
    }

    private func restore(_ contents: SnapshotContents, to directory: String) throws {
        let me = Member(id: PeerID(0x8334_a407_e5b0_1cb2), name: "m1", host: "127.0.0.1", port: 2380)
        try contents.begin(after: 1000).write(to: directory, members: [me], me: me.id, cluster: 77)
    }

    @Test func `a new cluster has the keys of the wished revision and makes every watcher read anew`() async throws {
        let old = try await Face()
        for i in 0..<20 { try await old.put("k/\(i)", "v\(i)") }
        let lease = try await old.replica.grantLease(.none, ttlSeconds: 600)
        _ = try await old.replica.propose(Txn(success: [.put(Key("leased"), [1], lease: lease.id)]))
        let before = old.replica.view().revision
        try await old.put("k/3", "changed")
        _ = try await old.replica.propose(Txn(success: [.delete(Key("k/4"))]))
        let folder = Shell.temporaryDirectory()
        try await save(old, to: "\(folder)/snap")
        let contents = try SnapshotContents(path: "\(folder)/snap", target: .revision(before))
        #expect(contents.revision == Revision(before.rawValue + 2) && contents.target == before)
        #expect(contents.members.first?.contains("\"m1\"") == true && contents.leases.count == 1)
        try restore(contents, to: "\(folder)/data")
        try await old.end()

        let new = try await Face(directory: "\(folder)/data")
        let view = new.replica.view()
        #expect(view.revision == Revision(before.rawValue + 1002) && view.compactRevision == view.revision)
        #expect(view.keyCount == 21 && view.get(Key("k/3"))?.value == Array("v3".utf8))
        #expect(view.get(Key("k/4"))?.modRevision == Revision(6))
        #expect(new.replica.configuration.clusterID == 77)
        let told = Mutex<WatchDelivery?>(nil)
        _ = new.replica.watch(.all, after: before) { delivery in told.withLock { $0 = $0 ?? delivery } }
        try await new.replica.revokeLease(lease.id)
        #expect(told.withLock { $0 } == .compacted(view.revision))
        #expect(new.replica.view().get(Key("leased")) == nil)
        try await new.end(keepsData: true)
        // It starts again from what it wrote since.
        let again = try await Face(directory: "\(folder)/data")
        #expect(again.replica.view().keyCount == 20)
        try await again.end()
        Shell.remove(folder)
    }

    /// The wall clock's second, in milliseconds: once the next one has begun, so that it is over.
    private func secondThatIsOver() async throws -> Int64 {
        let second = Int64(time(nil))
        while Int64(time(nil)) == second { try await Task.sleep(for: .milliseconds(5)) }
        return second * 1000 + 999
    }

    @Test func `a file knows what held at the end of each second, also of those that are not on disk yet`() async throws
    {
        let old = try await Face()
        let before = try await secondThatIsOver()
        var ends: [(time: Int64, revision: Revision)] = []
        for i in 0..<3 {
            for j in 0..<5 { try await old.put("k/\(i)/\(j)", "v") }
            let revision = old.replica.view().revision
            ends.append((try await secondThatIsOver(), revision))
        }
        try await old.put("last", "v")
        let folder = Shell.temporaryDirectory()
        let path = "\(folder)/snap"
        try await save(old, to: path)
        for end in ends {
            let contents = try SnapshotContents(path: path, target: .time(end.time))
            #expect(contents.target == end.revision)
            #expect(contents.records.count == Int(end.revision.rawValue) - 1)
        }
        #expect(try SnapshotContents(path: path, target: .time(.max)).records.count == 16)
        #expect(throws: (any Error).self) { try SnapshotContents(path: path, target: .time(before)) }
        // The same from the disk of a stopped member, and what was compacted is not asked for.
        let middle = ends[1].revision
        try await old.replica.compact(to: middle)
        try await old.end(keepsData: true)
        unlink(path)
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        try SnapshotWriter(try StoppedStore(old.directory).export()).writeWithDigest(to: descriptor)
        close(descriptor)
        for end in ends[1...] {
            #expect(try SnapshotContents(path: path, target: .time(end.time)).target == end.revision)
        }
        #expect(throws: (any Error).self) { try SnapshotContents(path: path, target: .time(ends[0].time)) }
        Shell.remove(folder)
        Shell.remove(old.directory)
    }

    /// The keys k/9, k/10, ... were written at those revisions, and each at a time of its own.
    private func directory(_ folder: String, _ times: [Int64]) throws {
        let me = Member(id: PeerID(1), name: "m1", host: "127.0.0.1", port: 2380)
        try NewStore(records: OrderedTree(), leases: [], revision: Revision(8)).write(
            to: folder, members: [me], me: me.id, cluster: 77)
        let disk = try ReplicaDisk(path: folder, initial: .empty, cluster: 77)
        var machine = disk.machine
        var commands = [Command.openSession]
        for i in times.indices { commands.append(.txn(Txn(success: [.put(Key("k/\(9 + i)"), [1])]))) }
        for (serial, command) in commands.enumerated() {
            let id = ProposalID(client: ClientID(rawValue: 5), serial: UInt64(serial), settledBelow: UInt64(serial))
            let data = EntryFormat.entry(
                logTime: Int64(serial), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
            _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data))
        }
        var changes = machine.takeChanges()
        changes.configuration = Configuration(voters: [me.id])
        changes.times = times.enumerated().map {
            RevisionTime(revision: Revision(Int64(9 + $0)), unixMilliseconds: $1)
        }
        try disk.state.write(changes)
        _ = try disk.state.checkpoint()
    }

    @Test func `of a clock that was set back the last time counts that it showed a second`() throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        // Set back after 10, and after 14.
        try directory(
            "\(folder)/data", [100_200, 101_500, 90_000, 91_400, 101_100, 102_000, 95_500, 104_000])
        let path = "\(folder)/snap"
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        try SnapshotWriter(try StoppedStore("\(folder)/data").export()).writeWithDigest(to: descriptor)
        close(descriptor)
        let expected: [(time: Int64, revision: Int64)] = [
            (90_999, 11), (91_999, 12), (94_999, 12), (95_999, 15), (101_999, 15), (103_999, 15), (104_999, 16)
        ]
        for (time, revision) in expected {
            let contents = try SnapshotContents(path: path, target: .time(time))
            #expect(contents.target == Revision(revision), "at \(time)")
            #expect(contents.records.count == Int(revision) - 8, "at \(time)")
        }
        #expect(throws: (any Error).self) { try SnapshotContents(path: path, target: .time(89_999)) }
    }

    @Test func `a stopped member is saved and recovered with everything in its log`() async throws {
        let folder = Shell.temporaryDirectory()
        let old = try await Face(directory: "\(folder)/data")
        for i in 0..<50 { try await old.put("k/\(i)", "v\(i)") }
        let revision = old.replica.view().revision
        await old.replica.halt()
        try await old.end(keepsData: true)
        do {
            let stopped = try StoppedStore("\(folder)/data")
            #expect(stopped.machine.revision == revision && stopped.machine.view.keyCount == 50)
            #expect(!stopped.isDamaged)
            let me = try #require(stopped.machine.sortedMembers.first)
            try stopped.begin(after: 500).write(to: "\(folder)/new", members: [me], me: me.id, cluster: 9)
            #expect(throws: (any Error).self) {
                try stopped.begin(after: 500).write(to: "\(folder)/data", members: [me], me: me.id, cluster: 9)
            }
        }
        let new = try await Face(directory: "\(folder)/new")
        #expect(new.replica.view().keyCount == 50)
        #expect(new.replica.view().revision.rawValue == revision.rawValue + 500)
        #expect(new.replica.configuration.clusterID == 9)
        try await new.end()
        Shell.remove(folder)
    }

    @Test func `a directory whose making was cut off is not started from, nor recovered`() async throws {
        let folder = Shell.temporaryDirectory()
        let me = Member(id: PeerID(1), name: "m1", host: "127.0.0.1", port: 2380)
        let store = NewStore(records: OrderedTree(), leases: [], revision: Revision(9))
        try store.write(to: "\(folder)/data", members: [me], me: me.id, cluster: 77)
        #expect(try StoppedStore("\(folder)/data").identity?.cluster == 77)
        rename("\(folder)/data/identity", "\(folder)/data/identity.pending")
        #expect(throws: ConfigurationError.self) { try StoppedStore("\(folder)/data") }
        await #expect(throws: ConfigurationError.self) { try await Face(directory: "\(folder)/data") }
        // A first start that was cut off left nothing that matters.
        Shell.remove("\(folder)/data")
        _ = Shell.run("mkdir \(folder)/data && touch \(folder)/data/identity.new")
        #expect(try StoreIdentity("\(folder)/data") == nil)
        try StoreIdentity(cluster: 5, member: me.id).write(to: "\(folder)/data")
        #expect(try StoreIdentity("\(folder)/data")?.cluster == 5)
        // Made again from the start it is whole.
        Shell.remove("\(folder)/data")
        try store.write(to: "\(folder)/data", members: [me], me: me.id, cluster: 78)
        #expect(try StoppedStore("\(folder)/data").identity?.cluster == 78)
        Shell.remove(folder)
    }

    @Test func `altered keys are not recovered, nor is a revision beyond the last one`() throws {
        let folder = Shell.temporaryDirectory()
        let members = [1, 2].map { Member(id: PeerID($0), name: "m\($0)", host: "127.0.0.1", port: 2380) }
        var records = OrderedTree()
        let value = Array("the value that is altered".utf8)
        records.put(
            KeyValue(
                key: Key("a"), value: value, createRevision: Revision(2), modRevision: Revision(2), version: 1))
        try NewStore(records: records, leases: [], revision: Revision(9)).write(
            to: "\(folder)/data", members: members, me: PeerID(1), cluster: 77)
        do {
            let stopped = try StoppedStore("\(folder)/data")
            for bump in [-1, Int64.max, 1 << 62] {
                #expect(throws: ConfigurationError.self) { try stopped.begin(after: bump) }
            }
        }
        // Everything in it is in the database too.
        unlink("\(folder)/data/state.sqlite-wal")
        var altered = try bytes(of: "\(folder)/data/state.sqlite")
        let place = try #require(
            (0..<altered.count - value.count).first { Array(altered[$0..<$0 + value.count]) == value })
        altered[place] ^= 1
        try write(altered, to: "\(folder)/data/state.sqlite")
        #expect(throws: ConfigurationError.self) { try StoppedStore("\(folder)/data") }
        Shell.remove(folder)
    }

    @Test(.enabled(if: Shell.has("etcdctl") && Shell.has("etcd"))) func `etcd's own snapshot is restored`() async throws
    {
        let etcd = try RealEtcd()
        let environment = ["ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": etcd.endpoint]
        let folder = Shell.temporaryDirectory()
        _ = Shell.run(
            """
            for i in $(seq 40); do etcdctl put a/$i v$i; done; etcdctl del a/7; etcdctl compact 20
            etcdctl lease grant 300; etcdctl snapshot save \(folder)/snap
            """, environment: environment)
        etcd.end()
        let contents = try SnapshotContents(path: "\(folder)/snap")
        #expect(contents.revision == Revision(42) && contents.compactRevision == Revision(20))
        #expect(contents.records.count == 39 && contents.leases.count == 1)
        #expect(contents.records.get(Key("a/40"))?.value == Array("v40".utf8))
        try restore(contents, to: "\(folder)/data")
        let new = try await Face(directory: "\(folder)/data")
        #expect(try await new.range("a/", "a0").count == 39)
        try await new.end()
        Shell.remove(folder)
    }

    @Test func `a snapshot with any byte altered is refused, and without its digest never crashes the reader`()
        async throws
    {
        let face = try await Face()
        for i in 0..<200 { try await face.put("k/\(i)", String(repeating: "v", count: i * 7)) }
        let path = "\(face.directory)/snap"
        try await save(face, to: path)
        try await face.end(keepsData: true)
        let original = try bytes(of: path)
        var random = SeededGenerator(seed: 11)
        var refused = 0
        for _ in 0..<300 {
            var altered = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                altered[Int.random(in: 0..<altered.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Int.random(in: 0..<8, using: &random) == 0 {
                altered.removeLast(Int.random(in: 1..<altered.count, using: &random))
            }
            guard altered != original else { continue }
            try write(altered, to: path)
            #expect(throws: (any Error).self) { try SnapshotContents(path: path) }
            do { _ = try SnapshotContents(path: path, isChecked: false) } catch { refused += 1 }
        }
        #expect(refused > 10)
        Shell.remove(face.directory)
    }

    private func bytes(of path: String) throws -> [UInt8] {
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        var bytes = [UInt8](repeating: 0, count: ftell(file))
        rewind(file)
        #expect(fread(&bytes, 1, bytes.count, file) == bytes.count)
        return bytes
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = try #require(fopen(path, "w"))
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}
