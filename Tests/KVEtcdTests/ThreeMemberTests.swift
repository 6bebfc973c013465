// Three members, each asked through its own face: what an operator changes, and what all of them must agree on.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct ThreeMemberTests {
    private struct Seen: Equatable {
        var name: String
        var urls: [String]
        var isLearner: Bool
    }

    private func members(_ face: Face) async throws -> [UInt64: Seen] {
        let answer = try await face.ask("etcdserverpb.Cluster/MemberList", request { $0.bool(1, true) })
        return try answer.messages(2).reduce(into: [:]) { found, member in
            found[UInt64(bitPattern: member[1])] = Seen(
                name: member.texts(2).first ?? "", urls: member.texts(3), isLearner: member[5] != 0)
        }
    }

    private func hashes(_ face: Face, at revision: Int64) async throws -> [Int64] {
        let past = try await face.ask("etcdserverpb.Maintenance/HashKV", request { $0.int64(1, revision) })
        return [past[2], try await face.ask("etcdserverpb.Maintenance/Hash")[2]]
    }

    @Test func `members with the same keys have the same hash, and other keys another`() async throws {
        let faces = try await Face.three(isSteady: true)
        var seen: [[Int64]] = []
        let lease = try await faces[0].replica.grantLease(.none, ttlSeconds: 600).id
        // Each step changes one thing that a record has.
        let steps: [Op] = [
            .put(Key("a"), [1]), .put(Key("a"), [2]), .put(Key("b"), [2]), .delete(Key("b")), .put(Key("b"), [2]),
            .put(Key("b"), [2], lease: lease)
        ]
        for step in steps {
            let revision = try await faces[0].replica.propose(Txn(success: [step])).revision
            var same: Set<[Int64]> = []
            for face in faces {
                try await face.replica.barrier()
                same.insert(try await hashes(face, at: revision.rawValue))
            }
            #expect(same.count == 1, "after \(step): \(same)")
            seen += same
        }
        // Without what was deleted again the keys are those of two steps before.
        #expect(seen[3] == seen[1])
        #expect(Set(seen.map { $0[0] }).count == steps.count - 1 && Set(seen.map { $0[1] }).count == steps.count - 1)
        // The past has its own.
        let past = try await hashes(faces[1], at: 3)
        #expect(past == [seen[1][0], seen[5][1]])
        try await Face.end(faces)
    }

    @Test func `leadership is moved where the leader is asked to, and nowhere else`() async throws {
        let faces = try await Face.three(isSteady: true)
        let leader = try await Face.leader(faces)
        let follower = try #require(faces.first { $0.port != leader.port })
        let id = follower.replica.configuration.id.rawValue
        let move = request { $0.uint64(1, id) }
        let method = "etcdserverpb.Maintenance/MoveLeader"
        #expect(
            await follower.refusal(method, move) == GRPCStatus(.failedPrecondition, "etcdserver: not leader"))
        #expect(
            await leader.refusal(method, request { $0.uint64(1, 99) })
                == GRPCStatus(.failedPrecondition, "etcdserver: bad leader transferee"))
        try await leader.ask(method, move)
        try await eventually("it leads") { follower.replica.status.role == .leader }
        #expect(try await follower.ask("etcdserverpb.Maintenance/Status")[4] == Int64(id))
        try await follower.put("k", "1")
        // To itself: nothing to do.
        try await follower.ask(method, move)
        #expect(follower.replica.status.role == .leader)
        try await Face.end(faces)
    }

    @Test func `a member's address is changed by whoever is asked`() async throws {
        let faces = try await Face.three(isSteady: true)
        let leader = try await Face.leader(faces)
        let moved = try #require(faces.first { $0.port != leader.port }).replica.configuration
        let other = try #require(faces.first { $0.port != leader.port && $0.replica.configuration.id != moved.id })
        let address = "http://127.0.0.2:\(moved.listenPort)"
        let update = { (address: String) in
            request {
                $0.uint64(1, moved.id.rawValue); $0.string(2, address)
            }
        }
        try await other.ask("etcdserverpb.Cluster/MemberUpdate", update(address))
        for face in [leader, other] {
            #expect(
                try await members(face)[moved.id.rawValue] == Seen(name: moved.name, urls: [address], isLearner: false))
        }
        let taken = "http://127.0.0.1:\(leader.replica.configuration.listenPort)"
        #expect(
            await leader.refusal("etcdserverpb.Cluster/MemberUpdate", update(taken))
                == GRPCStatus(.failedPrecondition, "etcdserver: Peer URLs already exists"))
        try await other.put("k", "1")
        try await Face.end(faces)
    }

    /// One that was added and is started now; it does not wait for its role.
    private func joining(_ faces: [Face], _ id: UInt64, _ port: Int) async throws -> Face {
        let me = PeerAddress(id: PeerID(id), name: "m4", host: "127.0.0.1", port: port)
        return try await Face(isSettled: false) { configuration in
            configuration.id = me.id
            configuration.name = me.name
            configuration.clusterID = 1
            configuration.configuredClusterID = 1
            configuration.initialPeers = faces[0].replica.configuration.initialPeers + [me]
            configuration.listenPort = port
            configuration.joins = true
        }
    }

    private func add(_ faces: [Face], isLearner: Bool) async throws -> (id: UInt64, port: Int) {
        let port = FreePort.take()
        let added = try await faces[1].ask(
            "etcdserverpb.Cluster/MemberAdd",
            request {
                $0.string(1, "http://127.0.0.1:\(port)"); $0.bool(2, isLearner)
            })
        let member = try #require(try added.messages(2).first)
        #expect(try added.messages(3).count == 4)
        return (UInt64(bitPattern: member[1]), port)
    }

    @Test func `a member that is added learns, and votes by itself when it has caught up`() async throws {
        let faces = try await Face.three(isSteady: true)
        for i in 0..<200 { try await faces[0].put("k/\(i)", "v") }
        let (id, port) = try await add(faces, isLearner: false)
        #expect(try await members(faces[0])[id] == Seen(name: "", urls: ["http://127.0.0.1:\(port)"], isLearner: true))
        let fourth = try await joining(faces, id, port)
        try await eventually { try await members(faces[2])[id]?.isLearner == false }
        #expect(try await members(faces[2])[id]?.name == "m4")
        #expect(try await fourth.range("k/", "k0").count == 200)
        try await fourth.put("from", "m4")
        try await faces[0].ask("etcdserverpb.Cluster/MemberRemove", request { $0.uint64(1, id) })
        #expect(try await members(faces[0]).count == 3)
        try await Face.end(faces + [fourth])
    }

    @Test func `a learner stays one until it is promoted`() async throws {
        let faces = try await Face.three(isSteady: true)
        let (id, port) = try await add(faces, isLearner: true)
        let promote = request { $0.uint64(1, id) }
        let method = "etcdserverpb.Cluster/MemberPromote"
        // It was not even started.
        #expect(
            await faces[0].refusal(method, promote)
                == GRPCStatus(
                    .failedPrecondition,
                    "etcdserver: can only promote a learner member which is in sync with leader"))
        let fourth = try await joining(faces, id, port)
        try await eventually { try await members(faces[2])[id]?.name == "m4" }
        #expect(try await members(faces[2])[id]?.isLearner == true)
        try await faces[2].put("k", "1")
        let promoted = try await faces[2].ask(method, promote)
        #expect(try promoted.messages(2).allSatisfy { $0[5] == 0 })
        #expect(try await members(fourth)[id]?.isLearner == false)
        #expect(
            await faces[0].refusal(method, promote)
                == GRPCStatus(.failedPrecondition, "etcdserver: can only promote a learner member"))
        try await Face.end(faces + [fourth])
    }
}
