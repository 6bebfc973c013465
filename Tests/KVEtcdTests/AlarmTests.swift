// What is wrong with a member is told wherever somebody may look: `Alarm`, `Status`, etcdctl, health checks.
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct AlarmTests {
    @Test func `a full store says so everywhere, refuses what would make it grow, and takes writes when it has room`()
        async throws
    {
        let face = try await Face { $0.stateBytesMax = 1 << 20 }
        #expect(try await face.alarms().isEmpty)
        let value = String(repeating: "v", count: 700_000)
        try await face.put("a", value)
        try await face.put("b", value)
        await #expect(throws: GRPCStatus(.resourceExhausted, "etcdserver: mvcc: database space exceeded")) {
            try await face.put("c", "1")
        }
        #expect(try await face.alarms() == [1])
        #expect(try await face.alarms(kind: 1) == [1])
        #expect(try await face.alarms(kind: 2).isEmpty)
        let id = face.replica.configuration.id.rawValue
        #expect(try await face.errors() == ["memberID:\(id) alarm:NOSPACE "])
        if Shell.has("etcdctl") {
            let list = Shell.run("ETCDCTL_API=3 etcdctl --endpoints \(face.endpoint) alarm list")
            #expect(list == "memberID:\(id) alarm:NOSPACE \n")
        }
        // Disarming it changes nothing.
        try await face.ask("etcdserverpb.Maintenance/Alarm", request { $0.int(1, 2) })
        #expect(try await face.alarms() == [1])
        try await face.ask("etcdserverpb.KV/DeleteRange", request { $0.string(1, "a") })
        try await eventually { try await face.alarms().isEmpty }
        #expect(try await face.errors().isEmpty)
        try await face.put("c", "1")
        try await face.end()
    }

    @Test func `a member whose state is replaced says CORRUPT everywhere, and its watchers read anew`() async throws {
        let (face, others) = try await Face.wrong()
        #expect(try await face.alarms() == [2])
        #expect(try await face.alarms(kind: 1).isEmpty)
        let corrupt = "memberID:\(face.replica.configuration.id.rawValue) alarm:CORRUPT "
        #expect(try await face.errors() == ["etcdserver: no leader", corrupt])
        if Shell.has("etcdctl") {
            #expect(Shell.run("ETCDCTL_API=3 etcdctl --endpoints \(face.endpoint) alarm list") == "\(corrupt)\n")
        }
        if Shell.has("curl") { #expect(face.get("/health").body.contains("ALARM CORRUPT")) }
        let health = try await face.channel.serverStream("/grpc.health.v1.Health/Watch", [])
        #expect(try await Fields(health.next() ?? [])[1] == 2)
        let watch = try await face.channel.open("/etcdserverpb.Watch/Watch")
        watch.send(WatchAsk.create("k", id: 1))
        _ = try await watch.next()
        // The others have a good one.
        var returned: [Replica] = []
        for other in others {
            let replica = try Replica(other.configuration)
            try await replica.start()
            returned.append(replica)
        }
        await #expect(throws: GRPCStatus(.unavailable, "etcdserver: the member's state was replaced")) {
            while try await watch.next() != nil {}
        }
        #expect(try await Fields(health.next() ?? [])[1] == 1)
        try await eventually { try await face.errors().isEmpty }
        #expect(try await face.alarms().isEmpty)
        #expect(try await face.range("k").count == 1)
        health.cancel()
        try await face.end()
        for replica in returned {
            await replica.halt()
            Shell.remove(replica.configuration.dataDirectory)
        }
    }

    /// A leader that is late may be missed for a moment.
    private func until(_ health: GRPCCall, _ wanted: Int64) async throws {
        var status: Int64?
        while status != wanted {
            let message = try #require(try await health.next())
            status = try Fields(message)[1]
        }
    }

    @Test func `that no majority agrees on a state is told by every member as the whole cluster's alarm`() async throws
    {
        let faces = try await Face.three()
        // Not the same: each has another revision. The third is as it was.
        for (face, key) in zip(faces, ["a", "b"]) {
            try await face.put(key, "1")
            await face.replica.flipState()
        }
        // States are compared every 256 entries.
        for number in 0..<260 { try await faces[2].put("k\(number)", "1") }
        for face in faces {
            try await eventually { try await face.errors() == ["alarm:CORRUPT "] }
            let alarms = try await face.ask("etcdserverpb.Maintenance/Alarm", []).messages(2)
            #expect(alarms.map { $0[1] } == [0] && alarms.map { $0[2] } == [2])
            if Shell.has("etcdctl") {
                let list = Shell.run("ETCDCTL_API=3 etcdctl --endpoints \(face.endpoint) alarm list")
                #expect(list == "alarm:CORRUPT \n")
            }
            guard Shell.has("curl") else { continue }
            #expect(face.get("/health").body.contains("ALARM CORRUPT"))
            // A restart would mend nothing.
            #expect(face.get("/health?serializable=true").status == 200)
            #expect(face.get("/metrics").body.contains("\ntern_store_state_undecided 1\n"))
        }
        try await Face.end(faces)
    }

    @Test func `who watches a member's health is told each change`() async throws {
        let (face, others) = try await Face.ofThree()
        let path = "/grpc.health.v1.Health/Watch"
        let health = try await face.channel.serverStream(path, [])
        try await until(health, 1)
        let unknown = try await face.channel.serverStream(path, request { $0.string(1, "some.Service") })
        #expect(try await Fields(unknown.next() ?? [])[1] == 3)
        let refused = await face.refusal("grpc.health.v1.Health/Check", request { $0.string(1, "some.Service") })
        #expect(refused == GRPCStatus(.notFound, "unknown service"))
        for other in others { await other.halt() }
        try await until(health, 2)
        #expect(try await face.ask("grpc.health.v1.Health/Check")[1] == 2)
        let back = try Replica(others[0].configuration)
        try await back.start()
        try await until(health, 1)
        health.cancel()
        unknown.cancel()
        try await face.end()
        await back.halt()
        for other in others { Shell.remove(other.configuration.dataDirectory) }
    }
}
