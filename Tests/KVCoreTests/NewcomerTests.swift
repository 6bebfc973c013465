// Who begins with nothing, and what the others' answers make of it.

import KVCore
import Raft
import Testing

private let one = PeerID(1), two = PeerID(2), three = PeerID(3)

@Suite struct NewcomerTests {
    @Test func `in a new cluster it is new when with itself a quorum does not know it`() {
        var newcomer = Newcomer(members: 5, others: 4, joins: false)
        newcomer.note(false, by: one)
        #expect(newcomer.verdict == .open)
        newcomer.note(false, by: one)
        #expect(newcomer.verdict == .open, "the same one counts once")
        newcomer.note(false, by: two)
        #expect(newcomer.verdict == .isNew)
        newcomer.note(true, by: three)
        #expect(newcomer.verdict == .isNew, "it has begun")
    }

    @Test func `one that knows it is enough to refuse it`() {
        var newcomer = Newcomer(members: 5, others: 4, joins: false)
        newcomer.note(false, by: one)
        newcomer.note(true, by: two)
        newcomer.note(false, by: three)
        #expect(newcomer.verdict == .tookPart)
    }

    @Test func `who joins needs one answer, and none where nobody is`() {
        var newcomer = Newcomer(members: 4, others: 3, joins: true)
        #expect(newcomer.verdict == .open)
        newcomer.note(false, by: one)
        #expect(newcomer.verdict == .isNew)
        #expect(Newcomer(members: 1, others: 0, joins: true).verdict == .isNew)
    }

    @Test func `only who has nothing must ask, is no witness and not alone`() {
        let blank = Restored.fresh(Configuration(voters: [one, two, three]))
        #expect(Newcomer.mustAsk(blank, isWitness: false, members: 3, joins: false))
        #expect(!Newcomer.mustAsk(blank, isWitness: true, members: 3, joins: false))
        #expect(!Newcomer.mustAsk(blank, isWitness: false, members: 1, joins: false))
        #expect(Newcomer.mustAsk(blank, isWitness: false, members: 1, joins: true))
        var old = blank
        old.hardState.term = Term(1)
        #expect(!Newcomer.mustAsk(old, isWitness: false, members: 3, joins: false))
    }
}
