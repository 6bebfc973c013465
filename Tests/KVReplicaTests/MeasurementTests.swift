// Figures, printed: puts a second and their latency at one and at many clients, and the gap after leaders that crash.
// The bounds are wide: they catch a lost order of magnitude on a busy machine, not a regression of a few percent.
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

/// A client that always has one put under way.
private final class Client: Sendable {
    let replica: Replica
    let name: String
    private let times = Mutex<[Duration]>([])
    private let isEnding = Atomic<Bool>(false)
    init(_ replica: Replica, _ name: String) {
        self.replica = replica
        self.name = name
    }

    func run(_ i: Int = 0) {
        let began = ContinuousClock.now
        let txn = Txn(success: [.put(Key("bench/\(name)/\(i % 1000)"), Array(repeating: 7, count: 256))])
        replica.propose(txn, fence: nil) { [self] result in
            guard case .success = result else { return }
            times.withLock { $0.append(ContinuousClock.now - began) }
            if !isEnding.load(ordering: .relaxed) { run(i + 1) }
        }
    }

    func end() -> [Duration] {
        isEnding.store(true, ordering: .relaxed)
        return times.withLock { $0 }
    }
}

@Suite(.serialized) struct MeasurementTests {
    @Test(arguments: [1, 64, 512]) func `puts on three replicas`(clients: Int) async throws {
        let cluster = Cluster(3)
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let running = (0..<clients).map { Client(leader, "c\($0)") }
        for client in running { client.run() }
        try await Task.sleep(for: .seconds(2))
        let times = running.flatMap { $0.end() }.sorted()
        try #require(!times.isEmpty)
        print(
            "puts: \(clients) clients, \(times.count / 2) a second, p50 \(times[times.count / 2]), p99 \(times[times.count * 99 / 100])"
        )
        let counters = leader.status.counters
        print("  saves \(counters.savesTotal), mean \(counters.saveSecondsSum / Double(max(1, counters.savesTotal))) s")
        #expect(times.count > 100)
        await cluster.end()
    }

    @Test func `writes after a leader's crash`() async throws {
        let cluster = Cluster(3)
        try await cluster.startAll()
        var gaps: [Duration] = []
        for round in 0..<12 {
            let old = try await cluster.leader()
            let survivor = try #require(cluster.replicas.first { $0 !== old })
            for i in 0..<10 { _ = try await survivor.propose(put("k\(i)", "\(round)")) }
            try await Task.sleep(for: .milliseconds(600))
            async let halted: Void = cluster.halt(old.configuration.id)
            let began = ContinuousClock.now
            var last = began
            var worst = Duration.zero
            while last - began < .milliseconds(500) {
                _ = try await survivor.propose(put("after", "\(round)"))
                worst = max(worst, ContinuousClock.now - last)
                last = ContinuousClock.now
            }
            gaps.append(worst)
            await halted
            try await cluster.start(old.configuration.id)
        }
        gaps.sort()
        print("gaps: p50 \(gaps[gaps.count / 2]), worst \(gaps[gaps.count - 1])")
        #expect(gaps[gaps.count / 2] < .seconds(1))
        await cluster.end()
    }
}
