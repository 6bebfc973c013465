// One place of the replicated log. The bytes are the state machine's business; Raft reads only configurations.

/// A log entry: what is agreed at `index`, by the leader of `term`.
package struct Entry: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        /// A command for the state machine.
        case normal
        /// An encoded `Configuration`, in force from the moment it is appended.
        case configuration
        /// What a new leader appends first; nothing to apply.
        case empty
        /// A command whose bytes are elsewhere: all that a witness keeps of one. No other peer may have it.
        case stripped
    }
    package var term: Term
    package var index: LogIndex
    package var kind: Kind
    package var data: [UInt8]
    /// The term in which the proposer led; see `isFenced`.
    package var fence: Term?

    package init(term: Term, index: LogIndex, kind: Kind = .normal, data: [UInt8] = [], fence: Term? = nil) {
        self.term = term
        self.index = index
        self.kind = kind
        self.data = data
        self.fence = fence
    }

    /// The proposer's term was over when this was appended: it must have no effect. Every peer decides it alike, at
    /// apply.
    package var isFenced: Bool {
        guard let fence else { return false }
        return fence != term
    }

    /// What a witness keeps: place and term; a configuration whole.
    package var stripped: Entry { kind == .normal ? Entry(term: term, index: index, kind: .stripped) : self }

    /// What the entry costs against limits: its bytes and a share of overhead.
    package var cost: Int { data.count + Entry.overheadBytes }
    package static let overheadBytes = 32
}

/// What the shell asks to append.
package struct Proposal: Hashable, Sendable {
    package var data: [UInt8]
    package var fence: Term?
    package init(_ data: [UInt8], fence: Term? = nil) {
        self.data = data
        self.fence = fence
    }
}

/// Names an entry: no two logs hold different entries under one id (Log Matching, Raft §5.3).
package struct EntryID: Hashable, Sendable {
    package var index: LogIndex
    package var term: Term
    package init(index: LogIndex, term: Term) {
        self.index = index
        self.term = term
    }
    package static let zero = EntryID(index: .zero, term: .zero)
}
