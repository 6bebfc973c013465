// What flows over streams by itself: progress, previous values, renewals of leases, and the kernel's questions to clients
// that say nothing.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct StreamTests {
    @Test func `who wants progress is told it without asking, and nobody else`() async throws {
        let face = try await Face()
        try await face.put("other", "1")
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        for (id, wants) in [(1, true), (2, false)] {
            call.send(
                request {
                    $0.message(1) {
                        $0.string(1, "mine"); $0.bool(4, wants); $0.int(7, id)
                    }
                })
        }
        try await face.put("other", "2")
        let revision = face.replica.view().revision.rawValue
        var told: Int64 = 0
        while told < revision, let message = try await call.next() {
            let answer = try WatchAnswer(message)
            #expect(answer.isCreated || (answer.isProgress && answer.id == 1), "\(answer)")
            if answer.isProgress { told = answer.revision }
        }
        #expect(told == revision)
        call.cancel()
        try await face.end()
    }

    /// Revision and previous value of each event, as far as it has one.
    private func events(_ endpointOf: Face, from start: Int64, _ count: Int) async throws -> [[String]] {
        let call = try await endpointOf.channel.open("/etcdserverpb.Watch/Watch")
        call.send(
            request {
                $0.message(1) {
                    $0.string(1, "k"); $0.int64(3, start); $0.bool(6, true)
                }
            })
        var found: [[String]] = []
        while found.count < count, let message = try await call.next() {
            for event in try Fields(message).messages(11) {
                let current = try #require(try event.messages(2).first)
                let previous = try event.messages(3).first
                found.append(["\(current[3])", previous.map { "\($0[3]) \($0.texts(5))" } ?? "none"])
            }
        }
        call.cancel()
        return found
    }

    @Test func `an event that is kept has its previous value, also when that is compacted`() async throws {
        let face = try await Face()
        for value in ["a", "b", "c", "d"] { try await face.put("k", value) }
        let all = [["2", "none"], ["3", #"2 ["a"]"#], ["4", #"3 ["b"]"#], ["5", #"4 ["c"]"#]]
        #expect(try await events(face, from: 2, 4) == all)
        try await face.replica.compact(to: Revision(3))
        #expect(try await events(face, from: 3, 3) == Array(all[1...]))
        try await face.end(keepsData: true)
        // Read back from the disk.
        let again = try await Face(directory: face.directory)
        #expect(try await events(again, from: 3, 3) == Array(all[1...]))
        try await again.end()
    }

    @Test func `renewals that come together share an entry of the log`() async throws {
        let face = try await Face()
        let leases = try await withThrowingTaskGroup(of: Int64.self) { group in
            for _ in 0..<300 {
                group.addTask { try await face.replica.grantLease(.none, ttlSeconds: 600).id.rawValue }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let call = try await face.channel.open("/etcdserverpb.Lease/LeaseKeepAlive")
        let before = face.replica.status.appliedIndex.rawValue
        for lease in leases { call.send(request { $0.int64(1, lease) }) }
        call.finishSending()
        var renewed: [Int64] = []
        while let message = try await call.next() {
            let answer = try Fields(message)
            #expect(answer[3] == 600)
            renewed.append(answer[2])
        }
        #expect(renewed.sorted() == leases.sorted())
        let entries = face.replica.status.appliedIndex.rawValue - before
        #expect(entries < 150, "\(entries) entries for 300 renewals")
        try await face.end()
    }

    /// Whether the kernel will ask the client at the other end of each connection to this port by itself: the kind of
    /// timer that runs, 2 for keep-alive.
    private func timers(_ port: Int) -> [String] {
        let hex = String(port, radix: 16, uppercase: true)
        let local = "0100007F:" + String(repeating: "0", count: 4 - hex.count) + hex
        return Shell.run("cat /proc/net/tcp").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count > 5, words[1] == local, words[3] == "01" else { return nil }
            return String(words[5].prefix(2))
        }
    }

    @Test func `the kernel asks clients that say nothing whether they are there`() async throws {
        let face = try await Face()
        let call = try await face.channel.open("/etcdserverpb.Watch/Watch")
        call.send(WatchAsk.create("k"))
        _ = try await call.next()
        // What was sent is acknowledged: the retransmission's timer is gone.
        try await eventually { timers(face.port) == ["02"] }
        call.cancel()
        try await face.end()
    }
}
