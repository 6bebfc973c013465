// What a connection's end tells: with a new one refused, that the other process is gone, and its followers do not wait
// for a timeout; with a new one made, nothing. Nobody here ever loses patience by itself.
import KVCore
import KVReplica
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct PeerLossTests {
    /// Steady, with everybody connected and loyal to the first.
    private func settled(_ cluster: Cluster) async throws -> Replica {
        try await cluster.startAll()
        let leader = try await cluster.leader()
        _ = try await leader.propose(put("a", "1"))
        for replica in cluster.replicas { try await replica.barrier() }
        #expect(cluster.replicas.allSatisfy { $0.status.leader == leader.configuration.id })
        return leader
    }

    @Test func `a leader whose connections end and whose port refuses is followed no more`() async throws {
        let book = LogBook()
        let cluster = Cluster(3, isSteady: true) { $0.logger = book.logger }
        let leader = try await settled(cluster).configuration.id
        await cluster.halt(leader)
        try await eventually("both followers are told that it is gone") {
            book.lines(with: "peer is gone", "\(leader)").count >= 2
        }
        for replica in cluster.replicas {
            try await eventually("it is not followed") { replica.status.leader != leader }
        }
        await cluster.end()
    }

    @Test func `a leader whose connections are reset and made again is followed on`() async throws {
        let book = LogBook()
        let behind = FreePort.take()
        let cluster = Cluster(3, isSteady: true) { configuration in
            configuration.logger = book.logger
            if configuration.id == PeerID(1) { configuration.listenPort = behind }
        }
        let listener = Listener()
        try await listener.listen(on: cluster.addresses[0].port, for: behind)
        let leader = try await settled(cluster)
        #expect(leader.configuration.id == PeerID(1))
        let term = leader.status.term
        for _ in 0..<3 {
            let callers = listener.callers.count
            try await listener.reset()
            try await eventually("both called again") {
                listener.callers.dropFirst(callers).filter { !$0.isEmpty }.count >= 2
            }
            _ = try await leader.propose(put("a", "2"))
            for replica in cluster.replicas { try await replica.barrier() }
        }
        #expect(book.lines(with: "peer is gone").isEmpty)
        for replica in cluster.replicas {
            #expect(replica.status.leader == PeerID(1) && replica.status.term == term)
        }
        await cluster.end()
        try await listener.end()
    }
}
