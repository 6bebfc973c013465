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
}
