// What a client may not ask, and what a member cannot do, in the words that etcd's clients match: code and text.
import Dispatch
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import Raft
import Synchronization
import Testing

@Suite(.serialized) struct ErrorTests {
    private typealias Refusal = (method: String, message: [UInt8], status: GRPCStatus)

    private func compare(_ relation: Int, _ target: Int) -> [UInt8] {
        request { txn in
            txn.message(1) { compare in
                compare.int(1, relation)
                compare.int(2, target)
                compare.string(3, "k")
            }
        }
    }

    private func invalid(_ text: String) -> GRPCStatus { GRPCStatus(.invalidArgument, "etcdserver: \(text)") }

    private var ofRequests: [Refusal] {
        [
            ("KV/Txn", compare(9, 0), invalid("invalid compare")),
            ("KV/Txn", compare(0, 9), invalid("invalid compare")),
            ("KV/Txn", request { $0.message(2) { _ in } }, invalid("key not found")),
            (
                "KV/Range",
                request {
                    $0.string(1, "k"); $0.int(5, 9)
                }, invalid("invalid sort option")
            ),
            (
                "KV/RangeStream",
                request {
                    $0.string(1, "k"); $0.int(6, 9)
                }, invalid("invalid sort option")
            ),
            (
                "KV/Put",
                request {
                    $0.string(1, "k"); $0.string(2, "v"); $0.bool(5, true)
                }, invalid("value is provided")
            ),
            (
                "KV/Put",
                request {
                    $0.string(1, "k"); $0.int(3, 7); $0.bool(6, true)
                }, invalid("lease is provided")
            ),
            ("KV/DeleteRange", [], invalid("key is not provided")),
            ("Cluster/MemberAdd", request { $0.string(1, "somewhere") }, invalid("given member URLs are invalid")),
            (
                "Cluster/MemberAdd", request { $0.strings(1, ["http://h:1", "http://h:2"]) },
                invalid("given member URLs are invalid")
            ),
            ("Cluster/MemberUpdate", request { $0.uint64(1, 7) }, invalid("given member URLs are invalid")),
            (
                "Cluster/MemberRemove", request { $0.uint64(1, 7) },
                GRPCStatus(.notFound, "etcdserver: member not found")
            )
        ]
    }

    private func unsupported(_ text: String) -> GRPCStatus { GRPCStatus(.unimplemented, text) }

    private var ofCalls: [Refusal] {
        let noRoles = unsupported("etcdserver: users and roles are not supported: access is by client certificate")
        return [
            ("KV/Nothing", [], unsupported("unknown method /etcdserverpb.KV/Nothing")),
            ("KV/Put", [0xff], GRPCStatus(.internal, "grpc: error unmarshalling request: truncated")),
            ("Watch/Watch", [0xff], GRPCStatus(.internal, "grpc: error unmarshalling request: truncated")),
            (
                "Maintenance/Alarm", request { $0.int(1, 1) },
                unsupported("etcdserver: alarms are raised by the store itself")
            ),
            ("Maintenance/Downgrade", [], unsupported("etcdserver: downgrade is not supported")),
            (
                "Auth/Authenticate", [],
                GRPCStatus(.failedPrecondition, "etcdserver: authentication is not enabled")
            ),
            ("Auth/UserAdd", [], noRoles), ("Auth/AuthEnable", [], noRoles)
        ]
    }

    @Test func `what a client may not ask is refused in etcd's words`() async throws {
        let face = try await Face()
        for refusal in ofRequests + ofCalls {
            let status = await face.refusal("etcdserverpb.\(refusal.method)", refusal.message)
            #expect(status == refusal.status, "\(refusal.method)")
        }
        let campaign = await face.refusal("v3electionpb.Election/Proclaim", [])
        #expect(campaign == GRPCStatus(.unknown, #""leader" field must be provided"#))
        #expect(await face.refusal("v3lockpb.Lock/Try")?.message == "unknown method /v3lockpb.Lock/Try")
        #expect(await face.refusal("some.Service/Call")?.message == "unknown method /some.Service/Call")
        #expect(face.replica.view().revision.rawValue == 1)
        try await face.end()
    }

