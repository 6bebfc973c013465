// Who takes part and who leads: hand-over, fences, members that come and go, TLS between peers, leases.
import Glibc
import KVCore
import KVReplica
import NetPKI
import Raft
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct MembershipTests {
    @Test func `a planned stop of the leader fails no request`() async throws {
        let cluster = Cluster(3)
        try await cluster.startAll()
        let old = try await cluster.leader()
        let survivor = try #require(cluster.replicas.first { $0 !== old })
        let worst = try await withThrowingTaskGroup(of: Duration.self) { group in
            group.addTask {
                var worst = Duration.zero
                for i in 0..<300 {
                    let began = ContinuousClock.now
                    _ = try await survivor.propose(put("k\(i)", "v"))
                    worst = max(worst, ContinuousClock.now - began)
                }
                return worst
            }
            try await Task.sleep(for: .milliseconds(50))
            await cluster.stop(old.configuration.id)
            return try await group.next() ?? .zero
        }
        print("slowest write across a planned hand-over:", worst)
        #expect(survivor.view().keyCount == 300)
        await cluster.end()
    }

    @Test func `a member that was added or changed is listed when the call returns`() async throws {
        let cluster = Cluster(1)
        try await cluster.startAll()
        let replica = try await cluster.leader()
        for number in 10..<40 as Range<UInt64> {
            var member = Member(id: PeerID(number), name: "x", host: "127.0.0.1", port: 1)
            member.staysLearner = true
            try await replica.addMember(member)
            #expect(replica.members().contains { $0.id == member.id })
            member.port = 2
            try await replica.updateMember(member)
            #expect(replica.members().first { $0.id == member.id }?.port == 2)
            try await replica.removeMember(member.id)
            #expect(!replica.members().contains { $0.id == member.id })
        }
        await cluster.end()
    }

    @Test func `news of where clients find a member do not cut the connections to it`() async throws {
        let cluster = Cluster(3, isSteady: true) { $0.helloMilliseconds = 60_000 }
        try await cluster.startAll()
        _ = try await cluster.leader()
        try await eventually("all are connected") {
            cluster.replicas.allSatisfy { $0.status.counters.connectionsTotal >= 2 }
        }
        let before = cluster.replicas.map(\.status.counters.connectionsTotal)
        // The leader enters the first members itself, perhaps after this.
        try await eventually("everybody knows") {
            for address in cluster.addresses {
                let member = Member(
                    id: address.id, name: address.name, host: address.host, port: address.port,
                    clientURLs: ["http://\(address.name)"])
                try await cluster.leader().updateMember(member)
            }
            return cluster.replicas.allSatisfy { $0.members().allSatisfy { !$0.clientURLs.isEmpty } }
        }
        for replica in cluster.replicas { _ = try await replica.propose(put("a", "\(replica.configuration.id)")) }
        #expect(cluster.replicas.map(\.status.counters.connectionsTotal) == before)
        await cluster.end()
    }

    @Test func `what a member tells of itself is not overwritten by the leader that enters the members`() async throws {
        for _ in 0..<20 {
            let cluster = Cluster(3)
            try await cluster.startAll()
            await withTaskGroup { group in
                for replica in cluster.replicas {
                    group.addTask { await replica.settleIn(clientURLs: ["http://\(replica.configuration.name)"]) }
                }
            }
            // Whatever was on its way is done before this.
            _ = try await cluster.leader().propose(put("a", "1"))
            let leader = try await cluster.leader()
            try await leader.barrier()
            let entered = await leader.directory()
            #expect(entered.map(\.clientURLs) == cluster.addresses.map { ["http://\($0.name)"] })
            await cluster.end()
        }
    }

    @Test func `a write with the fence of a past term has no effect`() async throws {
        let cluster = Cluster(3, isSteady: true)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let term = leader.status.term
        _ = try await leader.propose(put("a", "1"), fence: term)
        try await leader.transferLeadership(to: nil)
        await #expect(throws: ProposeError.fenced) { try await leader.propose(put("a", "2"), fence: term) }
        try await leader.barrier()
        #expect(leader.view().get(Key("a"))?.value == Array("1".utf8))
        await cluster.end()
    }

    @Test func `leadership is announced only when the predecessors' writes are visible`() async throws {
        let cluster = Cluster(3, isSteady: true)
        try await cluster.startAll()
        let seen = Mutex<[Revision]>([])
        for replica in cluster.replicas {
            replica.onLeadership { news in
                if case .leading = news { seen.withLock { $0.append(replica.view().revision) } }
            }
        }
        var last = Revision(1)
        for i in 0..<5 {
            for j in 0..<20 { last = try await cluster.replicas[j % 3].propose(put("k\(i)-\(j)", "v")).revision }
            let before = seen.withLock { $0.count }
            try await cluster.leader().transferLeadership(to: nil)
            try await eventually("a new leader is announced") { seen.withLock { $0.count } > before }
            #expect(seen.withLock { $0.last ?? .zero } >= last)
        }
        await cluster.end()
    }

    @Test func `a lease ends with its keys and not before its time`() async throws {
        let cluster = Cluster(1)
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        let (lease, renewed) = try await renewedLease(replica)
        try await eventually("it ends") { replica.view().get(Key("leased")) == nil }
        #expect(ContinuousClock.now - renewed > .milliseconds(900))
        await #expect(throws: ProposeError.refused(.leaseNotFound)) { try await replica.keepAlive(lease) }
        await cluster.end()
    }

    /// A lease of a second with a key, renewed when most of it was over, and no later than when. Who is put off until it
    /// has ended begins again.
    private func renewedLease(_ replica: Replica) async throws -> (LeaseID, ContinuousClock.Instant) {
        while true {
            let lease = try await replica.grantLease(.none, ttlSeconds: 1).id
            do throws(ProposeError) {
                _ = try await replica.propose(Txn(success: [.put(Key("leased"), [1], lease: lease)]))
                usleep(600_000)
                let asked = ContinuousClock.now
                #expect(try await replica.keepAlive(lease) == 1)
                return (lease, asked)
            } catch { guard error == .refused(.leaseNotFound) else { throw error } }
        }
    }

    @Test func `a learner is added, promoted and removed`() async throws {
        let cluster = Cluster(3, isSteady: true)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        for i in 0..<50 { _ = try await leader.propose(put("k\(i)", "v")) }
        let address = PeerAddress(id: PeerID(4), name: "m4", host: "127.0.0.1", port: FreePort.take())
        var configuration = ReplicaConfiguration(
            dataDirectory: cluster.directory + "/m4", id: address.id, name: "m4", clusterID: 7,
            initialPeers: cluster.addresses + [address], listenHost: "127.0.0.1", listenPort: address.port, tls: nil)
        configuration.joins = true
        configuration.silence()
        configuration.holdPatiently()
        let joiner = try Replica(configuration)
        try await joiner.start()
        let follower = try #require(cluster.replicas.first { $0 !== leader })
        try await follower.addMember(address)
        try await eventually("the learner has everything") { joiner.view().keyCount == 50 }
        try await follower.promoteMember(address.id)
        _ = try await joiner.propose(put("from-4", "v"))
        try await eventually("four voters") { follower.members().filter { $0.role == .voter }.count == 4 }
        try await follower.removeMember(address.id)
        try await eventually("three voters") { follower.members().count == 3 }
        _ = try await leader.propose(put("after", "v"))
        await joiner.halt()
        await cluster.end()
    }

    @Test func `a member that comes back takes back nothing that was told of it meanwhile`() async throws {
        let cluster = Cluster(3, isSteady: true) { configuration in
            configuration.logTailEntries = 16
            configuration.checkpointMilliseconds = 30
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let id = try #require(cluster.replicas.first { $0 !== leader }).configuration.id
        for i in 0..<20 { _ = try await leader.propose(put("k\(i)", "v")) }
        await cluster.halt(id)
        let moved = FreePort.take()
        let known = try #require(await leader.directory().first { $0.id == id })
        try await leader.updateMember(Member(id: id, name: known.name, host: known.host, port: moved))
        for i in 0..<600 {
            _ = try await leader.propose(put("key-\(i % 300)", String(repeating: "x", count: 2000)))
            if i % 100 == 0 { try await Task.sleep(for: .milliseconds(100)) }
        }
        try await eventually("the log is compacted") { await leader.compactedLogIndex() > LogIndex(200) }
        var configuration = ReplicaConfiguration(
            dataDirectory: cluster.directory + "/" + known.name, id: id, name: known.name, clusterID: 7,
            initialPeers: cluster.addresses, listenHost: known.host, listenPort: moved, tls: nil)
        configuration.silence()
        configuration.holdPatiently()
        let back = try Replica(configuration)
        try await back.start()
        await back.settleIn(clientURLs: ["http://new"])
        for replica in cluster.replicas + [back] {
            try await replica.barrier()
            let entry = try #require(await replica.directory().first { $0.id == id })
            #expect(entry.port == moved && entry.clientURLs == ["http://new"])
        }
        #expect(back.view().keyCount == 320)
        await back.halt()
        await cluster.end()
    }

    @Test func `peers speak mutual TLS and refuse a stranger's certificate`() async throws {
        let authority = try CertificateAuthority.make(commonName: "store")
        let stranger = try CertificateAuthority.make(commonName: "other")
        var tls: [PeerID: PeerTLS] = [:]
        for id in 1...3 {
            let issuer = id == 3 ? stranger : authority
            let issued = try issuer.issue(
                CertificateSpec(
                    commonName: "m\(id)", ipAddresses: ["127.0.0.1"], usages: [.server, .client]))
            tls[PeerID(UInt64(id))] = PeerTLS(
                certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM)
        }
        let cluster = Cluster(3, isSteady: true, tls: tls)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let term = leader.status.term
        for i in 0..<20 {
            _ = try await leader.propose(put("k\(i)", "v"))
            await cluster[PeerID(3)]?.campaign()
        }
        try await eventually("both have all") {
            cluster[PeerID(1)]?.view().keyCount == 20 && cluster[PeerID(2)]?.view().keyCount == 20
        }
        #expect(cluster[PeerID(3)]?.view().keyCount == 0)
        #expect(leader.status.role == .leader && leader.status.term == term)
        #expect(cluster[PeerID(2)]?.status.term == term)
        await cluster.end()
    }

    @Test func `without a majority a write is held, then refused, and old state is still read`() async throws {
        let cluster = Cluster(3) { $0.holdMilliseconds = 400 }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let keeper = try #require(cluster.replicas.first { $0 !== leader })
        // So short a patience may end while the threads of the others are put off.
        try await eventually("it is written and seen") {
            do {
                _ = try await leader.propose(put("a", "1"))
                try await keeper.barrier()
            } catch { return false }
            return true
        }
        for replica in cluster.replicas where replica !== keeper { await cluster.halt(replica.configuration.id) }
        try await eventually("nobody leads") { keeper.status.leader == nil }
        await #expect(throws: ProposeError.noLeader) { try await keeper.propose(put("a", "2")) }
        await #expect(throws: ProposeError.noLeader) { try await keeper.barrier() }
        #expect(keeper.view().get(Key("a"))?.value == Array("1".utf8))
        await cluster.end()
    }
}
