// The state of a peer by its role: each case owns what only it may look at.

/// What a peer is in its term.
enum Role: Sendable {
    case follower(FollowerState)
    /// Asks whether an election would succeed, without disturbing anybody.
    case preCandidate(Ballot)
    case candidate(Ballot)
    case leader(LeaderState)
}

struct FollowerState: Sendable {
    var leader: PeerID?
}

/// Answers to a campaign.
struct Ballot: Sendable {
    private(set) var answers: [PeerID: Bool] = [:]
    /// The first answer of a peer counts.
    mutating func record(_ granted: Bool, from peer: PeerID) {
        if answers[peer] == nil { answers[peer] = granted }
    }
}

struct LeaderState: Sendable {
    /// The first entry of this leader.
    let termStart: LogIndex
    /// Everybody but this peer, also those that are leaving, ordered by id.
    var progress: [Progress]
    var leaving: [Leaving] = []
    var heartbeatElapsed = 0
    var quorumElapsed = 0
    var transfer: Transfer?
    var uncommittedBytes: Int
    var reads = LeaderReads()
    /// A voter with data is out of reach: the witness's acknowledgements count.
    var isWitnessEngaged = false
    /// This leader asked somebody to campaign: that may come about at any time, and passes over promises.
    var hasAskedToCampaign = false

    func position(of peer: PeerID) -> Int? { progress.firstIndex { $0.id == peer } }
    func isLeaving(_ peer: PeerID) -> Bool { leaving.contains { $0.peer == peer } }
}

/// A member no more; it is sent the log as far as the entry that says so.
struct Leaving: Sendable {
    var peer: PeerID
    var index: LogIndex
    /// Since that was committed.
    var elapsed = 0
}

/// A hand-over under way.
struct Transfer: Sendable {
    var target: PeerID
    var elapsed = 0
}

/// Reads that wait for a leader's confirmation. A round is one heartbeat with a fresh number; an answer to it proves
/// that this leader still led after the round began, so it serves every read that was taken before.
struct LeaderReads: Sendable {
    enum Origin: Sendable {
        case local(ReadID)
        case peer(PeerID, context: UInt64)
    }
    struct Pending: Sendable {
        var origin: Origin
        var index: LogIndex
        var round: UInt64
    }
    /// Taken before the leader committed in its term: the commit index was not known yet.
    var early: [Origin] = []
    var pending: [Pending] = []
    /// The last round that was begun.
    var round: UInt64 = 0
    var confirmed: UInt64 = 0
    /// Reads wait for a round that has not begun.
    var wantsRound = false
    /// Of `pending`, those that were taken before the clock was last told.
    var told = 0
    /// When rounds that asked for a promise began, oldest first.
    var begun: [(round: UInt64, clock: Int64)] = []
    static let begunMax = 64
    var count: Int { early.count + pending.count }
}

/// Reads of a peer that does not lead.
struct ForwardedReads: Sendable {
    struct Batch: Sendable {
        var context: UInt64
        var ids: [ReadID]
    }
    var waiting: [ReadID] = []
    /// Not answered yet, in order of their contexts.
    var sent: [Batch] = []
    /// Ticks since the last question.
    var silentTicks = 0
    var asksAgain = false
    /// Drawn at random at start, so that an answer to a former life of this peer matches nothing.
    var nextContext: UInt64
    var count: Int { sent.reduce(waiting.count) { $0 + $1.ids.count } }
}
