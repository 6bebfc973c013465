// What was read of the past for several watches is bounded, with what each range is told of it.
import KVCore
import KVReplica
import Testing

private func items(_ count: Int, after: Revision) -> [RevisionEvents] {
    (1...Int64(count)).map { number in
        let revision = Revision(after.rawValue + number)
        let events = ["a", "b"].map { name in
            KVEvent(
                kind: .put,
                current: KeyValue(
                    key: Key(name), value: [1], createRevision: revision, modRevision: revision, version: 1),
                previous: nil)
        }
        return RevisionEvents(revision: revision, events: events)
    }
}

/// All of them hold "a" and not "b": their deliveries are arrays of their own.
private func range(_ number: Int) -> KeyRange { KeyRange(lower: Key("a"), upper: Key("a\(number)z")) }

@Test func `what ranges are told counts among the bytes of the past in memory, and goes with it`() {
    var passes = HistoryPasses()
    passes.add(items(1000, after: Revision(1)), after: Revision(1))
    let alone = passes.bytes
    #expect(alone > 0)
    #expect(passes.next(range(0), after: Revision(1))?.deliveries.count == 1000)
    let one = passes.bytes - alone
    #expect(one >= 1000 * MemoryLayout<KVEvent>.stride)
    // Told again it costs nothing more.
    #expect(passes.next(range(0), after: Revision(1))?.last == Revision(1001))
    #expect(passes.bytes == alone + one)
    for number in 1..<20 { _ = passes.next(range(number), after: Revision(1)) }
    #expect(passes.bytes == alone + HistoryPasses.rangesMax * one)
    passes.removeAll()
    #expect(passes.bytes == 0 && passes.isEmpty)
}

@Test func `the past in memory stays below its bound, whoever is told of it`() {
    var passes = HistoryPasses()
    var start = Revision(1)
    for _ in 0..<12 {
        passes.add(items(10_000, after: start), after: start)
        for number in 0..<10 {
            #expect(passes.next(range(number), after: start)?.first == start.next)
            #expect(passes.bytes <= HistoryPasses.bytesMax)
        }
        start = Revision(start.rawValue + 10_000)
    }
    #expect(!passes.isEmpty)
}
