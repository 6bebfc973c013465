// The etcd face as programs use it: our own gRPC client for every call, against one member.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import Raft
import Testing

@Suite(.serialized) struct EtcdTests {
    @Test func `keys are put, ranged, deleted and read back in time`() async throws {
        let face = try await Face()
        for i in 0..<5 { try await face.put("k\(i)", "v") }
        #expect(try await face.range("k", "l").keys == ["k0", "k1", "k2", "k3", "k4"])
        var writer = ProtobufWriter()
        writer.string(1, "k1")
        writer.string(2, "k3")
        var reader = ProtobufReader(try await face.channel.unary("/etcdserverpb.KV/DeleteRange", writer.bytes))
        var deleted: Int64 = 0
        while try reader.next() { if reader.field == 2 { deleted = try reader.int64() } }
        #expect(deleted == 2)
        #expect(try await face.range("k", "l").count == 3)
        #expect(try await face.range("k", "l", revision: 3).keys == ["k0", "k1"])
        await #expect(throws: GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision is a future revision")) {
            try await face.range("k", revision: 99)
        }
        await #expect(throws: GRPCStatus(.invalidArgument, "etcdserver: key is not provided")) {
            try await face.range("")
        }
        try await face.end()
    }

    @Test func `a watch is told of what was and of what comes`() async throws {
        let face = try await Face()
        try await face.put("w/1", "a")
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        var create = ProtobufWriter()
        create.message(1) {
            $0.string(1, "w/"); $0.string(2, "w0"); $0.int64(3, 2)
        }
        call.send(create.bytes)
        try await face.put("w/2", "b")
        var seen: [String] = []
        while seen.count < 2, let message = try await call.next() {
            var reader = ProtobufReader(message)
            while try reader.next() {
                guard reader.field == 11 else { continue }
                var event = try reader.message()
                while try event.next() {
                    guard event.field == 2 else { continue }
                    var record = try event.message()
                    while try record.next() { if record.field == 1 { seen.append(try record.string()) } }
                }
            }
        }
        #expect(seen == ["w/1", "w/2"])
        call.cancel()
        try await face.end()
    }

    @Test func `outside clients cannot write below a read-only prefix`() async throws {
        let face = try await Face(readOnly: Key("/registry/"))
        await #expect(throws: GRPCStatus(.permissionDenied, "etcdserver: permission denied")) {
            try await face.put("/registry/pods/x", "v")
        }
        try await face.put("/other", "v")
        #expect(try await face.range("/other").count == 1)
        try await face.end()
    }

    @Test func `outside clients cannot end a lease that holds keys of a read-only prefix`() async throws {
        let face = try await Face(readOnly: Key("/registry/"))
        let kept = try await face.replica.grantLease(.none, ttlSeconds: 60).id
        let own = try await face.replica.grantLease(.none, ttlSeconds: 60).id
        _ = try await face.replica.propose(
            Txn(success: [.put(Key("/registry/events/x"), [1], lease: kept), .put(Key("/own"), [1], lease: own)]))
        await #expect(throws: GRPCStatus(.permissionDenied, "etcdserver: permission denied")) {
            try await face.revoke(kept)
        }
        try await face.revoke(own)
        #expect(face.replica.view().get(Key("/registry/events/x")) != nil)
        #expect(face.replica.view().get(Key("/own")) == nil)
        try await face.end()
    }

    @Test func `a client that has said its last word still hears that its lease was renewed`() async throws {
        let face = try await Face()
        let lease = try await face.replica.grantLease(.none, ttlSeconds: 60)
        var request = ProtobufWriter()
        request.int64(1, lease.id.rawValue)
        let call = try await face.channel.serverStream("/etcdserverpb.Lease/LeaseKeepAlive", request.bytes)
        var lifetimes: [Int64] = []
        while let message = try await call.next() {
            var reader = ProtobufReader(message)
            while try reader.next() { if reader.field == 3 { lifetimes.append(try reader.int64()) } }
        }
        #expect(lifetimes == [60])
        try await face.end()
    }

    @Test func `events of one revision come in fragments to who wants them`() async throws {
        let face = try await Face()
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        var create = ProtobufWriter()
        create.message(1) {
            $0.string(1, "f/"); $0.string(2, "f0"); $0.int64(3, 1); $0.bool(8, true)
        }
        call.send(create.bytes)
        let value = [UInt8](repeating: 1, count: 500_000)
        let puts = (0..<8).map { Op.put(Key("f/\($0)"), value) }
        _ = try await face.replica.propose(Txn(success: puts))
        var (events, fragments) = (0, 0)
        while events < 8, let message = try await call.next() {
            var reader = ProtobufReader(message)
            while try reader.next() {
                if reader.field == 7, try reader.bool() { fragments += 1 }
                if reader.field == 11 { events += 1 }
            }
        }
        #expect(events == 8 && fragments == 2)
        call.cancel()
        try await face.end()
    }
}
