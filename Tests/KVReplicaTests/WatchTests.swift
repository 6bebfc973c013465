// Watches across leader changes, restarts and snapshots: every revision once, in order, or an explicit end.
import Dispatch
import Glibc
import KVCore
import KVReplica
import Raft
import Synchronization
import Testing

/// Remembers what one watch was told.
final class Watcher: Sendable {
    private let seen = Mutex<(revisions: [Revision], ends: [WatchDelivery])>(([], []))
    func take(_ delivery: WatchDelivery) {
        seen.withLock { seen in
            switch delivery {
            case .events(let revision, _): seen.revisions.append(revision)
            case .progress: break
            case .compacted, .tooMany, .reset, .ended: seen.ends.append(delivery)
            }
        }
    }
    var revisions: [Revision] { seen.withLock { $0.revisions } }
    var ends: [WatchDelivery] { seen.withLock { $0.ends } }
}

@Suite(.serialized) struct WatchTests {
    @Test func `a watch on a survivor has neither gap nor repetition across leader changes`() async throws {
        let cluster = Cluster(3)
        try await cluster.startAll()
        let keeper = try #require(cluster[PeerID(3)])
        let watcher = Watcher()
        _ = keeper.watch(.prefix(Key("w/")), after: Revision(1)) { watcher.take($0) }
        var last = Revision(1)
        for round in 0..<3 {
            for i in 0..<30 { last = try await keeper.propose(put("w/\(i)", "\(round)")).revision }
            let leader = try await cluster.leader()
            guard leader !== keeper else {
                try await keeper.transferLeadership(to: nil)
                continue
            }
            await cluster.halt(leader.configuration.id)
            last = try await keeper.propose(put("w/after", "\(round)")).revision
            try await cluster.start(leader.configuration.id)
        }
        try await eventually("the last revision is seen") { watcher.revisions.last == last }
        #expect(watcher.revisions == (2...last.rawValue).map { Revision($0) })
        #expect(watcher.ends.isEmpty)
        await cluster.end()
    }

