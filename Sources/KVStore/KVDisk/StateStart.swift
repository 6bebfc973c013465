// From what the state database and the log hold to where a replica begins. A state that cannot be believed leaves the log's
// beginning as the only place that is known; who takes part is then told by the copy, or by nobody until a leader comes:
// who does not know the members never campaigns, but votes and acknowledges as its log allows.
import KVCore
import Raft

struct StateStart {
    private(set) var machine = StateMachine()
    private(set) var configuration = Configuration.empty
    /// Another state is needed.
    private(set) var damage: String?
    /// From the log's beginning: what the database holds is to be replaced.
    private(set) var isRemade = false
    private(set) var isNew = false
    private let log: LogStore
    private let found: LogStore.Found

    init(
        _ loaded: StateStore.Found, _ copy: MembersCopy?, _ opened: (log: LogStore, found: LogStore.Found),
        _ initial: Configuration
    ) throws(DiskError) {
        (log, found) = opened
        let base = found.base.index
        switch loaded {
        case .nothing where log.isNew: (configuration, isNew) = (initial, true)
        case .nothing: try beginAtLog(copy, initial, "state.sqlite is gone, the log begins after \(base)")
        case .unknown(let text): try beginAtLog(copy, initial, text)
        case .whole(let machine, let configuration):
            guard machine.appliedIndex < base else {
                (self.machine, self.configuration) = (machine, configuration)
                return
            }
            let text = "state.sqlite is applied to \(machine.appliedIndex), the log begins after \(base)"
            try beginAtLog(copy, initial, text)
        case .damaged(let text, let machine, let configuration):
            guard machine.appliedIndex >= base else {
                try beginAtLog(copy, initial, text)
                return
            }
            (self.machine, self.configuration, damage) = (machine, configuration, text)
            try settle(configuration, initial, text)
        }
    }

    /// Nothing of the database can be used.
    private mutating func beginAtLog(
        _ copy: MembersCopy?, _ initial: Configuration, _ text: String
    ) throws(DiskError) {
        var counters = StateCounters()
        counters.applied = found.base
        machine = StateMachine(counters, copy?.members ?? [])
        (configuration, damage) = (copy?.configuration ?? .empty, text)
        try settle(copy?.configuration, initial, text)
    }

    /// What can be had without the others is; who has none is refused. `told`: the members, from the database or its copy.
    private mutating func settle(
        _ told: Configuration?, _ initial: Configuration, _ text: String
    ) throws(DiskError) {
        let logged = found.entries.last { $0.kind == .configuration }.flatMap { Configuration(decoding: $0.data) }
        let isAlone = (logged ?? told ?? initial).allVoters.count == 1
        let first = told ?? (isAlone && logged == nil ? initial : nil)
        if let first, found.base == .zero, log.last.index > .zero, !log.isOwing {
            (machine, configuration, damage, isRemade) = (StateMachine(), first, nil, true)
        } else if isAlone {
            throw .damaged(
                "\(text); no other member has the state: restore a snapshot into a new directory "
                    + "(tern snapshot restore FILE --data-dir DIR), or bring back a whole copy of this one")
        }
    }
}

extension LogStore {
    /// Nothing was ever saved in it.
    var isNew: Bool { base == .zero && last == .zero && hardState == HardState() && !isOwing }
}
