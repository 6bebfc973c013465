// The past beyond the memory window, from disk: reads at old revisions and watches that begin there.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Synchronization
import Testing

@Suite(.serialized) struct HistoryTests {
    /// So many revisions that the first ones are on disk only.
    private static let revisions = EventWindow.revisionsMaxDefault + 2000

    private func write(_ face: Face) async throws {
        for start in stride(from: 0, to: Self.revisions, by: 500) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for i in start..<min(start + 500, Self.revisions) {
                    group.addTask {
                        let key = Key("h/\(i % 10)")
                        _ = try await face.replica.propose(Txn(success: [.put(key, Array("\(i)".utf8))]))
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func `what memory has forgotten is read and watched from disk, down to the compacted revision`() async throws
    {
        let face = try await Face()
        for i in 0..<10 { try await face.put("h/\(i)", "first") }
        try await write(face)
        let floor = face.replica.view().revision.rawValue - Int64(EventWindow.revisionsMaxDefault)
        #expect(floor > 100)
        #expect(try await face.range("h/", "h0", revision: 5).keys == ["h/0", "h/1", "h/2", "h/3"])
        #expect(try await face.range("h/3", revision: 4).keys == [])
        #expect(try await face.range("h/", "h0", revision: 500).count == 10)
        try await readInTransactions(face)
        let seen = Mutex<[Int64]>([])
        let watch = face.replica.watch(KeyRange.prefix(Key("h/")), after: Revision(1)) { delivery in
            if case .events(let revision, _) = delivery { seen.withLock { $0.append(revision.rawValue) } }
        }
        let last = face.replica.view().revision.rawValue + 1
        try await face.put("h/1", "last")
        try await eventually { !(seen.withLock({ $0.last ?? 0 }) < last) }
        #expect(seen.withLock { $0 } == Array(2...last))
        face.replica.cancel(watch)
        try await face.replica.compact(to: Revision(50))
        await #expect(throws: GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision has been compacted")) {
            try await face.range("h/", "h0", revision: 49)
        }
        #expect(try await face.range("h/", "h0", revision: 50).count == 10)
        try await face.end()
    }

    @Test func `many watches that resume at old revisions read the past once, and each is told all of its own`()
        async throws
    {
        let face = try await Face()
        try await write(face)
        let count = 300, last = face.replica.view().revision.rawValue
        let seen = Mutex(Array(repeating: [Int64](), count: count))
        let before = face.replica.historyReads.total
        // Ten keys are written in turn; some watches begin a little later than others, and some watch all keys.
        let watches = (0..<count).map { i in
            let range = i % 7 == 0 ? KeyRange.prefix(Key("h/")) : KeyRange(Key("h/\(i % 10)"))
            return face.replica.watch(range, after: Revision(Int64(1 + i % 5 * 40))) { delivery in
                if case .events(let revision, _) = delivery { seen.withLock { $0[i].append(revision.rawValue) } }
            }
        }
        for i in 0..<10 { try await face.put("h/\(i)", "end") }
        try await eventually { !(seen.withLock({ $0.contains { ($0.last ?? 0) <= last } })) }
        let reads = face.replica.historyReads.total - before
        let truth = try await truth(face, through: last)
        for i in 0..<count {
            let start = Int64(1 + i % 5 * 40)
            let wanted = (start + 1...last).filter { i % 7 == 0 || truth[$0] == "h/\(i % 10)" }
            let told = seen.withLock { $0[i] }.filter { $0 <= last }
            #expect(
                told == wanted, "watch \(i) of \(i % 7 == 0 ? "all" : "h/\(i % 10)"): \(told.count) of \(wanted.count)")
        }
        // Each would have read two thousand revisions, 256 at a time, for itself: eight reads.
        #expect(reads < 4 * count, "\(reads) reads")
        for watch in watches { face.replica.cancel(watch) }
        try await face.end()
    }

    /// Which key was written at each revision: what one watch alone is told.
    private func truth(_ face: Face, through last: Int64) async throws -> [Int64: String] {
        let found = Mutex<[Int64: String]>([:])
        let watch = face.replica.watch(.all, after: Revision(1)) { delivery in
            guard case .events(let revision, let events) = delivery, let key = events.first?.current.key else { return }
            found.withLock { $0[revision.rawValue] = String(decoding: key.bytes, as: UTF8.self) }
        }
        try await eventually { !(found.withLock({ $0[last] == nil })) }
        face.replica.cancel(watch)
        return found.withLock { $0 }
    }

    @Test func `watches of the past that are gone cost no reads, and too many reads at once are refused`() async throws
    {
        let face = try await Face()
        for i in 0..<10 { try await face.put("h/\(i)", "first") }
        try await write(face)
        let watches = (0..<500).map { _ in
            face.replica.watch(KeyRange.prefix(Key("none/")), after: Revision(1)) { _ in }
        }
        for watch in watches { face.replica.cancel(watch) }
        let before = face.replica.historyReads.total
        #expect(try await face.range("h/", "h0", revision: 5).count == 4)
        // A view reads what lies before the window, 256 revisions at a time; each watch would have read once at least.
        #expect(face.replica.historyReads.total - before < 100)
        // Who asks so slowly that each is done before the next is refused nothing.
        try await eventually("some are refused") { try await refused(face) > 0 }
        #expect(try await face.range("h/", "h0", revision: 5).count == 4)
        try await face.end()
    }

    /// How many of some reads at once are refused.
    private func refused(_ face: Face) async throws -> Int {
        let answers = Mutex((done: 0, refused: 0))
        for _ in 0..<(4 * HistoryReads.viewsMax) {
            face.replica.view(at: Revision(5), .all) { result in
                answers.withLock { answers in
                    answers.done += 1
                    if case .failure(.unavailable) = result { answers.refused += 1 }
                }
            }
        }
        try await eventually { !(answers.withLock({ $0.done }) < 4 * HistoryReads.viewsMax) }
        let refused = answers.withLock { $0.refused }
        #expect(refused <= 3 * HistoryReads.viewsMax)
        return refused
    }

    /// The branch that is taken reads the disk's history too; nothing is done when it may not.
    private func readInTransactions(_ face: Face) async throws {
        let past = Op.range(RangeRequest(.prefix(Key("h/")), revision: Revision(5)))
        let nested = Txn(
            compares: [.absent(Key("h/0"))], success: [],
            failure: [.range(RangeRequest(KeyRange(Key("h/3")), revision: Revision(4))), past])
        let result = try await face.replica.propose(Txn(success: [past, .txn(nested), .delete(Key("none"))]))
        guard case .range(let first) = result.results[0], case .txn(let inner) = result.results[1],
            case .range(let absent) = inner.results[0], case .range(let second) = inner.results[1]
        else { throw GRPCStatus(.internal, "\(result)") }
        #expect(first.items.map(\.key.text) == ["h/0", "h/1", "h/2", "h/3"] && first == second)
        #expect(absent.items.isEmpty && !inner.succeeded)
        let before = face.replica.view().revision
        let future = Op.range(RangeRequest(.all, revision: Revision(before.rawValue + 2)))
        await #expect(throws: ProposeError.refused(.future(before))) {
            try await face.replica.propose(Txn(success: [.put(Key("never"), [1]), future]))
        }
        #expect(face.replica.view().revision == before)
    }

    @Test func `a past view needs every revision and knows when one is missing`() throws {
        var machine = StateMachine()
        _ = machine.apply(entry(1, Txn(success: [.put(Key("a"), [1])])))
        let snapshot = machine.snapshot
        var past = try PastView(snapshot, at: Revision(1), .all)
        #expect(past.needsThrough == nil && past.finish()?.revision == Revision(1))
        let isNext = past.add(RevisionEvents(revision: Revision(3), events: []))
        #expect(!isNext)
        #expect(throws: ReadError.future(snapshot.view.revision)) { try PastView(snapshot, at: Revision(9), .all) }
    }

    private func entry(_ index: UInt64, _ txn: Txn) -> Entry {
        let id = ProposalID(client: ClientID(rawValue: 1), serial: index, settledBelow: 0)
        let proposal = EntryFormat.encode(ClientProposal(id: id, command: .txn(txn)))
        return Entry(
            term: Term(1), index: LogIndex(index), data: EntryFormat.entry(logTime: 0, proposal: proposal))
    }
}
