// A batch of changes that was given up, as on a disk without room, is missing: what came after it must not be written.
import KVCore
import KVDisk
import Raft
import Testing

@Suite struct StateGapTests {
    private static let alone = Configuration(voters: [PeerID(1)])

    private func opened() -> StateMachine {
        var machine = StateMachine()
        apply(.openSession, &machine)
        return machine
    }

    private func put(_ key: String, _ machine: inout StateMachine) {
        apply(.txn(Txn(success: [.put(Key(key), [1])])), &machine)
    }

    private func apply(_ command: Command, _ machine: inout StateMachine) {
        let serial = machine.appliedIndex.rawValue
        let id = ProposalID(client: ClientID(rawValue: 5), serial: serial, settledBelow: serial)
        let data = EntryFormat.entry(
            logTime: Int64(serial), proposal: EntryFormat.encode(ClientProposal(id: id, command: command)))
        _ = machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data))
    }

    private func changes(_ machine: inout StateMachine) -> StateChanges {
        var changes = machine.takeChanges()
        changes.configuration = Self.alone
        return changes
    }

    @Test func `changes that do not follow on what is there are refused, and it stays whole`() throws {
        let store = try StateStore(path: ":memory:")
        var machine = opened()
        put("a", &machine)
        try store.write(changes(&machine))
        put("b", &machine)
        let givenUp = changes(&machine)
        put("c", &machine)
        let last = changes(&machine)
        #expect(throws: DiskError.self) { try store.write(last) }
        #expect(try store.checkpoint() == LogIndex(2))
        let nothingNew = changes(&machine)
        #expect(throws: DiskError.self) { try store.write(nothingNew) }
        #expect(try store.history(after: Revision(1), through: machine.revision).map(\.revision) == [Revision(2)])
        try store.write(givenUp)
        try store.write(last)
        // Once more: it is there already.
        try store.write(givenUp)
        #expect(try store.checkpoint() == machine.appliedIndex)
        #expect(try store.history(after: Revision(1), through: machine.revision).count == 3)
    }

    @Test func `changes behind a state that was installed follow on it`() throws {
        let store = try StateStore(path: ":memory:")
        var machine = opened()
        for key in ["a", "b", "c"] { put(key, &machine) }
        try store.install(machine, Self.alone)
        machine.discardChanges()
        put("d", &machine)
        try store.write(changes(&machine))
        #expect(try store.checkpoint() == LogIndex(5))
    }
}
