// What etcd's clients send: requests, messages of streams, HTTP/2 frames, and the files that a store is restored from.
// Each is taken or refused with a status; what is taken is carried out and leaves a sound store.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import NetGRPC
import Raft
import Testing

private func bytes(_ build: (inout ProtobufWriter) -> Void) -> [UInt8] {
    var writer = ProtobufWriter()
    build(&writer)
    return writer.bytes
}

/// A message of each kind, with most fields that it has.
private enum Requests {
    static let range = bytes { range in
        range.string(1, "key")
        range.string(2, "kez")
        for (field, value) in [(3, 10), (4, 2), (5, 1), (6, 3), (7, 1), (8, 1), (10, 1), (11, 9), (12, 1), (13, 9)] {
            range.int(field, value)
        }
    }
    static let put = bytes { put in
        put.string(1, "key")
        put.string(2, "value")
        put.bool(4, true)
    }
    static let delete = bytes { delete in
        delete.string(1, "key")
        delete.byteArray(2, [0])
        delete.bool(3, true)
    }
    static let txn = bytes { txn in
        for target in 0..<5 {
            txn.message(1) { compare in
                compare.int(1, target % 4)
                compare.int(2, target)
                compare.string(3, "key")
                compare.int(4 + min(target, 2), 1)
                if target == 3 { compare.string(7, "value") }
                compare.string(64, "kez")
            }
        }
        txn.message(2) {
            $0.message(2) {
                $0.string(1, "key"); $0.string(2, "v")
            }
        }
        txn.message(2) {
            $0.message(3) {
                $0.string(1, "a"); $0.string(2, "b")
            }
        }
        txn.message(3) { op in
            op.message(4) { inner in
                inner.message(2) {
                    $0.message(1) {
                        $0.string(1, "key"); $0.int(4, 1)
                    }
                }
                inner.message(3) {
                    $0.message(2) {
                        $0.string(1, "other"); $0.string(2, "v")
                    }
                }
            }
        }
    }
    static let watch = bytes { watch in
        watch.message(1) { create in
            create.string(1, "a")
            create.string(2, "b")
            create.int(3, 1)
            create.bool(4, true)
            create.packed(5, [0, 1])
            create.bool(6, true)
            create.int(7, 4)
            create.bool(8, true)
        }
    }
    static let cancel = bytes { $0.message(2) { $0.int(1, 4) } }
    static let progress = bytes { $0.message(3) { _ in } }
    static let numbers = bytes { message in
        for field in 1...4 { message.int(field, field) }
    }
    static let urls = bytes { $0.strings(1, ["http://127.0.0.1:1"]) }
    static let all = [range, put, delete, txn, watch, cancel, progress, numbers, urls]
}

@Suite(.serialized) struct EtcdFuzzTests {
    private func refused(_ body: () throws(GRPCStatus) -> Void) {
        do throws(GRPCStatus) { try body() } catch {
            #expect([.internal, .invalidArgument].contains(error.code), "\(error)")
        }
    }

    @Test func `requests of etcd's clients, and what they do to a state`() {
        var start = StateMachine()
        var index: UInt64 = 0
        func apply(_ txn: Txn, _ machine: inout StateMachine) {
            index += 1
            let id = ProposalID(client: ClientID(rawValue: 1), serial: index, settledBelow: 0)
            let proposal = EntryFormat.encode(ClientProposal(id: id, command: .txn(txn)))
            _ = machine.apply(
                Entry(
                    term: Term(1), index: machine.appliedIndex.next,
                    data: EntryFormat.entry(logTime: 5, proposal: proposal)))
        }
        for i in 0..<5 { apply(Txn(success: [.put(Key("key\(i)"), [1])]), &start) }
        fuzz("etcd requests", Requests.all) { bytes in
            let reader = ProtobufReader(bytes)
            refused { () throws(GRPCStatus) in _ = start.view.range(try EtcdRequests.range(reader).request) }
            var machine = start
            refused { () throws(GRPCStatus) in apply(Txn(success: [.put(try EtcdRequests.put(reader))]), &machine) }
            refused { () throws(GRPCStatus) in
                let (range, returnPrevious) = try EtcdRequests.delete(reader)
                apply(Txn(success: [.delete(range, returnPrevious: returnPrevious)]), &machine)
            }
            refused { () throws(GRPCStatus) in
                let txn = try EtcdRequests.txn(reader, operationsMax: 128)
                apply(txn, &machine)
                guard txn.readsPresentOnly else { return }
                do throws(Refusal) { _ = try ReadTxn(txn, in: machine.view).run() } catch { return }
            }
            refused { () throws(GRPCStatus) in _ = try EtcdWatchRequest(bytes) }
            refused { () throws(GRPCStatus) in
                _ = try EtcdRequests.numbers(bytes)
                _ = try EtcdRequests.strings(1, bytes).map { EtcdURL($0) }
                _ = try EtcdRequests.message(1, bytes)
            }
            #expect(machine.view.revision >= start.view.revision)
        }
    }

