// A member that is cut off from the majority, as its clients see it: who asked for a leader is told, the others wait.
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct LeaderTests {
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
        let (face, others) = try await Face.ofThree()
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
