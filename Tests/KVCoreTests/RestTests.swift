// A replica that has nothing to do says how long it may be left alone. What passes meanwhile counts as if it had been
// told tick by tick: nothing falls due early, late or by being asleep.
import KVCore
import Raft
import Testing

/// A leader, and a follower that heard it now.
private func pair() -> (lab: ReplicaLab, leader: Int, follower: Int) {
    var lab = ReplicaLab(3)
    lab.pass(3000)
    let leader = lab.leader ?? 0
    return (lab, leader, leader == 0 ? 1 : 0)
}

private func isLed(_ core: ReplicaCore) -> Bool { core.raft.leader != nil }

@Test func `a leader rests until its next heartbeat`() {
    var (lab, leader, _) = pair()
    var beats: [Int64] = []
    var passed: Int64 = 0
    while passed < 500 {
        let rest = lab.cores[leader].rest()
        passed += rest
        lab.clocks[leader] += rest
        lab.cores[leader].advance(to: lab.clocks[leader])
        while let output = lab.cores[leader].takeOutput() {
            if !output.messages.isEmpty { beats.append(passed) }
        }
    }
    #expect(beats.count >= 9)
    #expect(zip(beats, beats.dropFirst()).allSatisfy { $1 - $0 == 50 })
}

@Test func `a follower that rests gives its leader up neither early nor late`() {
    var (lab, leader, follower) = pair()
    var twin = lab
    lab.cut = [leader]
    // Told tick by tick.
    var silence: Int64 = 0
    while isLed(twin.cores[follower]), silence < 2000 {
        twin.tell(follower, 10)
        silence += 10
    }
    // Told at the end of its rest.
    var rested: Int64 = 0
    var rests = 0
    while isLed(lab.cores[follower]), rested < 2000 {
        let rest = lab.cores[follower].rest()
        lab.tell(follower, rest)
        rested += rest
        rests += 1
    }
    #expect(rested == silence)
    #expect(rests == 1 && silence >= 100)
}

@Test func `silence counts from the message that ends a rest, not from the rest's beginning`() {
    var (lab, leader, follower) = pair()
    let rest = lab.cores[follower].rest()
    #expect(rest > 100)
    lab.clocks[follower] += 90
    lab.cores[follower].wake(at: lab.clocks[follower])
    let beat = Message(
        from: lab.cores[leader].id, to: lab.cores[follower].id, term: lab.cores[leader].raft.term,
        .heartbeat(commit: .zero, round: 0))
    lab.cores[follower].receive(.raft(beat), from: lab.cores[leader].id)
    lab.cores[follower].advance(to: lab.clocks[follower])
    // Below the shortest time in which anybody is given up.
    for _ in 0..<14 {
        lab.tell(follower, 10)
        #expect(isLed(lab.cores[follower]))
    }
    #expect(lab.cores[follower].rest() >= 10)
}

@Test func `a rest that lasts far longer than planned was a frozen process, which hears the others first`() {
    var (lab, _, follower) = pair()
    let rest = lab.cores[follower].rest()
    lab.tell(follower, rest + 400)
    #expect(isLed(lab.cores[follower]))
}

@Test func `whoever waits for something does not rest`() {
    var (lab, leader, follower) = pair()
    #expect(!lab.cores[follower].restsTooLong)
    _ = lab.cores[follower].rest()
    lab.cut = [leader]
    _ = lab.read(at: follower)
    #expect(lab.cores[follower].restsTooLong)
    #expect(lab.cores[follower].rest() <= 10)
}
