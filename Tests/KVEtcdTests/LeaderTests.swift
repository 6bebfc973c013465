// A member that is cut off from the majority, as its clients see it: who asked for a leader is told, the others wait.
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Testing

@Suite(.serialized) struct LeaderTests {
    /// The face of one member of three, and the other two.
    private func three() async throws -> (face: Face, others: [Replica]) {
        let peers = try (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: try Face.freePort())
        }
        var others: [Replica] = []
        for peer in peers[1...] {
            var configuration = ReplicaConfiguration(
                dataDirectory: Shell.temporaryDirectory(), id: peer.id, name: peer.name, clusterID: 1,
                initialPeers: peers, listenHost: peer.host, listenPort: peer.port, tls: nil)
            configuration.silence()
            let replica = try Replica(configuration)
            try await replica.start()
            others.append(replica)
        }
        let face = try await Face { configuration in
            configuration.id = peers[0].id
            configuration.clusterID = 1
            configuration.configuredClusterID = 1
            configuration.initialPeers = peers
            configuration.listenPort = peers[0].port
        }
        return (face, others)
    }

    private func watch(_ face: Face, metadata: GRPCMetadata) async throws -> GRPCCall {
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch", metadata: metadata)
        var create = ProtobufWriter()
        create.message(1) { $0.string(1, "k") }
        call.send(create.bytes)
        // That it was created.
        _ = try await call.next()
        return call
    }

    @Test func `without a leader a watch that asked for one ends, and one that did not goes on`() async throws {
        let (face, others) = try await three()
        let strict = try await watch(face, metadata: [("hasleader", "true")])
        let patient = try await watch(face, metadata: [])
        for other in others { await other.halt() }
        let noLeader = GRPCStatus(.unavailable, "etcdserver: no leader")
        await #expect(throws: noLeader) { while try await strict.next() != nil {} }
        await #expect(throws: noLeader) { _ = try await watch(face, metadata: [("hasleader", "true")]) }
        let second = try await watch(face, metadata: [])
        second.cancel()
        patient.cancel()
        try await face.end()
        for other in others { Shell.remove(other.configuration.dataDirectory) }
    }
}