    @Test func `a lease's number is given once, and a lease without an end is refused`() async throws {
        let face = try await Face()
        let grant = request {
            $0.int(1, 60); $0.int(2, 77)
        }
        #expect(try await face.ask("etcdserverpb.Lease/LeaseGrant", grant)[2] == 77)
        #expect(
            await face.refusal("etcdserverpb.Lease/LeaseGrant", grant)
                == GRPCStatus(.failedPrecondition, "etcdserver: lease already exists"))
        let long = await face.refusal("etcdserverpb.Lease/LeaseGrant", request { $0.int(1, 9_000_000_001) })
        #expect(long == GRPCStatus(.outOfRange, "etcdserver: too large lease TTL"))
        let gone = await face.refusal("etcdserverpb.Lease/LeaseRevoke", request { $0.int(1, 78) })
        #expect(gone == GRPCStatus(.notFound, "etcdserver: requested lease not found"))
        try await face.end()
    }

    @Test func `a write that loses its majority under way times out, and the next one hears that nobody leads`()
        async throws
    {
        let faces = try await Face.three()
        let leader = try await Face.leader(faces)
        try await leader.put("k", "1")
        for face in faces where face.port != leader.port { await face.replica.halt() }
        await #expect(throws: GRPCStatus(.unavailable, "etcdserver: request timed out")) {
            try await leader.put("k", "2")
        }
        try await eventually { leader.replica.status.leader == nil }
        let put = request {
            $0.string(1, "k"); $0.string(2, "3")
        }
        #expect(await leader.refusal("etcdserverpb.KV/Put", put) == GRPCStatus(.unavailable, "etcdserver: no leader"))
        try await Face.end(faces)
    }

    @Test func `a member that has ended says so as long as its port is open`() async throws {
        let face = try await Face()
        await face.replica.stop()
        let stopped = GRPCStatus(.unavailable, "etcdserver: server stopped")
        await #expect(throws: stopped) { try await face.put("k", "1") }
        #expect(await face.refusal("etcdserverpb.Lease/LeaseTimeToLive", request { $0.int(1, 7) }) == stopped)
        #expect(await face.refusal("etcdserverpb.Maintenance/Snapshot") == stopped)
        try await face.end()
    }

    @Test func `a snapshot for which there is no place on the disk is refused`() async throws {
        let face = try await Face(etcd: { $0.snapshotDirectory = "/nowhere" })
        for i in 0..<12 { try await face.put("large/\(i)", String(repeating: "x", count: 1_000_000)) }
        var settings = GRPCChannelConfiguration()
        settings.receiveBufferBytesMax = 1000
        let idle = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: face.port, tls: nil), configuration: settings, group: face.group)
        let path = "/etcdserverpb.Maintenance/Snapshot"
        // Who does not read would have the rest put aside; unless it is made so slowly that nothing waits.
        var refusal: GRPCStatus?
        for _ in 0..<20 where refusal == nil {
            let call = try await idle.serverStream(path, [])
            do throws(GRPCStatus) {
                _ = try await call.next()
                try await pause()
                while try await call.next() != nil {}
            } catch { refusal = error }
        }
        #expect(refusal == GRPCStatus(.unavailable, "etcdserver: the snapshot could not be read, try again"))
        await idle.close()
        // Who reads needs no place.
        var bytes = 0
        for _ in 0..<20 where bytes < 12_000_000 {
            let whole = try await face.channel.serverStream(path, [])
            bytes = 0
            do throws(GRPCStatus) { while let piece = try await whole.next() { bytes += piece.count } } catch {
                #expect(error == refusal)
            }
        }
        #expect(bytes > 12_000_000)
        try await face.end()
    }

    private func pause() async throws(GRPCStatus) {
        do { try await Task.sleep(for: .milliseconds(300)) } catch { throw GRPCStatus(.cancelled, "") }
    }

    @Test func `more snapshots at once than there are places for are refused`() async throws {
        let face = try await Face()
        for i in 0..<4 { try await face.put("large/\(i)", String(repeating: "x", count: 1_000_000)) }
        var settings = GRPCChannelConfiguration()
        settings.receiveBufferBytesMax = 1000
        let idle = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: face.port, tls: nil), configuration: settings, group: face.group)
        for _ in 0..<2 { _ = try await idle.serverStream("/etcdserverpb.Maintenance/Snapshot", []).next() }
        let refused = await face.refusal("etcdserverpb.Maintenance/Snapshot")
        #expect(refused == GRPCStatus(.resourceExhausted, "etcdserver: too many snapshots at once"))
        await idle.close()
        try await face.end()
    }

    @Test func `more heavy reads than may wait are refused, and those that wait are answered`() async throws {
        let face = try await Face()
        for batch in 0..<40 {
            let puts = (0..<500).map { Op.put(Key("k/\(batch)/\($0)"), [UInt8](repeating: 1, count: 256)) }
            _ = try await face.replica.propose(Txn(success: puts))
        }
        let counts = try await withThrowingTaskGroup(of: GRPCStatus?.self) { group in
            for _ in 0..<800 { group.addTask { await face.refusal("etcdserverpb.Maintenance/HashKV") } }
            var counts = (answered: 0, refused: 0)
            for try await status in group {
                if let status {
                    #expect(status == GRPCStatus(.resourceExhausted, "etcdserver: too many requests"))
                    counts.refused += 1
                } else {
                    counts.answered += 1
                }
            }
            return counts
        }
        #expect(counts.answered >= 256 && counts.refused > 0, "\(counts)")
        try await face.end()
    }

    @Test func `a watcher that is too slow is told so, and misses nothing when it resumes`() async throws {
        let face = try await Face()
        let slow = try await face.channel.open("/etcdserverpb.Watch/Watch")
        slow.send(WatchAsk.create("w/", id: 1))
        _ = try await slow.next()
        let value = [UInt8](repeating: 7, count: 1_000_000)
        // More than may wait for it, and than is on the way.
        for i in 0..<45 { _ = try await face.replica.propose(Txn(success: [.put(Key("w/\(i)"), value)])) }
        var seen: [Int64] = []
        await #expect(throws: GRPCStatus(.unavailable, "etcdserver: watcher is too slow")) {
            while let message = try await slow.next() { seen += try WatchAnswer(message).events }
        }
        #expect(seen == Array(2..<Int64(2 + seen.count)) && seen.count >= 32 && seen.count < 45, "\(seen.count)")
        let resumed = try await face.channel.open("/etcdserverpb.Watch/Watch")
        resumed.send(WatchAsk.create("w/", id: 1, start: Int64(2 + seen.count)))
        while seen.count < 45, let message = try await resumed.next() { seen += try WatchAnswer(message).events }
        #expect(seen == Array(2...46))
        resumed.cancel()
        try await face.end()
    }

    @Test func `a watch of nothing, and one more than a member holds, are cancelled with the reason`() async throws {
        let face = try await Face()
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        call.send(
            request {
                $0.message(1) {
                    $0.string(1, "b"); $0.string(2, "a")
                }
            })
        let empty = try WatchAnswer(try await call.next() ?? [])
        #expect(empty.isCanceled && empty.reason == "mvcc: watcher range is empty")
        var watches: [WatchID] = []
        // Not more at once than may wait for the replica.
        for _ in 0..<10 {
            watches += (0..<10_000).map { _ in face.replica.watch(KeyRange(Key("n")), after: nil) { _ in } }
            await face.afterInputs()
        }
        call.send(WatchAsk.create("one/", id: 7))
        var answer = try WatchAnswer(try await call.next() ?? [])
        #expect(answer.isCreated)
        answer = try WatchAnswer(try await call.next() ?? [])
        #expect(answer.isCanceled && answer.reason == "etcdserver: too many watches on this member")
        for watch in watches { face.replica.cancel(watch) }
        call.cancel()
        try await face.end()
    }

    @Test func `a watch for which too much waits already is cancelled alone, and what the end ends is told so`()
        async throws
    {
        let face = try await Face { $0.pendingProposalsMax = 8 }
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        call.send(WatchAsk.create("kept/", id: 1))
        #expect(try WatchAnswer(try await call.next() ?? []).isCreated)
        await face.afterInputs()
        let gate = DispatchSemaphore(value: 0)
        let isHeld = Atomic<Bool>(false)
        face.replica.afterInputs {
            isHeld.store(true, ordering: .releasing)
            gate.wait()
        }
        // What is posted before would be taken together with the gate, and leave room.
        try await eventually("the replica stands still") { isHeld.load(ordering: .acquiring) }
        let others = (0..<9).map { _ in face.replica.watch(KeyRange(Key("n")), after: nil) { _ in } }
        call.send(WatchAsk.create("one/", id: 7))
        var answer = try WatchAnswer(try await call.next() ?? [])
        #expect(answer.isCreated && answer.id == 7)
        answer = try WatchAnswer(try await call.next() ?? [])
        #expect(answer.isCanceled && answer.id == 7 && answer.reason == "etcdserver: too many requests")
        gate.signal()
        await face.afterInputs()
        try await face.put("kept/1", "v")
        #expect(try WatchAnswer(try await call.next() ?? []).events == [2])
        for watch in others { face.replica.cancel(watch) }
        await face.replica.stop()
        await #expect(throws: GRPCStatus(.unavailable, "etcdserver: server stopped")) {
            while try await call.next() != nil {}
        }
        try await face.end()
    }

    @Test func `a watch whose past cannot be read is told so, and the others go on`() async throws {
        let first = try await Face()
        let value = [UInt8](repeating: 7, count: 1_000_000)
        for i in 0..<30 { _ = try await first.replica.propose(Txn(success: [.put(Key("past/\(i)"), value)])) }
        // With it the records are brought up to the last revision: a start reads only what the window holds, half of it.
        try await first.replica.compact(to: Revision(3))
        try await first.end(keepsData: true)
        Face.alter(first.directory, "UPDATE history SET events = x'00' WHERE revision = 5")
        let face = try await Face(directory: first.directory)
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        call.send(WatchAsk.create("past/", id: 1, start: 4))
        var seen: [Int64] = []
        await #expect(throws: GRPCStatus(.unavailable, "etcdserver: \(Self.unreadable)")) {
            while let message = try await call.next() { seen += try WatchAnswer(message).events }
        }
        #expect(seen == [] || seen == [4])
        let other = try await face.channel.open("/etcdserverpb.Watch/Watch")
        other.send(WatchAsk.create("past/", id: 1))
        #expect(try WatchAnswer(try await other.next() ?? []).isCreated)
        try await face.put("past/x", "v")
        #expect(try WatchAnswer(try await other.next() ?? []).events == [32])
        other.cancel()
        try await face.end()
    }

    private static let unreadable = "the past cannot be read from this member's disk now"
}
