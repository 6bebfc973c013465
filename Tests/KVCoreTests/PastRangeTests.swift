// What a replica remembers of the past differs from one to the next; what a transaction does must not.
import KVCore
import Raft
import Testing

private func entry(_ index: UInt64, _ txn: Txn) -> Entry {
    let id = ProposalID(client: ClientID(rawValue: 1), serial: index, settledBelow: 0)
    let proposal = EntryFormat.encode(ClientProposal(id: id, command: .txn(txn)))
    return Entry(term: Term(1), index: LogIndex(index), data: EntryFormat.entry(logTime: 0, proposal: proposal))
}

@Test func `replicas with more and with less of the past apply a transaction alike`() {
    var long = StateMachine()
    let open = EntryFormat.encode(
        ClientProposal(
            id: ProposalID(client: ClientID(rawValue: 1), serial: 0, settledBelow: 0), command: .openSession))
    _ = long.apply(
        Entry(term: Term(1), index: LogIndex(1), data: EntryFormat.entry(logTime: 0, proposal: open)))
    for i in 2..<20 { _ = long.apply(entry(UInt64(i), Txn(success: [.put(Key("k\(i % 3)"), [UInt8(i)])]))) }
    // The same state with nothing of its past, as after a restart or a snapshot.
    var records = OrderedTree()
    long.view.forEach(.all) { record in
        records.put(record)
        return true
    }
    var short = StateMachine(
        counters: long.counters, records: records, leases: [], sessions: long.sessions.sorted, members: [],
        history: [])
    #expect(short.stateHash == long.stateHash)
    let reads = Txn(success: [.put(Key("a"), [1]), .range(RangeRequest(.all, revision: Revision(5)))])
    let (first, second) = (long.apply(entry(20, reads)), short.apply(entry(20, reads)))
    #expect(first.outcome == second.outcome && first.events == second.events)
    #expect(short.stateHash == long.stateHash && short.view.get(Key("a")) != nil)
    let future = Txn(success: [.put(Key("b"), [1]), .range(RangeRequest(.all, revision: Revision(99)))])
    #expect(long.apply(entry(21, future)).outcome == .refused(.future(long.revision)))
    #expect(short.apply(entry(21, future)).outcome == .refused(.future(long.revision)))
}
