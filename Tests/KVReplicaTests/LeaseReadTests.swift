// Reads by lease on real replicas, with the machine's clock: what any of them shows is never older than what was
// acknowledged before it was asked, while leaders freeze, hand over and die.
import Glibc
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

/// What was acknowledged, and what was read wrongly.
private final class Ledger: Sendable {
    private struct State {
        var acknowledged = Revision.zero
        var writes = 0
        var reads = 0
        var byLease: UInt64 = 0
        var complaints: [String] = []
        var isOver = false
    }
    private let state = Mutex(State())
    var floor: Revision { state.withLock { $0.acknowledged } }
    var isOver: Bool { state.withLock { $0.isOver } }
    var reads: Int { state.withLock { $0.reads } }
    var writes: Int { state.withLock { $0.writes } }
    var byLease: UInt64 { state.withLock { $0.byLease } }
    var complaints: [String] { state.withLock { $0.complaints } }
    func end() { state.withLock { $0.isOver = true } }

    func wrote(_ revision: Revision) {
        state.withLock {
            $0.acknowledged = max($0.acknowledged, revision)
            $0.writes += 1
        }
    }

    func add(byLease: UInt64) { state.withLock { $0.byLease += byLease } }

    func read(_ seen: Revision, floor: Revision, at name: String) {
        state.withLock {
            $0.reads += 1
            if seen < floor { $0.complaints.append("\(name) showed \(seen) after \(floor) was acknowledged") }
        }
    }
}

@Suite(.serialized) struct LeaseReadTests {
    private func write(_ cluster: Cluster, _ ledger: Ledger) async throws {
        while !ledger.isOver {
            guard let replica = cluster.replicas.randomElement() else { continue }
            do { ledger.wrote(try await replica.propose(put("x", "v")).revision) } catch {
                try await Task.sleep(for: .milliseconds(2))
            }
        }
    }

    private func read(_ cluster: Cluster, _ ledger: Ledger) async throws {
        while !ledger.isOver {
            guard let replica = cluster.replicas.randomElement() else { continue }
            let floor = ledger.floor
            do {
                try await replica.barrier()
                let seen = replica.view().get(Key("x"))?.modRevision ?? .zero
                ledger.read(seen, floor: floor, at: replica.configuration.name)
            } catch { try await Task.sleep(for: .milliseconds(2)) }
        }
    }

    private func disturb(_ cluster: Cluster, _ ledger: Ledger) async throws {
        defer { ledger.end() }
        for round in 0..<12 {
            let before = (ledger.writes, ledger.reads)
            try await Task.sleep(for: .milliseconds(300))
            try await eventually("both go on") { ledger.writes > before.0 && ledger.reads > before.1 }
            let leader = try await cluster.leader()
            let id = leader.configuration.id
            switch round % 3 {
            case 0: leader.afterInputs { usleep(400_000) }
            case 1: do { try await leader.transferLeadership(to: nil) } catch { continue }
            default:
                ledger.add(byLease: leader.status.counters.readsByLeaseTotal)
                await cluster.halt(id)
                try await cluster.start(id)
            }
        }
        try await eventually("somebody reads by lease") {
            ledger.byLease > 0 || cluster.replicas.contains { $0.status.counters.readsByLeaseTotal > 0 }
        }
    }

    @Test func `reads by lease are never old, while leaders freeze, hand over and die`() async throws {
        let cluster = Cluster(3) { $0.useLeaseReads() }
        try await cluster.startAll()
        _ = try await cluster.leader()
        let ledger = Ledger()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 { group.addTask { try await write(cluster, ledger) } }
            for _ in 0..<6 { group.addTask { try await read(cluster, ledger) } }
            group.addTask { try await disturb(cluster, ledger) }
            try await group.waitForAll()
        }
        for replica in cluster.replicas { ledger.add(byLease: replica.status.counters.readsByLeaseTotal) }
        #expect(ledger.complaints.isEmpty, "\(ledger.complaints.prefix(5))")
        #expect(ledger.writes > 10 && ledger.reads > 10 && ledger.byLease > 0)
        print("\(ledger.writes) writes, \(ledger.reads) reads, \(ledger.byLease) batches of them by lease")
        await cluster.end()
    }

    @Test func `a cluster of which one member promises nothing serves reads, too`() async throws {
        let cluster = Cluster(3) { if $0.id != PeerID(3) { $0.useLeaseReads() } }
        try await cluster.startAll()
        for i in 0..<30 {
            let result = try await cluster.replicas[i % 3].propose(put("x", "\(i)"))
            let reader = cluster.replicas[(i + 1) % 3]
            try await reader.barrier()
            #expect(reader.view().get(Key("x"))?.modRevision == result.revision)
        }
        await cluster.end()
    }

    @Test func `lease reads with the connection-loss hint are refused`() {
        var configuration = ReplicaConfiguration.single(dataDirectory: "/nowhere")
        configuration.useLeaseReads()
        #expect(throws: Never.self) { try configuration.validate() }
        configuration.raft.usesConnectionLossHint = true
        #expect(throws: ConfigurationError.self) { try configuration.validate() }
        configuration.raft.usesConnectionLossHint = false
        configuration.tickMilliseconds = 100_000
        #expect(throws: ConfigurationError.self) { try configuration.validate() }
    }

    @Test func `a directory remembers that its member gave promises`() throws {
        let folder = temporaryDirectory()
        defer { removeTree(folder) }
        let without = RaftSettings()
        #expect(try !PromiseMark.settings(without, in: folder).mayHavePromised)
        var with = ReplicaConfiguration.single(dataDirectory: folder)
        with.useLeaseReads()
        #expect(try PromiseMark.settings(with.raft, in: folder) == with.raft)
        let later = try PromiseMark.settings(without, in: folder)
        #expect(later.mayHavePromised && !later.leaseReads && later.isValid)
        #expect(throws: ConfigurationError.self) { try PromiseMark.settings(with.raft, in: "\(folder)/not/there") }
    }
}
