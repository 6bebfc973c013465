// What peers say to each other. The transport may lose, repeat, delay and reorder messages, and what it delivers is not
// trusted to be well-formed: `isSane` is checked before anything else is looked at.

/// One message between two peers, in the sender's term (for a PreVote: the term that the sender would campaign in).
package struct Message: Hashable, Sendable {
    package var from: PeerID
    package var to: PeerID
    package var term: Term
    package var body: Body

    package init(from: PeerID, to: PeerID, term: Term, _ body: Body) {
        self.from = from
        self.to = to
        self.term = term
        self.body = body
    }

    package enum Body: Hashable, Sendable {
        /// "Would you vote for me?" Changes nothing at the receiver (Raft thesis §9.6).
        case preVote(last: EntryID)
        case preVoteResponse(granted: Bool)
        /// `isTransfer`: the leader asked for this campaign, so its stickiness does not count.
        case vote(last: EntryID, isTransfer: Bool)
        case voteResponse(granted: Bool)
        case append(Append)
        case appendResponse(AppendResponse)
        /// Keeps followers; `commit` is never beyond what the receiver acknowledged. `round` is echoed (ReadIndex).
        case heartbeat(commit: LogIndex, round: UInt64)
        case heartbeatResponse(round: UInt64)
        /// News of the commit index between heartbeats; not answered.
        case commit(LogIndex)
        /// A follower asks for a read index; `context` is fresh each time it is sent.
        case readIndex(context: UInt64)
        case readIndexResponse(context: UInt64, index: LogIndex)
        /// Stands for a whole snapshot: the sending shell streams its state in chunks, and the receiving shell steps
        /// this message when it has all of them, with the metadata of what was really sent (never older than asked).
        case installSnapshot(SnapshotMetadata)
        /// The leader hands over: campaign at once.
        case timeoutNow
    }

    /// Entries to be put after `previous`.
    package struct Append: Hashable, Sendable {
        package var previous: EntryID
        package var entries: [Entry]
        package var commit: LogIndex
        package init(previous: EntryID, entries: [Entry], commit: LogIndex) {
            self.previous = previous
            self.entries = entries
            self.commit = commit
        }
    }

    /// `index`: accepted and durable up to here; or, with a rejection, the `previous` that did not match.
    package struct AppendResponse: Hashable, Sendable {
        package var index: LogIndex
        /// Where the leader may look next: the last place where the logs can still agree.
        package var rejection: EntryID?
        /// The sender's log was damaged and is being fetched anew: its acknowledgements do not count yet.
        package var isAmnesiac: Bool
        package init(index: LogIndex, rejection: EntryID? = nil, isAmnesiac: Bool = false) {
            self.index = index
            self.rejection = rejection
            self.isAmnesiac = isAmnesiac
        }
    }
}

/// What a snapshot covers: all entries up to `index`, with the members of that moment.
package struct SnapshotMetadata: Hashable, Sendable {
    package var index: LogIndex
    package var term: Term
    package var configuration: Configuration
    package init(index: LogIndex, term: Term, configuration: Configuration) {
        self.index = index
        self.term = term
        self.configuration = configuration
    }
    package var id: EntryID { EntryID(index: index, term: term) }
}

extension Message {
    /// Only who leads says so.
    var claimsToLead: Bool {
        switch body {
        case .append, .heartbeat, .commit, .installSnapshot, .timeoutNow: true
        default: false
        }
    }

    /// False for what no correct peer sends: counters out of range, entries out of order, undecodable configurations.
    package var isSane: Bool {
        guard term.rawValue <= counterMax else { return false }
        switch body {
        case .preVote(let last): return last.isSane(in: term)
        case .vote(let last, _): return last.isSane(in: term)
        case .append(let append): return append.isSane(in: term)
        case .appendResponse(let response):
            return response.index.rawValue <= counterMax && (response.rejection?.index.rawValue ?? 0) <= counterMax
        case .heartbeat(let commit, _), .commit(let commit), .readIndexResponse(_, let commit):
            return commit.rawValue <= counterMax
        case .installSnapshot(let metadata):
            return metadata.id.isSane(in: term) && metadata.index > .zero && !metadata.configuration.voters.isEmpty
        case .preVoteResponse, .voteResponse, .heartbeatResponse, .readIndex, .timeoutNow: return true
        }
    }
}

extension EntryID {
    func isSane(in term: Term) -> Bool { index.rawValue <= counterMax && self.term <= term }
}

extension Message.Append {
    func isSane(in term: Term) -> Bool {
        guard previous.isSane(in: term), commit.rawValue <= counterMax else { return false }
        var last = previous
        for entry in entries {
            guard entry.index == last.index.next, entry.term >= last.term, entry.term <= term else { return false }
            if entry.kind == .configuration, Configuration(decoding: entry.data) == nil { return false }
            last = EntryID(index: entry.index, term: entry.term)
        }
        return last.index.rawValue <= counterMax
    }
}
