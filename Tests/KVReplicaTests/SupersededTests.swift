// A member was recovered as a cluster of its own: those of the old one that reach it end, and do not start again.
import Glibc
import KVCore
import KVReplica
import Raft
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct SupersededTests {
    @Test func `members of a cluster that was given up end when they reach the one that was recovered`() async throws {
        let ends = Mutex<[PeerID: String]>([:])
        let cluster = Cluster(3) { configuration in
            let id = configuration.id
            configuration.fatal = { reason in ends.withLock { $0[id] = reason } }
        }
        try await cluster.startAll()
        _ = try await cluster.leader().propose(put("a", "1"))
        for replica in cluster.replicas { try await replica.barrier() }
        let first = try #require(cluster[PeerID(1)])
        try await eventually("the leader has entered it") {
            await first.enteredMembers().contains { $0.id == PeerID(1) }
        }
        for address in cluster.addresses { await cluster.halt(address.id) }
        // As `tern member recover` does it.
        let folder = "\(cluster.directory)/m1"
        do {
            let stopped = try StoppedStore(folder)
            #expect(stopped.clusters == [7])
            let me = try #require(stopped.machine.members[PeerID(1)])
            try stopped.begin(after: 1000).write(
                to: "\(cluster.directory)/new", members: [me], me: me.id, cluster: 8, supersedes: stopped.clusters)
        }
        removeTree(folder)
        #expect(rename("\(cluster.directory)/new", folder) == 0)
        #expect(try StoreIdentity(folder)?.supersedes == [7])

        // Those two are a majority of the old cluster.
        for address in cluster.addresses.dropFirst() { try await cluster.start(address.id) }
        _ = try await cluster.leader().propose(put("a", "beside"))
        try await cluster.start(PeerID(1))
        try await eventually("both end") { ends.withLock { $0.count } == 2 }
        #expect(ends.withLock { $0.keys.sorted() } == [PeerID(2), PeerID(3)])
        #expect(ends.withLock { $0.values.allSatisfy { $0.contains("was given up") } })
        let recovered = try #require(cluster[PeerID(1)])
        try await recovered.barrier()
        #expect(recovered.view().get(Key("a"))?.value == Array("1".utf8))
        // Also where nobody tells them any more.
        for address in cluster.addresses { await cluster.halt(address.id) }
        for address in cluster.addresses.dropFirst() {
            let configuration = ReplicaConfiguration(
                dataDirectory: "\(cluster.directory)/\(address.name)", id: address.id, name: address.name, clusterID: 7,
                initialPeers: cluster.addresses, listenHost: address.host, listenPort: address.port, tls: nil)
            #expect { try Replica(configuration) } throws: { "\($0)".contains("was given up") }
        }
        await cluster.end()
    }

    @Test func `who is not at a member's address, or names another cluster, ends nobody`() async throws {
        let ends = Mutex<[PeerID: String]>([:])
        let cluster = Cluster(3, isSteady: true) { configuration in
            let id = configuration.id
            configuration.fatal = { reason in ends.withLock { $0[id] = reason } }
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let listener = Listener()
        // It is said on connections that they did not make.
        for address in cluster.addresses {
            for old: UInt64 in [7, 9] {
                let notice = SupersededNotice(old: old, new: 8).encode()
                try await listener.repeatTo(address.port, [0, 0, 0, UInt8(notice.count)] + notice)
            }
        }
        _ = try await leader.propose(put("a", "1"))
        for replica in cluster.replicas { try await replica.barrier() }
        #expect(ends.withLock { $0.isEmpty } && leader.status.role == .leader)
        try await listener.end()
        await cluster.end()
    }

    @Test func `members whose addresses take connections are found to run`() async throws {
        let cluster = Cluster(2, isSteady: true)
        try await cluster.startAll()
        let silent = PeerAddress(id: PeerID(9), name: "m9", host: "127.0.0.1", port: FreePort.take())
        let all = (cluster.addresses + [silent]).map {
            Member(id: $0.id, name: $0.name, host: $0.host, port: $0.port)
        }
        #expect(try await all.answering(withinSeconds: 30).map(\.name) == ["m1", "m2"])
        await cluster.end()
        #expect(try await all.answering(withinSeconds: 30).isEmpty)
    }
}
