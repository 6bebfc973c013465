// Views of the past that are kept for who asks again, and what is posted while the replica has no time.
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

struct PastViewTests {
    @Test func `few are kept, and none that was compacted or that nobody asked for in a minute`() {
        var views = PastViews()
        for number in 1...6 { views.add(Revision(Int64(number)), KVView(), now: 0) }
        #expect(views.find(Revision(2), now: 0) == nil)
        #expect(views.find(Revision(3), now: 0) != nil)
        views.letGo(now: 1, compacted: Revision(5))
        #expect(views.find(Revision(4), now: 1) == nil)
        #expect(views.find(Revision(5), now: 50_000) != nil)
        views.letGo(now: 70_000, compacted: Revision(5))
        #expect(views.find(Revision(6), now: 70_000) == nil)
        #expect(views.find(Revision(5), now: 70_000) != nil)
        views.removeAll()
        #expect(views.isEmpty)
    }

    @Test(.timeLimit(.minutes(5)))
    func `a watch that is cancelled while the replica is overloaded is told nothing more`() async throws {
        let cluster = Cluster(1) { $0.pendingProposalsMax = 4 }
        try await cluster.startAll()
        let replica = try await cluster.leader()
        let events = Mutex(0)
        let watch = replica.watch(.all, after: nil) { delivery in
            if case .events = delivery { events.withLock { $0 += 1 } }
        }
        _ = try await replica.propose(put("a", "seen"))
        try await eventually("the watch is told") { events.withLock { $0 } >= 1 }
        // The replica's thread stands in this observer while the mailbox fills.
        let gate = Mutex(false)
        let isHeld = Mutex(false)
        replica.onLeadership { _ in
            isHeld.withLock { $0 = true }
            while !gate.withLock({ $0 }) {}
        }
        while !isHeld.withLock({ $0 }) { await Task.yield() }
        let refused = Mutex(0)
        let answered = Mutex(0)
        for _ in 0..<8 {
            replica.propose(put("b", "1"), fence: nil) { result in
                if case .failure(.overloaded) = result { refused.withLock { $0 += 1 } }
                answered.withLock { $0 += 1 }
            }
        }
        #expect(refused.withLock { $0 } == 4)
        replica.cancel(watch)
        let before = events.withLock { $0 }
        gate.withLock { $0 = true }
        try await eventually("all are answered") { answered.withLock { $0 } == 8 }
        _ = try await replica.propose(put("c", "unseen"))
        #expect(events.withLock { $0 } <= before + 4)
        let after = events.withLock { $0 }
        _ = try await replica.propose(put("d", "unseen"))
        try await replica.barrier()
        #expect(events.withLock { $0 } == after)
        await cluster.end()
    }
}
