// One and three replicas as their users see them: writes, reads, watches, crashes and restarts.
import Dispatch
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

@Suite(.serialized) struct ReplicaTests {
    @Test func `a cluster of one answers writes and has them after a restart`() async throws {
        let cluster = Cluster(1)
        try await cluster.start(PeerID(1))
        let first = try await #require(cluster[PeerID(1)]).propose(put("a", "1"))
        #expect(first.revision == Revision(2))
        for i in 0..<100 { _ = try await #require(cluster[PeerID(1)]).propose(put("k\(i)", "v\(i)")) }
        await cluster.halt(PeerID(1))
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        try await replica.barrier()
        #expect(replica.view().keyCount == 101)
        #expect(replica.view().get(Key("k99"))?.value == Array("v99".utf8))
        #expect(replica.view().revision == Revision(102))
        await cluster.end()
    }

    @Test func `the log is let go while writes go on without a pause`() async throws {
        let cluster = Cluster(1) { configuration in
            configuration.logTailEntries = 16
            configuration.checkpointMilliseconds = 400
        }
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        var written = 0
        while written < 200_000, await replica.compactedLogIndex() == .zero {
            for _ in 0..<100 { _ = try await replica.propose(put("k", "\(written)")) }
            written += 100
        }
        #expect(await replica.compactedLogIndex() > .zero)
        await cluster.end()
    }

    @Test func `three replicas agree on what any of them was told`() async throws {
        let cluster = Cluster(3, isSteady: true)
        try await cluster.startAll()
        for round in 0..<20 {
            for replica in cluster.replicas {
                _ = try await replica.propose(put("k\(round)-\(replica.configuration.id)", "x"))
            }
        }
        for replica in cluster.replicas {
            try await replica.barrier()
            #expect(replica.view().keyCount == 60)
        }
        try await eventually("all have the same") {
            var hashes: Set<UInt64> = []
            for replica in cluster.replicas { hashes.insert(await replica.stateHash().hash) }
            return hashes.count == 1
        }
        await cluster.end()
    }

    @Test func `a barrier on any replica shows what was acknowledged by any other`() async throws {
        let cluster = Cluster(3, isSteady: true)
        try await cluster.startAll()
        for i in 0..<100 {
            let writer = cluster.replicas[i % 3]
            let reader = cluster.replicas[(i + 1) % 3]
            let result = try await writer.propose(put("x", "\(i)"))
            try await reader.barrier()
            let seen = try #require(reader.view().get(Key("x")))
            #expect(seen.modRevision == result.revision)
        }
        await cluster.end()
    }

    @Test func `acknowledged writes survive the leader's crash, and writing goes on`() async throws {
        let cluster = Cluster(3)
        try await cluster.startAll()
        var acknowledged: [String] = []
        var gaps: [Duration] = []
        for round in 0..<4 {
            let old = try await cluster.leader()
            let survivor = try #require(cluster.replicas.first { $0 !== old })
            for i in 0..<50 {
                let key = "k\(round)-\(i)"
                _ = try await survivor.propose(put(key, "v"))
                acknowledged.append(key)
            }
            let began = ContinuousClock.now
            async let halted: Void = cluster.halt(old.configuration.id)
            _ = try await survivor.propose(put("after-\(round)", "v"))
            gaps.append(ContinuousClock.now - began)
            acknowledged.append("after-\(round)")
            await halted
            try await cluster.start(old.configuration.id)
        }
        print("write gaps after a leader's crash:", gaps)
        for replica in cluster.replicas {
            try await replica.barrier()
            for key in acknowledged { #expect(replica.view().get(Key(key)) != nil, "lost \(key)") }
        }
        await cluster.end()
    }

    @Test func `what is asked beside the end is answered`() async throws {
        let cluster = Cluster(1)
        try await cluster.startAll()
        let replica = try await cluster.leader()
        let gate = DispatchSemaphore(value: 0)
        replica.afterInputs { gate.wait() }
        let answered = try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 { group.addTask { await replica.halt() } }
            try await Task.sleep(for: .milliseconds(50))
            for _ in 0..<10 { group.addTask { _ = await replica.directory() } }
            try await Task.sleep(for: .milliseconds(50))
            gate.signal()
            var answered = 0
            while try await group.next() != nil { answered += 1 }
            return answered
        }
        #expect(answered == 12)
        await #expect(throws: ProposeError.stopped) { try await replica.lease(LeaseID(rawValue: 1)) }
        await cluster.end()
    }
}