    // MARK: Frames

    private struct Echo: GRPCService {
        func handle(_ call: GRPCServerCall) {
            guard call.path == "/t.T/Stream" else { return call.onUnary { call.reply($0) } }
            call.onMessageWhileWritable { call.send($0) }
            call.onEnd { call.finish() }
        }
    }

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ body: [UInt8]) -> [UInt8] {
        [0, UInt8(body.count >> 8), UInt8(body.count & 255), type, flags, 0, 0, 0, stream] + body
    }

    private static func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }

    /// A connection's first bytes, with a call of each kind and a frame of each kind.
    private static let frames: [[UInt8]] = ["/t.T/Echo", "/t.T/Stream"].map { path in
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        let head: [UInt8] =
            [0x83, 0x86, 0x04] + text(path) + [0x01] + text("here") + [0x0f, 0x10] + text("application/grpc")
        let message: [UInt8] = [0, 0, 0, 0, 3, 1, 2, 3]
        return preface + frame(4, 0, 0, [0, 4, 0, 0, 3, 232, 0, 1, 0, 0, 0, 0]) + frame(1, 4, 1, head)
            + frame(0, 1, 1, message) + frame(8, 0, 0, [0, 0, 0, 100]) + frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
            + frame(1, 0, 3, Array(head.prefix(8))) + frame(9, 4, 3, Array(head.dropFirst(8)))
            + frame(0, 8, 3, [2] + message + [0, 0]) + frame(8, 0, 3, [0, 0, 1, 0]) + frame(0, 1, 3, message)
            + frame(2, 0, 5, [0, 0, 0, 0, 9]) + frame(1, 5, 5, head) + frame(3, 0, 5, [0, 0, 0, 8])
            + frame(4, 1, 0, []) + frame(7, 0, 0, [0, 0, 0, 5, 0, 0, 0, 0])
    }

    /// Whole frames of known types and nothing else.
    private func isSound(_ answer: [UInt8]) -> Bool {
        var rest = answer[...]
        while rest.count >= 9 {
            let head = Array(rest.prefix(9))
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            guard length <= 16_384, head[3] <= 9, rest.count >= 9 + length else { return false }
            rest = rest.dropFirst(9 + length)
        }
        return rest.isEmpty
    }

    @Test func `frames of HTTP/2 on a connection of gRPC`() throws {
        var settings = GRPCServerConfiguration(address: .unix(path: ""))
        settings.messageBytesMax = 1000
        settings.streamsMax = 4
        try fuzz("frames", Self.frames, count: 3_000) { bytes in
            let channel = EmbeddedChannel()
            try channel.pipeline.syncOperations.addHandler(GRPCServer.handler(settings, Echo()))
            try channel.connect(to: SocketAddress(unixDomainSocketPath: "/nowhere")).wait()
            // Cut anywhere, as sockets cut.
            let middle = bytes.count / 2
            for part in [bytes[..<middle], bytes[middle...]] where channel.isActive {
                do { try channel.writeInbound(ByteBuffer(bytes: part)) } catch { #expect(!"\(error)".isEmpty) }
                channel.embeddedEventLoop.run()
            }
            var answer: [UInt8] = []
            while let part = try channel.readOutbound(as: ByteBuffer.self) { answer += Array(part.readableBytesView) }
            #expect(isSound(answer), "\(bytes)")
            _ = try channel.finish(acceptAlreadyClosed: true)
        }
    }

    // MARK: A member

    private struct Store {
        let replica: Replica
        let folder: String

        init() async throws {
            var template = Array("/tmp/tern-fuzz-XXXXXX".utf8CString)
            folder = try #require(mkdtemp(&template).map { String(cString: $0) })
            var configuration = ReplicaConfiguration.single(dataDirectory: folder + "/data")
            configuration.silence()
            replica = try Replica(configuration)
            try await replica.start()
            for i in 0..<50 {
                _ = try await replica.propose(
                    Txn(success: [.put(Key("k/\(i % 30)"), [UInt8](repeating: 7, count: i * 20))]))
            }
            let lease = try await replica.grantLease(.none, ttlSeconds: 600).id
            _ = try await replica.propose(
                Txn(success: [.put(Key("leased"), [1], lease: lease), .delete(Key("k/3"))]))
        }

        func end() async {
            await replica.stop()
            remove(folder)
        }

        private func remove(_ path: String) {
            if let handle = opendir(path) {
                while let entry = readdir(handle) {
                    let name = withUnsafePointer(to: &entry.pointee.d_name) {
                        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                    }
                    if name != ".", name != ".." { remove(path + "/" + name) }
                }
                closedir(handle)
            }
            if rmdir(path) != 0 { unlink(path) }
        }
    }

    private static let methods = [
        "etcdserverpb.KV/Range", "etcdserverpb.KV/RangeStream", "etcdserverpb.KV/Put", "etcdserverpb.KV/DeleteRange",
        "etcdserverpb.KV/Txn", "etcdserverpb.KV/Compact", "etcdserverpb.Lease/LeaseGrant",
        "etcdserverpb.Lease/LeaseRevoke", "etcdserverpb.Lease/LeaseTimeToLive", "etcdserverpb.Lease/LeaseLeases",
        "etcdserverpb.Lease/LeaseKeepAlive", "etcdserverpb.Watch/Watch", "etcdserverpb.Cluster/MemberList",
        "etcdserverpb.Cluster/MemberUpdate", "etcdserverpb.Cluster/MemberRemove",
        "etcdserverpb.Cluster/MemberPromote", "etcdserverpb.Maintenance/Status", "etcdserverpb.Maintenance/Alarm",
        "etcdserverpb.Maintenance/HashKV", "etcdserverpb.Maintenance/Hash", "etcdserverpb.Maintenance/MoveLeader",
        "etcdserverpb.Auth/Authenticate", "v3lockpb.Lock/Unlock", "v3electionpb.Election/Proclaim",
        "v3electionpb.Election/Leader", "v3electionpb.Election/Resign", "grpc.health.v1.Health/Check"
    ]

    @Test func `calls of a member over a socket`() async throws {
        let store = try await Store()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = EtcdServer(
            store.replica, EtcdConfiguration(clusterID: 1), host: "127.0.0.1", port: 0, tls: nil, group: group,
            logger: store.replica.configuration.logger)
        let port = try #require(try await server.start().first)
        let channel = GRPCChannel(target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: group)
        for seed in seeds(count: 1_000) {
            var mutator = Mutator(seed: UInt64(seed))
            let method = Self.methods[seed % Self.methods.count]
            let call = try await channel.open("/\(method)", timeout: .seconds(20))
            for _ in 0..<Int.random(in: 1...2, using: &mutator) { call.send(mutator.changed(Requests.all)) }
            call.finishSending()
            do throws(GRPCStatus) {
                // A watch goes on when its client has said its last word.
                if method.hasSuffix("Watch") { call.cancel() }
                while try await call.next() != nil {}
            } catch { #expect(error.code != .unavailable && error.code != .deadlineExceeded, "\(method): \(error)") }
        }
        let alive = try await channel.unary("/etcdserverpb.KV/Put", bytes { $0.string(1, "still") })
        #expect(!alive.isEmpty)
        await channel.close()
        await server.stop(grace: .milliseconds(50))
        await store.end()
        try await group.shutdownGracefully()
    }

    @Test func `files that a store is restored from`() async throws {
        let store = try await Store()
        let path = store.folder + "/snapshot"
        let export = try #require(await store.replica.export())
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        try SnapshotWriter(export).writeWithDigest(to: descriptor)
        let size = Int(lseek(descriptor, 0, SEEK_END))
        var whole = [UInt8](repeating: 0, count: size)
        #expect(pread(descriptor, &whole, size, 0) == size)
        #expect(try SnapshotContents(path: path).records.count == 30)
        var refusals = 0
        fuzz("snapshot files", [whole], count: 400) { changed in
            #expect(ftruncate(descriptor, 0) == 0 && pwrite(descriptor, changed, changed.count, 0) == changed.count)
            if changed != whole { #expect(throws: (any Error).self) { try SnapshotContents(path: path) } }
            // Without the digest nothing may trap, and what is read is a store.
            do {
                let contents = try SnapshotContents(path: path, isChecked: false)
                #expect(contents.revision >= contents.compactRevision)
            } catch { refusals += 1 }
        }
        #expect(refusals > 0)
        close(descriptor)
        await store.end()
    }
}
