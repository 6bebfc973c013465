// The way out: what etcdctl saves from tern, real etcd can be started on, with every key as it was. And the way back.
import Dispatch
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct SnapshotTests {
    /// Some history of every kind: overwritten, deleted, large, leased, many in one revision.
    private func fill(_ face: Face, keys: Int = 300) async throws {
        for i in 0..<keys { try await face.put("key/\(i % 200)", String(repeating: "v\(i)", count: i % 50 + 1)) }
        try await face.put("large", String(repeating: "x", count: 300_000))
        for i in 0..<40 { _ = try await face.replica.propose(Txn(success: [.delete(Key("key/\(i)"))])) }
        let puts = (0..<60).map { Op.put(Key("txn/\($0)"), Array("t\($0)".utf8)) }
        _ = try await face.replica.propose(Txn(success: puts))
        let lease = try await face.replica.grantLease(.none, ttlSeconds: 3600)
        _ = try await face.replica.propose(Txn(success: [.put(Key("leased"), [1], lease: lease.id)]))
    }

    /// Without what it logs.
    private func etcdctl(_ endpoint: String, _ arguments: String) -> String {
        Transcript.plain(
            Shell.run("etcdctl \(arguments)", environment: ["ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint]))
    }

    /// All keys with their counters, without the header that says who answered.
    private func everything(_ endpoint: String, revision: Int64 = 0) -> String {
        etcdctl(endpoint, #"get --prefix "" --rev=\#(revision) -w json | sed 's/.*"kvs"/"kvs"/'"#)
    }

    @Test(.enabled(if: Shell.has("etcdctl") && Shell.has("etcd")), arguments: [0, 120])
    func `etcd starts on a snapshot of tern and has the same keys`(_ compacted: Int64) async throws {
        let face = try await Face()
        try await fill(face)
        if compacted > 0 { try await face.replica.compact(to: Revision(compacted)) }
        let folder = Shell.temporaryDirectory()
        #expect(etcdctl(face.endpoint, "snapshot save \(folder)/snap > /dev/null") == "")
        let status = etcdctl(face.endpoint, "snapshot status \(folder)/snap -w json")
        #expect(status.contains("\"revision\":\(face.replica.view().revision)"), "\(status)")
        let restored = etcdctl(
            face.endpoint,
            "snapshot restore \(folder)/snap --name m1 --data-dir \(folder)/data --initial-cluster m1=http://127.0.0.1:1"
                + " --initial-advertise-peer-urls http://127.0.0.1:1 > \(folder)/log || cat \(folder)/log")
        #expect(restored == "")
        let etcd = try RealEtcd(data: "\(folder)/data")
        let here = everything(face.endpoint)
        #expect(here.contains("kvs") && everything(etcd.endpoint) == here)
        #expect(everything(etcd.endpoint, revision: 250) == everything(face.endpoint, revision: 250))
        let past = everything(etcd.endpoint, revision: 100)
        #expect(past == everything(face.endpoint, revision: 100))
        #expect(past.contains("has been compacted") == (compacted > 0))
        #expect(etcdctl(etcd.endpoint, "lease list") == etcdctl(face.endpoint, "lease list"))
        etcd.end()
        Shell.remove(folder)
        try await face.end()
    }

    @Test func `clients that do not read their snapshots keep nobody else from having one`() async throws {
        let face = try await Face(etcd: { $0.snapshotStall = .milliseconds(300) })
        for i in 0..<4 { try await face.put("large/\(i)", String(repeating: "x", count: 1_000_000)) }
        var settings = GRPCChannelConfiguration()
        settings.receiveBufferBytesMax = 1000
        let idle = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: face.port, tls: nil), configuration: settings, group: face.group)
        var unread: [GRPCCall] = []
        for _ in 0..<2 { unread.append(try await idle.serverStream("/etcdserverpb.Maintenance/Snapshot", [])) }
        for call in unread { _ = try await call.next() }
        // Who reads, but is late itself, may be taken for one of them.
        try await eventually("there is room for another one") { try await snapshot(face) > 4_000_000 }
        await idle.close()
        try await face.end()
    }

    @Test func `who is late is sent the rest from aside, all of it in order`() async throws {
        let face = try await Face()
        for i in 0..<12 { try await face.put("large/\(i)", String(repeating: "\(i)", count: 500_000)) }
        var settings = GRPCChannelConfiguration()
        settings.receiveBufferBytesMax = 1000
        let late = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: face.port, tls: nil), configuration: settings, group: face.group)
        let call = try await late.serverStream("/etcdserverpb.Maintenance/Snapshot", [])
        var file = try blob(try await call.next() ?? [])
        try await eventually("the rest is put aside") { isHeld("\(face.directory)/snapshot-") }
        while let message = try await call.next() { file += try blob(message) }
        let path = "\(face.directory)/file"
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        #expect(file.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == file.count)
        close(descriptor)
        // With the right digest.
        #expect(try SnapshotContents(path: path).records.count == 12)
        try await eventually("the file is gone") { !isHeld("\(face.directory)/snapshot-") }
        await late.close()
        try await face.end()
    }

    private func blob(_ message: [UInt8]) throws -> [UInt8] {
        var reader = ProtobufReader(message)
        while try reader.next() { if reader.field == 3 { return try reader.byteArray() } }
        return []
    }

    /// This process has a file open whose name began so.
    private func isHeld(_ name: String) -> Bool {
        (0..<1024).contains { descriptor in
            var target = [UInt8](repeating: 0, count: 256)
            let count = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
            return count > 0 && String(decoding: target.prefix(count), as: UTF8.self).contains(name)
        }
    }

    /// Its bytes; 0: it was refused or given up.
    private func snapshot(_ face: Face) async throws -> Int {
        let call = try await face.channel.serverStream("/etcdserverpb.Maintenance/Snapshot", [])
        var bytes = 0
        do throws(GRPCStatus) {
            while let piece = try await call.next() { bytes += piece.count }
        } catch { return 0 }
        return bytes
    }

    @Test func `snapshots of clients that are gone are not made, and count until that is known`() async throws {
        let face = try await Face()
        try await face.put("a", "1")
        let path = "/etcdserverpb.Maintenance/Snapshot"
        // Nobody works on them now.
        let gate = DispatchSemaphore(value: 0)
        let threads = NIOSingletons.blockingPoolThreadCountSuggestion
        for _ in 0..<threads { NIOThreadPool.singleton.submit { _ in gate.wait() } }
        for _ in 0..<2 {
            let call = try await face.channel.serverStream(path, [])
            // Behind it on the same connection: it was heard.
            _ = try await face.range("a")
            call.cancel()
        }
        _ = try await face.range("a")
        let third = try await face.channel.serverStream(path, [], timeout: .seconds(60))
        let refusal = await #expect(throws: GRPCStatus.self) { _ = try await third.next() }
        #expect(refusal?.code == .resourceExhausted)
        for _ in 0..<threads { gate.signal() }
        try await eventually("there is room for another one") { try await snapshot(face) > 0 }
        try await face.end()
    }

    @Test func `nothing is written of a snapshot that nobody wants`() async throws {
        let face = try await Face()
        try await fill(face, keys: 10)
        let export = try #require(await face.replica.export())
        let descriptor = open("\(face.directory)/file", O_RDWR | O_CREAT, 0o600)
        #expect(throws: (any Error).self) { _ = try SnapshotWriter(export, isWanted: { false }).write(to: descriptor) }
        close(descriptor)
        try await face.end()
    }

    @Test func `the file is read back as it was written`() async throws {
        let face = try await Face()
        try await fill(face, keys: 3000)
        let export = try #require(await face.replica.export())
        let path = "\(face.directory)/file"
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        let bytes = try SnapshotWriter(export).write(to: descriptor)
        close(descriptor)
        let reader = try BoltReader(path: path)
        var revisions: [[UInt8]] = []
        let hasKeys = try reader.forEach("key") { key, _ in
            revisions.append(key)
            return true
        }
        // 3000 puts, one large, 40 deletions, 60 at once, one leased.
        #expect(hasKeys && revisions.count == 3102)
        #expect(zip(revisions, revisions.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
        #expect(try !reader.forEach("nothing") { _, _ in true })
        #expect(bytes % 4096 == 0)
        try await face.end()
    }
}
