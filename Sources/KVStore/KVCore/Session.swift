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
package enum Refusal: Hashable, Sendable {
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
    package var outcomes: [UInt64: Outcome]

    package init(client: ClientID, lastUsed: Int64, floor: UInt64 = 0, outcomes: [UInt64: Outcome] = [:]) {
        self.client = client
        self.lastUsed = lastUsed
        self.floor = floor
        self.outcomes = outcomes
    }

    mutating func remember(_ serial: UInt64, _ outcome: Outcome) {
        outcomes[serial] = outcome.kept
        guard outcomes.count > Self.outcomesMax, let oldest = outcomes.keys.min() else { return }
        settle(below: oldest &+ 1)
    }

    mutating func settle(below serial: UInt64) {
        guard serial > floor else { return }
        if serial - floor <= UInt64(outcomes.count) {
            for old in floor..<serial { outcomes.removeValue(forKey: old) }
        } else {
            outcomes = outcomes.filter { $0.key >= serial }
        }
        floor = serial
    }
}

extension Outcome {
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
    var dirty: Set<ClientID> = []

    package init() {}

    package subscript(_ client: ClientID) -> Session? { sessions[client] }
    package var sorted: [Session] { sessions.values.sorted { $0.client < $1.client } }

    /// The outcome of a proposal that must not be executed: it was before, or its session is gone.
    func known(_ id: ProposalID) -> Outcome? {
        guard let session = sessions[id.client] else { return .refused(.sessionExpired) }
        return session.outcomes[id.serial] ?? (id.serial < session.floor ? .refused(.serialTooOld) : nil)
    }

    mutating func set(_ session: Session) {
        sessions[session.client] = session
        dirty.insert(session.client)
    }

    /// Changes a session in place; it must exist.
    mutating func update(_ client: ClientID, _ change: (inout Session) -> Void) {
        guard let index = sessions.index(forKey: client) else { return }
        change(&sessions.values[index])
        dirty.insert(client)
    }

    mutating func remove(_ client: ClientID) {
        sessions.removeValue(forKey: client)
        dirty.insert(client)
    }

    /// Clients that were silent for longer than `idle` milliseconds of log time, in order.
    package func expired(at logTime: Int64, idle: Int64) -> [ClientID] {
        sessions.values.filter { $0.lastUsed &+ idle < logTime }.map(\.client).sorted()
    }
}
