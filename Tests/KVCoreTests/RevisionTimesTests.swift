// One mark a second for people who think in times.
import KVCore
import Testing

struct RevisionTimesTests {
    @Test func `the first revision of each second is marked, once`() {
        var times = RevisionTimes(after: Revision(10))
        times.note(Revision(10), at: 1_000)
        #expect(times.kept.isEmpty)
        times.note(Revision(12), at: 1_500)
        times.note(Revision(20), at: 1_999)
        times.note(Revision(25), at: 5_001)
        #expect(
            times.take() == [
                RevisionTime(revision: Revision(11), unixMilliseconds: 1_500),
                RevisionTime(revision: Revision(21), unixMilliseconds: 5_001)
            ])
        #expect(times.take().isEmpty)
        // A clock that was set back marks too.
        times.note(Revision(26), at: 4_000)
        #expect(times.take().map(\.revision) == [Revision(26)])
    }

    @Test func `what is kept is bounded`() {
        var times = RevisionTimes(after: .zero)
        for i in 1...1000 { times.note(Revision(Int64(i)), at: Int64(i) * 1000) }
        #expect(times.kept.count == RevisionTimes.keptMax && times.kept.last?.revision == Revision(1000))
    }
}
