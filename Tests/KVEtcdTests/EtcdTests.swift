// The etcd face as clients use it: our own gRPC client for every call, and Debian's etcdctl where the machine has it.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import Testing

private func removeTree(_ path: String) {
    guard let directory = opendir(path) else { unlink(path); return }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { removeTree(path + "/" + name) }
    }
    closedir(directory)
    rmdir(path)
}

private struct Face {
    let directory: String
    let replica: Replica
    let server: GRPCServer
    let channel: GRPCChannel
    let group: MultiThreadedEventLoopGroup
    let port: Int

    init(readOnly: Key? = nil) async throws {
        var template = Array("/tmp/tern-etcd-XXXXXX".utf8CString)
        directory = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp/tern-etcd"
        var configuration = ReplicaConfiguration.single(dataDirectory: directory)
        configuration.silence()
        replica = try Replica(configuration)
        try await replica.start()
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var etcd = EtcdConfiguration(clusterID: 7)
        etcd.readOnlyPrefix = readOnly
        server = GRPCServer(
            configuration: GRPCServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)),
            service: EtcdService(replica, etcd), group: group)
        port = try await server.start()
        channel = GRPCChannel(target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: group)
    }

    func end() async throws {
        await channel.close()
        await server.stop(grace: .milliseconds(100))
        await replica.stop()
        try await group.shutdownGracefully()
        removeTree(directory)
    }

    func put(_ key: String, _ value: String) async throws {
        var writer = ProtobufWriter()
        writer.string(1, key)
        writer.string(2, value)
        _ = try await channel.unary("/etcdserverpb.KV/Put", writer.bytes)
    }

    /// Keys and the count of a prefix, at a revision.
    func range(_ key: String, _ end: String = "", revision: Int64 = 0) async throws -> (keys: [String], count: Int64) {
        var writer = ProtobufWriter()
        writer.string(1, key)
        writer.string(2, end)
        writer.int64(4, revision)
        var reader = ProtobufReader(try await channel.unary("/etcdserverpb.KV/Range", writer.bytes))
        var keys: [String] = []
        var count: Int64 = 0
        while try reader.next() {
            if reader.field == 4 { count = try reader.int64() }
            guard reader.field == 2 else { continue }
            var record = try reader.message()
            while try record.next() { if record.field == 1 { keys.append(try record.string()) } }
        }
        return (keys, count)
    }

    /// What etcdctl prints, both streams.
    func etcdctl(_ arguments: String) -> String {
        let command = "ETCDCTL_API=3 timeout 10 etcdctl --endpoints=127.0.0.1:\(port) \(arguments) 2>&1"
        guard let pipe = popen(command, "r") else { return "" }
        defer { pclose(pipe) }
        var output: [UInt8] = []
        while case let byte = fgetc(pipe), byte != EOF { output.append(UInt8(truncatingIfNeeded: byte)) }
        return String(decoding: output, as: UTF8.self)
    }
}

private let hasEtcdctl = access("/usr/bin/etcdctl", X_OK) == 0

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

    @Test(.enabled(if: hasEtcdctl)) func `etcdctl works against it`() async throws {
        let face = try await Face()
        #expect(face.etcdctl("put a 1") == "OK\n")
        #expect(face.etcdctl("get a") == "a\n1\n")
        #expect(face.etcdctl("put b 2 --prev-kv") == "OK\n")
        #expect(face.etcdctl("get --prefix '' --keys-only") == "a\n\nb\n\n")
        #expect(face.etcdctl("del a") == "1\n")
        let lease = face.etcdctl("lease grant 60").split(separator: " ")
        #expect(lease.count > 1 && lease[0] == "lease")
        if lease.count > 1 {
            #expect(face.etcdctl("put --lease=\(lease[1]) leased v") == "OK\n")
            #expect(face.etcdctl("lease timetolive \(lease[1]) --keys").contains("leased"))
            #expect(face.etcdctl("lease revoke \(lease[1])").contains("revoked"))
        }
        #expect(face.etcdctl("get leased") == "")
        #expect(face.etcdctl("watch b --rev=2 & sleep 2; kill %1").contains("b\n2"))
        #expect(face.etcdctl("endpoint health").contains("is healthy"))
        #expect(face.etcdctl("endpoint status").contains("3.6.0"))
        #expect(face.etcdctl("member list").contains("m1"))
        #expect(face.etcdctl("compact 3").contains("compacted revision 3"))
        #expect(face.etcdctl("get b --rev=2").contains("required revision has been compacted"))
        try await face.end()
    }
}
