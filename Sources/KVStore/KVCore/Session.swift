// Sessions make a retried proposal execute once: each client (one boot of one master) numbers its proposals, and the
// replicated table remembers which numbers were executed, with their outcomes. An unknown or expired session is
// refused, never executed again.

/// One boot of one proposer.
package struct ClientID: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: ClientID, right: ClientID) -> Bool { left.rawValue < right.rawValue }
}

/// Names a proposal for ever; `settledBelow`: the client waits for no serial below it.
package struct ProposalID: Hashable, Sendable {
    package var client: ClientID
    package var serial: UInt64
    package var settledBelow: UInt64
    package init(client: ClientID, serial: UInt64, settledBelow: UInt64) {
        self.client = client
        self.serial = serial
        self.settledBelow = settledBelow
    }
}

/// What came of a command on the state machine.
package enum Outcome: Hashable, Sendable {
    case txn(TxnResult)
    /// The transaction was executed, but its large results are no longer kept.
    case txnSettled(succeeded: Bool, revision: Revision)
    case lease(LeaseID, ttlMilliseconds: Int64)
    /// Remaining lifetimes in the order of the request; 0: no such lease.
    case kept([Int64])
    case done(Revision)
    case fenced
    case refused(Refusal)
}

/// Why a committed command changed nothing.
package enum Refusal: Error, Hashable, Sendable {
    case malformed
    case unsupportedVersion(UInt8)
    case compacted(Revision)
    case future(Revision)
    case leaseNotFound
    case leaseExists
    case tooManyLeases
    case duplicateKey
    case keyNotFound
    case emptyKey
    case tooManyOperations
    case nestedTooDeep
    case sessionExpired
    case tooManySessions
    case tooManyMembers
    case serialTooOld
}

/// The executed serials of one client.
package struct Session: Hashable, Sendable {
    /// So many outcomes are kept even when the client never settles them.
    package static let outcomesMax = 8192
    package var client: ClientID
    /// Log time of the last command.
    package var lastUsed: Int64
    /// Serials below are settled and forgotten.
    package var floor: UInt64
    package private(set) var outcomes: [UInt64: Outcome]
    /// The sum of the hashes of all outcomes: kept as they change.
    private var outcomesHash: UInt64 = 0

    package init(client: ClientID, lastUsed: Int64, floor: UInt64 = 0, outcomes: [UInt64: Outcome] = [:]) {
        self.client = client
        self.lastUsed = lastUsed
        self.floor = floor
        self.outcomes = outcomes
        for (serial, outcome) in outcomes { outcomesHash &+= outcome.hash64(of: serial) }
    }

    var hash64: UInt64 {
        var hash = Hash64()
        for word in [client.rawValue, UInt64(bitPattern: lastUsed), floor, outcomesHash] { hash.add(word) }
        return hash.value
    }

    private mutating func forget(_ serial: UInt64) {
        guard let outcome = outcomes.removeValue(forKey: serial) else { return }
        outcomesHash &-= outcome.hash64(of: serial)
    }

    mutating func remember(_ serial: UInt64, _ outcome: Outcome) {
        let replaced = outcomes.updateValue(outcome.kept, forKey: serial)
        outcomesHash &-= replaced?.hash64(of: serial) ?? 0
        outcomesHash &+= outcome.hash64(of: serial)
        guard outcomes.count > Self.outcomesMax, let oldest = outcomes.keys.min() else { return }
        settle(below: oldest &+ 1)
    }

    mutating func settle(below serial: UInt64) {
        guard serial > floor else { return }
        if serial - floor <= UInt64(outcomes.count) {
            for old in floor..<serial { forget(old) }
        } else {
            for old in outcomes.keys where old < serial { forget(old) }
        }
        floor = serial
    }
}

extension Outcome {
    /// Of the form that sessions keep.
    func hash64(of serial: UInt64) -> UInt64 {
        var hash = Hash64(seed: serial)
        switch kept {
        case .txn(let result):
            hash.add(result.succeeded ? 2 : 1)
            hash.add(UInt64(bitPattern: result.revision.rawValue))
            for one in result.results {
                if case .delete(let count, _) = one { hash.add(UInt64(bitPattern: count)) } else { hash.add(0) }
            }
        case .done(let revision):
            hash.add(3)
            hash.add(UInt64(bitPattern: revision.rawValue))
        default:
            var writer = ByteWriter()
            writer.put(self)
            hash.add(writer.bytes)
        }
        return hash.value
    }

    /// The form that the session keeps: without records.
    var kept: Outcome {
        guard case .txn(let result) = self else { return self }
        let isSmall = result.results.allSatisfy { one in
            switch one {
            case .put(let previous): previous == nil
            case .delete(_, let previous): previous.isEmpty
            case .range, .txn: false
            }
        }
        return isSmall && result.results.count <= 16
            ? self : .txnSettled(succeeded: result.succeeded, revision: result.revision)
    }
}

/// All sessions by client.
package struct SessionTable: Sendable {
    package static let sessionsMax = 1024
    package private(set) var sessions: [ClientID: Session] = [:]
    /// The sum of the hashes of all sessions: kept as they change.
    private(set) var hash: UInt64 = 0
    var dirty: Set<ClientID> = []

    package init() {}

    package subscript(_ client: ClientID) -> Session? { sessions[client] }
    package var sorted: [Session] { sessions.values.sorted { $0.client < $1.client } }
    package var isFull: Bool { sessions.count >= Self.sessionsMax }

    /// The outcome of a proposal that must not be executed: it was before, or its session is gone.
    func known(_ id: ProposalID) -> Outcome? {
        guard let session = sessions[id.client] else { return .refused(.sessionExpired) }
        return session.outcomes[id.serial] ?? (id.serial < session.floor ? .refused(.serialTooOld) : nil)
    }

    mutating func set(_ session: Session) {
        hash &-= sessions[session.client]?.hash64 ?? 0
        hash &+= session.hash64
        sessions[session.client] = session
        dirty.insert(session.client)
    }

    /// Changes a session in place; it must exist.
    mutating func update(_ client: ClientID, _ change: (inout Session) -> Void) {
        guard let index = sessions.index(forKey: client) else { return }
        hash &-= sessions.values[index].hash64
        change(&sessions.values[index])
        hash &+= sessions.values[index].hash64
        dirty.insert(client)
    }

    mutating func remove(_ client: ClientID) {
        hash &-= sessions.removeValue(forKey: client)?.hash64 ?? 0
        dirty.insert(client)
    }

    /// Clients that were silent for longer than `idle` milliseconds of log time, in order.
    package func expired(at logTime: Int64, idle: Int64) -> [ClientID] {
        sessions.values.filter { $0.lastUsed &+ idle < logTime }.map(\.client).sorted()
    }
}
