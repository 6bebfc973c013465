// What callers of a replica are told besides results: errors of proposals, who leads, and the numbers for metrics and
// `tern status`. All are values, copied out under a lock; none of them is ever used to decide anything inside the
// replica.
import KVCore
import Raft

/// Why a proposal has no result.
package enum ProposeError: Error, Sendable, Hashable {
    /// Nothing was proposed, or provably nothing will be committed: may be repeated.
    case noLeader
    /// It may or may not be applied, now or later.
    case unknownOutcome
    case tooLarge(bytes: Int)
    case overloaded
    /// The fence's term is over: not executed.
    case fenced
    case noSpace
    case stopped
    /// Committed, but the state machine refused it.
    case refused(Refusal)
}

/// News for the loops that act only where the Raft leader is.
package enum Leadership: Hashable, Sendable {
    /// This replica leads, and has applied everything of its predecessors. Writes carry the fence.
    case leading(fence: Term)
    case following(leader: PeerID?)
}

/// A member, as the replicated configuration and directory know it.
package struct ReplicaMember: Hashable, Sendable {
    package enum Role: String, Sendable { case voter, learner }
    package var id: PeerID
    package var name: String
    package var host: String
    package var port: Int
    package var role: Role
    package var isLeader: Bool
    /// Where its clients find it, as far as it told.
    package var clientURLs: [String]
    /// It was added to learn only.
    package var staysLearner: Bool
    /// It votes and keeps no keys.
    package var isWitness: Bool
    package init(
        id: PeerID, name: String, host: String, port: Int, role: Role, isLeader: Bool, clientURLs: [String] = [],
        staysLearner: Bool = false, isWitness: Bool = false
    ) {
        self.isWitness = isWitness
        self.clientURLs = clientURLs
        self.staysLearner = staysLearner
        self.id = id
        self.name = name
        self.host = host
        self.port = port
        self.role = role
        self.isLeader = isLeader
    }
}

/// One replica's view of itself and the cluster.
package struct ReplicaStatus: Sendable {
    package enum Role: String, Sendable { case follower, candidate, leader, learner }
    package var id: PeerID
    package var name: String
    package var role = Role.follower
    package var term = Term.zero
    package var leader: PeerID?
    package var leaderName: String?
    package var commitIndex = LogIndex.zero
    package var appliedIndex = LogIndex.zero
    package var revision = Revision(1)
    package var compactRevision = Revision.zero
    /// Since when nobody is known to lead; nil while somebody is.
    package var leaderlessSince: ContinuousClock.Instant?
    /// More than a bound behind what the leader is known to have committed.
    package var isBehind = false
    /// Whose state is wrong, as far as this member knows.
    package var stateTroubles = StateTroubles()
    /// The others agree on another state than this replica's: it fetches theirs.
    package var isFenced: Bool { stateTroubles.wrong.contains(id) }
    package var members: [ReplicaMember] = []
    package var keyCount = 0
    package var stateBytes = 0
    package var logBytes = 0
    /// This member votes and keeps no keys.
    package let isWitness: Bool
    /// As a leader: a voter with data is out of reach, and the witness counts for commits in its place.
    package var isWitnessCounting = false
    package var watchCount = 0
    /// Proposals of clients that wait for their outcome.
    package var pendingProposals = 0
    package var leaseCount = 0
    /// New writes that make the state greater are refused: it is at its limit, or too many disks are nearly full.
    package var refusesGrowth = false
    /// This member's disk is nearly full.
    package var isDiskLow = false
    package var diskFreeBytes = 0
    package var counters = ReplicaCounters()

    package init(id: PeerID, name: String, isWitness: Bool = false) {
        self.isWitness = isWitness
        self.id = id
        self.name = name
    }
}

/// Counts since the start of the process.
package struct ReplicaCounters: Hashable, Sendable {
    package var proposalsTotal: UInt64 = 0
    package var proposalsFailedTotal: UInt64 = 0
    package var appliedTotal: UInt64 = 0
    package var changes = ChangeCounts()
    package var savesTotal: UInt64 = 0
    package var saveSecondsSum: Double = 0
    /// How often somebody began to lead, as far as this replica was told.
    package var leaderChangesTotal: UInt64 = 0
    package var readsFailedTotal: UInt64 = 0
    /// Of this leader, answered without asking the others; those that came together are one.
    package var readsByLeaseTotal: UInt64 = 0
    /// Rounds of the loop, with all that was applied in them, that took more than a tenth of a second.
    package var slowRoundsTotal: UInt64 = 0
    package var snapshotsReceivedTotal: UInt64 = 0
    package var messagesSentTotal: UInt64 = 0
    package var messagesReceivedTotal: UInt64 = 0
    /// Connections that this replica made to others.
    package var connectionsTotal: UInt64 = 0
    package init() {}
}
