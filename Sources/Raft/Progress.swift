// What a leader knows about one follower's log, and how it therefore sends: one probe at a time until the logs are
// known to agree, then a pipeline with limits, or nothing while a snapshot is under way.

/// One follower, as its leader sees it.
struct Progress: Sendable {
    enum State: Sendable, Equatable {
        /// The place where the logs agree is not known; one message per answer or heartbeat.
        case probe(isSent: Bool)
        /// Optimistic: `next` moves on as entries are sent.
        case replicate(Inflights)
        /// The shell streams a snapshot of at least `pending`.
        case snapshot(pending: LogIndex)
    }
    let id: PeerID
    /// Acknowledged as durable up to here.
    var match = LogIndex.zero
    /// What is sent next.
    var next: LogIndex
    var state = State.probe(isSent: false)
    /// It keeps no commands; also while it leaves.
    var isWitness = false
    /// Heard from since the last quorum check.
    var isActive: Bool
    /// The latest ReadIndex round that it answered.
    var round: UInt64 = 0
    /// It helps nobody else to lead before the leader's clock shows this.
    var promisedUntil = Int64.min
    /// The commit index it was last told.
    var commitSent = LogIndex.zero
    /// Its acknowledgements do not count: its log was damaged.
    var isAmnesiac = false
    /// When it was last asked what became of what is under way.
    var askedTick: UInt64?
    /// Ticks since it was last heard from.
    var silentTicks = 0
    /// Ticks in which it acknowledged nothing new, though there was something.
    var waitingTicks = 0

    init(id: PeerID, next: LogIndex, isActive: Bool) {
        self.id = id
        self.next = next
        self.isActive = isActive
    }

    /// What it contributes to a commit.
    var counted: LogIndex { isAmnesiac ? .zero : match }

    var isReplicating: Bool {
        if case .replicate = state { return true }
        return false
    }
}

extension Progress {
    mutating func probe(from index: LogIndex, isSent: Bool = false) {
        next = max(index, match.next)
        state = .probe(isSent: isSent)
    }

    /// Entries up to `index` are acknowledged.
    mutating func accept(_ index: LogIndex, base: LogIndex) {
        if index > match { waitingTicks = 0 }
        match = max(match, index)
        let hasAll = next <= match.next
        next = max(next, match.next)
        switch state {
        case .probe:
            // Less than the probe asks about is the answer to something older, as the first of two snapshots.
            if hasAll { state = .replicate(Inflights()) }
        case .replicate(var inflights):
            state = .probe(isSent: true)
            inflights.free(through: index)
            state = .replicate(inflights)
        case .snapshot:
            if match >= base { state = .replicate(Inflights()) }
        }
    }

    /// `index` did not match; the logs can agree up to `hint`. An old answer changes nothing; one that brings nothing
    /// new is asked about again with the next heartbeat, not at once.
    mutating func reject(_ index: LogIndex, hint: LogIndex, isAmnesiac: Bool, committed: LogIndex) {
        if isAmnesiac && hint < match { match = .zero }
        switch state {
        case .snapshot: return
        case .replicate:
            guard index > match else { return }
            probe(from: min(index, hint.next))
        case .probe:
            guard index == next.previous else { return }
            // It denies what it acknowledged. That counts no more; what is committed stays named until it admits it.
            if index == match && hint < match { match = min(match, committed) }
            let last = next
            probe(from: min(index, hint.next), isSent: true)
            if next < last { state = .probe(isSent: false) }
        }
    }
}

/// The appends under way to one follower, oldest first.
struct Inflights: Sendable, Equatable {
    private struct Flight: Sendable, Equatable {
        var last: LogIndex
        var bytes: Int
    }
    private var flights: [Flight] = []
    private var head = 0
    private(set) var bytes = 0

    var count: Int { flights.count - head }

    mutating func add(last: LogIndex, bytes: Int) {
        flights.append(Flight(last: last, bytes: bytes))
        self.bytes += bytes
    }

    mutating func free(through index: LogIndex) {
        while head < flights.count, flights[head].last <= index {
            bytes -= flights[head].bytes
            head += 1
        }
        if head == flights.count {
            flights.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 64 {
            flights.removeFirst(head)
            head = 0
        }
    }

    func isFull(_ settings: RaftSettings) -> Bool {
        count >= settings.inflightMessagesMax || bytes >= settings.inflightBytesMax
    }
}
