// Two members with data and a witness, on real disks and sockets: either of the two can be lost, the witness too, and the
// witness's disk never has a key.
import Glibc
import KVCore
import KVReplica
import NIOPosix
import Raft
import Synchronization
import TestSupport
import Testing

private let witness = PeerID(3)

private func withWitness(_ configuration: inout ReplicaConfiguration) { configuration.witness = witness }

/// Whether a file below the directory has the text.
private func contains(_ text: String, below path: String) -> Bool {
    guard let directory = opendir(path) else { return holds(path, Array(text.utf8)) }
    defer { closedir(directory) }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != "..", contains(text, below: path + "/" + name) { return true }
    }
    return false
}

private func holds(_ path: String, _ wanted: [UInt8]) -> Bool {
    guard let file = fopen(path, "r") else { return false }
    defer { fclose(file) }
    var matched = 0
    while case let byte = getc(file), byte != EOF {
        matched = UInt8(truncatingIfNeeded: byte) == wanted[matched] ? matched + 1 : byte == Int32(wanted[0]) ? 1 : 0
        if matched == wanted.count { return true }
    }
    return false
}

@Suite(.serialized) struct WitnessClusterTests {
    @Test func `writes go on without either member with data and without the witness, which keeps no key`() async throws
    {
        let cluster = Cluster(3, change: withWitness)
        try await cluster.startAll()
        for i in 0..<50 { _ = try await cluster.replicas[i % 2].propose(put("a\(i)", "value-that-is-looked-for")) }
        let first = try await cluster.leader()
        let second = try #require(cluster.replicas.first { $0 !== first && !$0.status.isWitness })
        try await eventually("the witness does not count") { !first.status.isWitnessCounting }
        // Without the follower that has data.
        await cluster.halt(second.configuration.id)
        var began = ContinuousClock.now
        _ = try await first.propose(put("b", "value-that-is-looked-for"))
        print("a write without the other member with data took", ContinuousClock.now - began)
        try await eventually("the witness counts") { first.status.isWitnessCounting }
        try await cluster.start(second.configuration.id)
        try await eventually("the witness counts no more") { !first.status.isWitnessCounting }
        // Without the witness.
        await cluster.halt(witness)
        _ = try await first.propose(put("c", "value-that-is-looked-for"))
        try await cluster.start(witness)
        try await eventually("the witness has caught up") {
            cluster[witness]?.status.appliedIndex == first.status.appliedIndex
        }
        // Without the leader.
        await cluster.halt(first.configuration.id)
        began = ContinuousClock.now
        let third = try #require(cluster[second.configuration.id])
        _ = try await third.propose(put("d", "value-that-is-looked-for"))
        print("the next write after the leader's end took", ContinuousClock.now - began)
        try await eventually("it has all") { third.view().keyCount == 53 }
        try await cluster.start(first.configuration.id)
        try await eventually("all is everywhere") { cluster[first.configuration.id]?.view().keyCount == 53 }
        for replica in cluster.replicas { await cluster.stop(replica.configuration.id) }
        #expect(!contains("looked-for", below: cluster.directory + "/m3"))
        #expect(contains("looked-for", below: cluster.directory + "/m1"))
        await cluster.end()
    }

    @Test func `a witness answers neither writes nor reads, and never leads`() async throws {
        let cluster = Cluster(3, change: withWitness)
        try await cluster.startAll()
        _ = try await cluster.leader()
        let own = try #require(cluster[witness])
        await #expect(throws: ProposeError.noLeader) { try await own.propose(put("a", "1")) }
        await #expect(throws: ProposeError.noLeader) { try await own.barrier() }
        try await eventually("the members are known") { own.members().count == 3 }
        #expect(own.members().filter(\.isWitness).map(\.id) == [witness])
        // Alone with the witness gone and come back, the one with data leads again; the witness does not.
        for id in [PeerID(1), PeerID(2)] { await cluster.halt(id) }
        try await eventually("it knows no leader") { own.status.leader == nil }
        try await Task.sleep(for: .milliseconds(600))
        #expect(own.status.role == .follower && own.status.leader == nil)
        await cluster.end()
    }

    /// The flags of a witness name neither a member that came later nor its address; its disk does not either.
    @Test func `a witness that starts again votes for a member that it has never heard of`() async throws {
        let cluster = Cluster(3, change: withWitness)
        try await cluster.startAll()
        var leader = try await cluster.leader()
        for i in 0..<20 { _ = try await leader.propose(put("k\(i)", "v")) }
        let fourth = PeerAddress(id: PeerID(4), name: "m4", host: "127.0.0.1", port: FreePort.take())
        var configuration = ReplicaConfiguration(
            dataDirectory: cluster.directory + "/m4", id: fourth.id, name: "m4",
            clusterID: leader.configuration.clusterID, initialPeers: cluster.addresses + [fourth],
            listenHost: "127.0.0.1", listenPort: fourth.port, tls: nil)
        configuration.joins = true
        configuration.silence()
        configuration.holdPatiently()
        let joiner = try Replica(configuration)
        try await joiner.start()
        try await leader.addMember(fourth)
        try await leader.promoteMember(fourth.id)
        await cluster.halt(witness)
        try await eventually("one of the first leads") {
            // The fourth does where the others are late: it hands over.
            if joiner.status.role == .leader { try await joiner.transferLeadership(to: nil) }
            return cluster.replicas.contains { $0.status.role == .leader }
        }
        leader = try await cluster.leader()
        let leaving = leader.configuration.id
        try await joiner.removeMember(leaving)
        await cluster.halt(leaving)
        let left = try #require(cluster.replicas.first)
        try await eventually("the fourth has all") { joiner.view().keyCount == 20 }
        await cluster.halt(left.configuration.id)
        try await cluster.start(witness)
        _ = try await { () async throws(ProposeError) in
            while true {
                do throws(ProposeError) { return try await joiner.propose(put("alone", "v")) } catch {
                    guard error == .noLeader || error == .unknownOutcome else { throw error }
                }
            }
        }()
        try await eventually("it leads with the witness") {
            joiner.status.role == .leader && joiner.status.isWitnessCounting
        }
        await joiner.halt()
        await cluster.end()
    }

