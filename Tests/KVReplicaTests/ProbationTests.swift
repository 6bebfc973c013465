// A voter that comes back with an empty disk has forgotten its votes and what it acknowledged. It must not count under
// its old number again; a member that starts for the first time must.
import Glibc
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

/// What ended whom.
private final class Ends: Sendable {
    private let reasons = Mutex<[PeerID: String]>([:])
    subscript(_ peer: PeerID) -> String? { reasons.withLock { $0[peer] } }
    func note(_ peer: PeerID, _ reason: String) { reasons.withLock { $0[peer] = reason } }
}

private func cluster(_ count: Int, _ ends: Ends) -> Cluster {
    Cluster(count) { configuration in
        let id = configuration.id
        configuration.fatal = { ends.note(id, $0) }
    }
}

private func areEntered(_ cluster: Cluster) async throws {
    for replica in cluster.replicas {
        try await eventually("all are entered") {
            await replica.enteredMembers().count == cluster.addresses.count
        }
    }
}

@Suite(.serialized) struct ProbationTests {
    @Test func `a voter whose disk was emptied does not start again under its number`() async throws {
        let ends = Ends(), cluster = cluster(3, ends)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let lost = try #require(cluster.replicas.first { $0 !== leader }).configuration
        _ = try await leader.propose(put("k", "v"))
        try await areEntered(cluster)
        await cluster.halt(lost.id)
        removeTree(lost.dataDirectory)
        try await cluster.start(lost.id)
        try await eventually("it ends") { ends[lost.id] != nil }
        #expect(ends[lost.id]?.contains("took part in the cluster before") == true)
        #expect(cluster[lost.id]?.status.term == .zero)
        _ = try await leader.propose(put("k", "w"))
        await cluster.end()
    }

    @Test func `it is refused by whoever is left, and nobody leads without what was acknowledged`() async throws {
        let ends = Ends(), cluster = cluster(3, ends)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        _ = try await leader.propose(put("k", "v"))
        try await areEntered(cluster)
        let lost = try #require(cluster.replicas.first { $0 !== leader }).configuration
        let left = try #require(cluster.replicas.first { $0 !== leader && $0.configuration.id != lost.id })
        await cluster.halt(lost.id)
        await cluster.halt(leader.configuration.id)
        removeTree(lost.dataDirectory)
        try await cluster.start(lost.id)
        try await eventually("it ends") { ends[lost.id] != nil }
        #expect(left.status.role != .leader)
        // Who knows everything comes back.
        try await cluster.start(leader.configuration.id)
        _ = try await left.propose(put("k", "w"))
        await cluster.end()
    }

    @Test func `a member that starts late for the first time takes part`() async throws {
        let ends = Ends(), cluster = cluster(3, ends)
        let ids = cluster.addresses.map(\.id)
        try await cluster.start(ids[0])
        try await cluster.start(ids[1])
        let leader = try await cluster.leader()
        _ = try await leader.propose(put("k", "v"))
        try await eventually("both are entered") { await leader.enteredMembers().count == 2 }
        try await cluster.start(ids[2])
        try await areEntered(cluster)
        let other = try #require(cluster.replicas.first { $0 !== leader && $0.configuration.id != ids[2] })
        await cluster.halt(other.configuration.id)
        _ = try await leader.propose(put("k", "w"))
        #expect(cluster.replicas.allSatisfy { ends[$0.configuration.id] == nil })
        await cluster.end()
    }

    @Test func `who cannot ask anybody says nothing, and begins when it can`() async throws {
        let ends = Ends(), cluster = cluster(3, ends)
        let ids = cluster.addresses.map(\.id)
        try await cluster.start(ids[0])
        try await Task.sleep(for: .milliseconds(600))
        #expect(cluster[ids[0]]?.status.role == .follower && cluster[ids[0]]?.status.term == .zero)
        try await cluster.start(ids[1])
        _ = try await cluster.leader()
        // Stopped while it waits: it ends.
        try await cluster.start(ids[2])
        await cluster.end()
    }
}