    @Test func `a watch resumes after a restart from where it was`() async throws {
        let cluster = Cluster(1)
        try await cluster.start(PeerID(1))
        for i in 0..<50 { _ = try await #require(cluster[PeerID(1)]).propose(put("k\(i)", "v")) }
        await cluster.stop(PeerID(1))
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        let watcher = Watcher()
        _ = replica.watch(.all, after: Revision(20)) { watcher.take($0) }
        try await eventually("the backlog is delivered") { watcher.revisions.count == 31 }
        #expect(watcher.revisions == (21...51).map { Revision($0) })
        #expect(try replica.view(at: Revision(11)).keyCount == 10)
        await cluster.end()
    }

    @Test func `the past that waits to be written is not called compacted`() async throws {
        let cluster = Cluster(1) { $0.windowRevisionsMax = 2 }
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        for i in 0..<20 { _ = try await replica.propose(put("k\(i)", "v")) }
        try await eventually("it is read from the disk") {
            let result = await withCheckedContinuation { waiting in
                replica.view(at: Revision(5), .all) { waiting.resume(returning: $0) }
            }
            if case .failure(.unavailable) = result { return false }
            guard case .success(let view) = result else { throw TestFailure("\(result)") }
            return view.keyCount == 4
        }
        await cluster.end()
    }

    @Test func `a watch below the compacted revision is told so`() async throws {
        let cluster = Cluster(1)
        try await cluster.start(PeerID(1))
        let replica = try #require(cluster[PeerID(1)])
        for i in 0..<20 { _ = try await replica.propose(put("k\(i)", "v")) }
        try await replica.compact(to: Revision(15))
        let watcher = Watcher()
        _ = replica.watch(.all, after: Revision(5)) { watcher.take($0) }
        try await eventually("the end is told") { watcher.ends == [.compacted(Revision(15))] }
        #expect(throws: ReadError.compacted(Revision(15))) { try replica.view(at: Revision(14)) }
        #expect(try replica.view(at: Revision(15)).keyCount == 14)
        #expect(throws: ReadError.future(Revision(21))) { try replica.view(at: Revision(22)) }
        await cluster.end()
    }

    @Test func `a watch that meets the end of what memory holds is told the rest from disk`() async throws {
        let cluster = Cluster(1) { $0.checkpointMilliseconds = 40 }
        try await cluster.startAll()
        let replica = try await cluster.leader()
        // A few of these are all that memory holds.
        let large = Txn(success: [.put(Key("large"), Array(repeating: 1, count: 1_000_000))])
        for _ in 0..<20 { _ = try await replica.propose(large) }
        let watchers = Mutex<[(after: Revision, watcher: Watcher)]>([])
        let (first, second) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        // The first is saved alone; while its outcome is told here the others are saved too, and are applied before the
        // watches, which look at what there is before that.
        replica.afterInputs { first.wait() }
        replica.propose(large, fence: nil) { _ in
            usleep(300_000)
            let present = replica.view().revision
            for back in 0..<30 as Range<Int64> {
                let (after, watcher) = (Revision(present.rawValue - back), Watcher())
                guard after > Revision(1) else { break }
                watchers.withLock { $0.append((after, watcher)) }
                _ = replica.watch(.all, after: after) { watcher.take($0) }
            }
        }
        replica.afterInputs { second.wait() }
        first.signal()
        try await Task.sleep(for: .milliseconds(50))
        let others = Mutex(0)
        for _ in 0..<15 { replica.propose(large, fence: nil) { _ in others.withLock { $0 += 1 } } }
        second.signal()
        try await eventually("all is written") { others.withLock { $0 } == 15 }
        let last = replica.view().revision
        var waiting = 0
        // Each reads megabytes from disk, one after the other: on a busy machine that takes a while.
        while waiting < 12_000 {
            let open = watchers.withLock { $0 }.filter { $0.watcher.revisions.last != last && $0.watcher.ends.isEmpty }
            if open.isEmpty { break }
            waiting += 1
            if waiting == 12_000 {
                let told = open.map { "after \($0.after): \($0.watcher.revisions.last as Any)" }
                Issue.record("not told up to \(last) within a minute: \(told)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        for (after, watcher) in watchers.withLock({ $0 }) {
            #expect(watcher.ends.isEmpty)
            #expect(watcher.revisions == (after.rawValue + 1...last.rawValue).map { Revision($0) })
        }
        await cluster.end()
    }

    @Test func `a follower far behind is sent a snapshot and its watches are told to read anew`() async throws {
        let cluster = Cluster(3, isSteady: true) { configuration in
            configuration.logTailEntries = 16
            configuration.checkpointMilliseconds = 30
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        let lagging = try #require(cluster.replicas.first { $0 !== leader }).configuration.id
        _ = try await leader.propose(put("first", "1"))
        await cluster.halt(lagging)
        for i in 0..<600 {
            _ = try await leader.propose(put("key-\(i % 300)", String(repeating: "x", count: 2000)))
            if i % 100 == 0 { try await Task.sleep(for: .milliseconds(100)) }
        }
        try await eventually("the log is compacted") { await leader.compactedLogIndex() > LogIndex(200) }
        let watcher = Watcher()
        // Before it is sent anything.
        try await cluster.start(lagging) { replica in _ = replica.watch(.all, after: nil) { watcher.take($0) } }
        let replica = try #require(cluster[lagging])
        try await eventually("it has caught up") {
            try await replica.barrier()
            return replica.view().keyCount == 301
        }
        try await eventually("that is told") {
            replica.status.counters.snapshotsReceivedTotal > 0 && !watcher.ends.isEmpty
        }
        #expect(watcher.ends.allSatisfy { $0 == .reset })
        let result = try await replica.propose(put("last", "1"))
        try await eventually("all agree") {
            var hashes: Set<UInt64> = []
            for one in cluster.replicas where one.status.revision >= result.revision {
                hashes.insert(await one.stateHash().hash)
            }
            return hashes.count == 1
        }
        await cluster.halt(lagging)
        try await cluster.start(lagging)
        let again = try #require(cluster[lagging])
        try await again.barrier()
        #expect(again.view().keyCount == 302)
        await cluster.end()
    }
}