    @Test func `what a data directory is, it stays, whatever the flags say`() async throws {
        let cluster = Cluster(3, change: withWitness)
        try await cluster.startAll()
        _ = try await cluster.leader().propose(put("a", "1"))
        for replica in cluster.replicas { await cluster.halt(replica.configuration.id) }
        func configuration(_ id: UInt64, witness: PeerID?) -> ReplicaConfiguration {
            var configuration = ReplicaConfiguration(
                dataDirectory: cluster.directory + "/m\(id)", id: PeerID(id), name: "m\(id)", clusterID: 7,
                initialPeers: cluster.addresses, listenHost: "127.0.0.1", listenPort: 0, tls: nil)
            configuration.witness = witness
            configuration.silence()
            return configuration
        }
        #expect(throws: ConfigurationError.self) { try Replica(configuration(3, witness: PeerID(2))) }
        #expect(throws: ConfigurationError.self) { try Replica(configuration(2, witness: PeerID(2))) }
        // Without a flag each is what it was.
        for id in [UInt64(1), 3] {
            let replica = try Replica(configuration(id, witness: nil))
            #expect(replica.status.isWitness == (id == 3))
            await replica.halt()
        }
        await cluster.end()
    }

    @Test func `members that were told of different witnesses never mix, and are told so`() async throws {
        let odd = Mutex(Set<String>())
        let cluster = Cluster(3) { configuration in
            let numbers = ClusterNumbers(
                token: "t", members: configuration.initialPeers.map { ($0.name, $0.host, $0.port) },
                witness: odd.withLock { $0.contains(configuration.name) } ? nil : "m3")
            configuration.initialPeers = numbers.peers
            configuration.clusterID = numbers.cluster
            configuration.witness = numbers.witness
            configuration.id = numbers.peers.first { $0.name == configuration.name }?.id ?? configuration.id
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        for i in 0..<10 { _ = try await leader.propose(put("k\(i)", "v")) }
        // One begins anew, told otherwise: nobody takes its word, and it takes nobody's.
        await cluster.halt(PeerID(1))
        removeTree(cluster.directory + "/m1")
        _ = odd.withLock { $0.insert("m1") }
        try await cluster.start(PeerID(1))
        let stranger = try #require(cluster[PeerID(1)])
        let other = try #require(cluster[PeerID(2)])
        _ = try await other.propose(put("after", "v"))
        #expect(stranger.status.leader == nil && stranger.view().keyCount == 0)
        #expect(stranger.configuration.clusterID != other.configuration.clusterID)
        let group = MultiThreadedEventLoopGroup.singleton
        let why = try #require(await stranger.contradictedWitness(group: group))
        #expect(why.contains("--initial-witness") && why.contains("m3"))
        #expect(await other.contradictedWitness(group: group) == nil, "it is not the one to go")
        await cluster.halt(PeerID(3))
        try await eventually("nobody leads, though two of three run") { other.status.leader == nil }
        #expect(stranger.status.leader == nil)
        #expect(await other.contradictedWitness(group: group) == nil, "it has what was acknowledged")
        for address in cluster.addresses { await cluster.halt(address.id) }
        await cluster.end()
    }

    /// The worst that its loss can do: the member that comes back lacks what the witness alone had beside the one that
    /// is gone now.
    @Test func `a witness that lost its disk elects nobody who lacks what it acknowledged`() async throws {
        let cluster = Cluster(3, change: withWitness)
        try await cluster.startAll()
        let first = try await cluster.leader()
        let leading = first.configuration.id
        let other = PeerID(3 - leading.rawValue)
        for i in 0..<10 { _ = try await first.propose(put("k\(i)", "v")) }
        await cluster.halt(other)
        _ = try await first.propose(put("precious", "v"))
        await cluster.halt(leading)
        await cluster.halt(witness)
        removeTree(cluster.directory + "/m3")
        try await cluster.start(witness)
        try await cluster.start(other)
        let behind = try #require(cluster[other])
        await #expect(throws: ProposeError.noLeader) { try await behind.propose(put("other", "v")) }
        // A restart does not make it believe that it has caught up.
        await cluster.halt(witness)
        try await cluster.start(witness)
        await #expect(throws: ProposeError.noLeader) { try await behind.propose(put("other", "v")) }
        try await cluster.start(leading)
        let again = try #require(cluster[leading])
        _ = try await again.propose(put("after", "v"))
        #expect(again.view().keyCount == 12 && again.view().get(Key("precious")) != nil)
        try await eventually("the witness has caught up") {
            access(cluster.directory + "/m3/newborn", F_OK) != 0
                && cluster[witness]?.status.appliedIndex == again.status.appliedIndex
        }
        // Its word counts again.
        await cluster.halt(try await cluster.leader().configuration.id)
        let left = try #require(cluster.replicas.first { !$0.status.isWitness })
        _ = try await left.propose(put("alone", "v"))
        #expect(left.view().keyCount == 13)
        await cluster.end()
    }
}
