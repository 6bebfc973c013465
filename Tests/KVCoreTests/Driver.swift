// Feeds a state machine with commands as the log would, one entry after the other, under one open session.
import KVCore
import Raft

struct Driver {
    var machine = StateMachine()
    var time: Int64 = 0
    var serial: UInt64 = 0
    let client = ClientID(rawValue: 77)

    init() {
        _ = applyRaw(ClientProposal(id: ProposalID(client: client, serial: 0, settledBelow: 0), command: .openSession))
    }

    mutating func applyRaw(_ proposal: ClientProposal, fence: Term? = nil) -> Applied {
        let data = EntryFormat.entry(logTime: time, proposal: EntryFormat.encode(proposal))
        return machine.apply(Entry(term: Term(1), index: machine.appliedIndex.next, data: data, fence: fence))
    }

    mutating func apply(_ command: Command, fence: Term? = nil) -> Applied {
        serial += 1
        return applyRaw(
            ClientProposal(
                id: ProposalID(client: client, serial: serial, settledBelow: serial), command: command), fence: fence)
    }

    @discardableResult
    mutating func txn(_ txn: Txn) -> Outcome { apply(.txn(txn)).outcome }

    @discardableResult
    mutating func put(_ key: String, _ value: String = "v") -> Outcome {
        txn(Txn(success: [.put(Key(key), Array(value.utf8))]))
    }
}

extension Outcome {
    var result: TxnResult? {
        if case .txn(let result) = self { return result }
        return nil
    }
}
