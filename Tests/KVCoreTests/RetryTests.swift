// A proposal is sent again when leadership moves, since nobody knows whether the first copy survived. Raft may then keep
// both copies; the session table executes one.
import KVCore
import Raft
import Testing

private let key = "only-once"
private let command = Command.txn(Txn(success: [.put(Key(key), [7])]))

extension ReplicaLab {
    /// How often the log holds the command.
    fileprivate func copies(at i: Int) -> Int {
        var count = 0
        cores[i].raft.forEachEntry(after: .zero) { entry in
            let bytes = Array(key.utf8)
            let places = entry.data.indices.dropLast(min(entry.data.count, bytes.count - 1))
            if places.contains(where: { Array(entry.data[$0..<($0 + bytes.count)]) == bytes }) { count += 1 }
        }
        return count
    }

    fileprivate mutating func wait(for ticket: Ticket) {
        for _ in 0..<400 where outcomes[ticket] == nil { pass(10) }
        pass(200)
    }
}

/// Proposes at a follower; `reaching`: who hears the old leader's append before it is gone.
private func retry(reaching followers: [Int]) -> (lab: ReplicaLab, ticket: Ticket, old: Int, before: Revision) {
    var lab = ReplicaLab(3)
    let old = lab.elect(), asked = (old + 1) % 3
    lab.put("before", at: asked)
    lab.pass(100)
    let before = lab.cores[asked].state.revision
    let ticket = lab.propose(command, at: asked)
    lab.act(asked)
    lab.mute = Set(lab.cores.indices)
    if !followers.isEmpty { lab.mute.remove(old) }
    lab.act(old)
    lab.mute = Set(lab.cores.indices)
    for i in followers { lab.act((old + i) % 3) }
    lab.cut = [old]
    lab.mute = []
    lab.wait(for: ticket)
    return (lab, ticket, old, before)
}

@Test func `a proposal whose first copy survived the leader is executed once`() {
    let (lab, ticket, old, before) = retry(reaching: [1, 2])
    let new = lab.leader ?? old
    #expect(new != old)
    #expect(lab.copies(at: new) == 2, "the new leader has the old one's copy and the one that was sent again")
    for i in lab.cores.indices where i != old {
        #expect(lab.cores[i].state.revision.rawValue == before.rawValue + 1, "executed once")
        #expect(lab.cores[i].state.sortedMembers.count == 3)
    }
    guard case .success(.txn(let result))? = lab.outcomes[ticket] else {
        Issue.record("no outcome: \(String(describing: lab.outcomes[ticket]))")
        return
    }
    #expect(result.succeeded && result.revision.rawValue == before.rawValue + 1)
}

@Test func `a proposal whose first copy nobody else had is executed once, also by the old leader when it is back`() {
    var (lab, ticket, old, before) = retry(reaching: [])
    let new = lab.leader ?? old
    #expect(new != old)
    #expect(lab.copies(at: new) == 1)
    guard case .success? = lab.outcomes[ticket] else {
        Issue.record("no outcome: \(String(describing: lab.outcomes[ticket]))")
        return
    }
    #expect(lab.copies(at: old) == 1, "its own, that will be replaced")
    lab.cut = []
    lab.pass(500)
    for i in lab.cores.indices {
        #expect(lab.copies(at: i) == 1)
        #expect(lab.cores[i].state.revision.rawValue == before.rawValue + 1)
        #expect(lab.cores[i].state.appliedIndex == lab.cores[new].state.appliedIndex)
    }
}
