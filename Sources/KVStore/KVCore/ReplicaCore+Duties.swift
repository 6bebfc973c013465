// What only the leader does unasked: count log time, propose the end of leases and idle sessions, compact history, and
// enter the first members into the directory. Each duty is fenced by its term, so that a deposed leader's duties have
// no effect.
import Raft

struct LeaderDuties: Sendable {
    static let periodMilliseconds: Int64 = 500
    static let timeMilliseconds: Int64 = 5000
    /// The term that this replica leads; nil while it does not.
    private var term: Term?
    /// Log time when this leader began, and its own clock then.
    private var base: Int64 = 0
    private var baseNow: Int64
    var nextRound: Int64
    var nextCompaction: Int64
    var nextTime: Int64
    var nextDirectory: Int64
    var revisions = RevisionSamples()
    var toldProgress: Int64 = 0
    /// Somebody's state was not compared since it was read from its disk.
    var isComparisonWanted = false

    init(now: Int64) {
        baseNow = now
        nextRound = now
        nextCompaction = now
        nextTime = now
        nextDirectory = now
    }

    /// Before a leader stamps anything: its time starts from the log's, not from its own boot. The millisecond under
    /// way does not count, or many short leaderships would add up to an early end of leases.
    mutating func leadershipChanged(leading term: Term?, logTime: Int64, now: Int64) {
        if term != nil, term != self.term {
            base = logTime
            baseNow = now + 1
            nextRound = now
            nextTime = now + Self.timeMilliseconds
            revisions = RevisionSamples()
        }
        self.term = term
    }

    /// The log time of an entry that is appended now.
    func stamp(_ logTime: Int64, now: Int64) -> Int64 { max(logTime, base &+ max(0, now - baseNow)) }
}

extension ReplicaCore {
    mutating func performDuties() {
        if now - duties.toldProgress >= 1000 {
            duties.toldProgress = now
            output.notices += hub.progress(state.revision)
        }
        guard raft.isLeader, case .leading? = reported, now >= duties.nextRound else { return }
        duties.nextRound = now + LeaderDuties.periodMilliseconds
        let stamp = duties.stamp(state.logTime, now: now)
        endLeases(stamp)
        endSessions(stamp)
        tellTime(stamp)
        compareStates()
        compactHistory()
        enterMembers()
        raiseVersion()
        if now >= duties.nextDirectory {
            duties.nextDirectory = now + LeaderDuties.timeMilliseconds
            tellWitness()
        }
    }

    private mutating func endLeases(_ stamp: Int64) {
        let ids = state.leases.expired(at: stamp)
        guard !ids.isEmpty, !isDutyPending({ if case .expireLeases = $0 { true } else { false } }) else { return }
        proposeDuty(.expireLeases(Array(ids.prefix(1024))))
    }

    private mutating func endSessions(_ stamp: Int64) {
        let idle = min(
            limits.sessionIdleMilliseconds, state.sessions.isFull ? limits.crowdedIdleMilliseconds : .max)
        let ids = state.sessions.expired(at: stamp, idle: idle)
        guard !ids.isEmpty, !isDutyPending({ if case .expireSessions = $0 { true } else { false } }) else { return }
        proposeDuty(.expireSessions(ids, idleMilliseconds: idle))
    }

    /// While leases run, log time is kept in the log, so that a new leader begins near to where this one was.
    private mutating func tellTime(_ stamp: Int64) {
        guard now >= duties.nextTime else { return }
        duties.nextTime = now + LeaderDuties.timeMilliseconds
        if !state.leases.leases.isEmpty, stamp - state.logTime >= LeaderDuties.timeMilliseconds / 2 {
            proposeDuty(.tick)
        }
    }

    /// All report after it. The answer to all who asked meanwhile.
    private mutating func compareStates() {
        guard duties.isComparisonWanted, !isDutyPending({ if case .tick = $0 { true } else { false } }) else { return }
        duties.isComparisonWanted = false
        proposeDuty(.tick)
    }

    /// As the policy says.
    private mutating func compactHistory() {
        guard now >= duties.nextCompaction else { return }
        duties.nextCompaction = now &+ limits.compaction.periodMilliseconds
        let target: Revision?
        switch limits.compaction {
        case .never: target = nil
        case .age(let age): target = duties.revisions.note(state.revision, now: now, age: age)
        case .revisions(let count): target = Revision(state.revision.rawValue &- max(0, count))
        }
        if let target, target > state.compactRevision { proposeDuty(.compact(target)) }
    }

    /// Who is in the directory has kept an entry: it cannot begin with nothing any more (`tookPart`).
    private mutating func enterMembers() {
        let isPending = isDutyPending { if case .setMember = $0 { true } else { false } }
        guard !isPending else { return }
        for member in initialMembers where raft.configuration.contains(member.id) && state.members[member.id] == nil {
            if hasKept(member.id) { proposeDuty(.setMember(member)) }
        }
    }

    private func hasKept(_ peer: PeerID) -> Bool {
        peer == id || raft.followers.contains { $0.id == peer && $0.match > .zero }
    }

    /// A voter is in the directory once it has kept an entry: the first ones are entered then, others are promoted then.
    package func tookPart(_ peer: PeerID) -> Bool {
        let configuration = raft.configuration
        return configuration.former.contains(peer) || configuration.isVoter(peer) && state.members[peer] != nil
    }
}
