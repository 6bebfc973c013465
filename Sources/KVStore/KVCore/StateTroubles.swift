// Whose state is wrong, known at every member: who knows it of itself tells the leader, and the leader tells all, with
// what it found itself: that no majority agrees on a state. As with room on disks nothing of it is in the log: what was
// said holds for three seconds.
import Raft

/// What is known of wrong states.
package struct StateTroubles: Hashable, Sendable {
    /// Ascending.
    package var wrong: [PeerID]
    /// No majority agrees on a state: some are wrong, and nobody knows whose.
    package var isUndecided: Bool

    package init(wrong: [PeerID] = [], isUndecided: Bool = false) {
        self.wrong = wrong
        self.isUndecided = isUndecided
    }

    package var isEmpty: Bool { wrong.isEmpty && !isUndecided }

    /// Of itself each member knows best.
    fileprivate mutating func set(_ peer: PeerID, isWrong: Bool) {
        guard wrong.contains(peer) != isWrong else { return }
        wrong.removeAll { $0 == peer }
        if isWrong { wrong = (wrong + [peer]).sorted() }
    }
}

/// What was said of wrong states, and by whom.
struct TroubleReports: Sendable {
    static let tellMilliseconds: Int64 = 1000
    static let freshMilliseconds = 3 * tellMilliseconds
    /// As a leader: whose state is wrong by their own words, and until when that counts.
    private var others: [PeerID: Int64] = [:]
    /// As told by the leader, and until when that counts.
    private var heard = StateTroubles()
    private var heardUntil = Int64.min
    /// What was told last, and when.
    var told = StateTroubles()
    var toldAt = Int64.min

    mutating func hear(isWrong: Bool, from peer: PeerID, at now: Int64) {
        others[peer] = isWrong ? now + Self.freshMilliseconds : nil
    }

    mutating func hear(_ troubles: StateTroubles, at now: Int64) {
        heard = troubles
        heardUntil = now + Self.freshMilliseconds
    }

    func ofOthers(at now: Int64) -> [PeerID] {
        others.isEmpty ? [] : others.filter { now < $0.value }.keys.sorted()
    }

    func fromLeader(at now: Int64) -> StateTroubles { now < heardUntil ? heard : StateTroubles() }

    /// Another leadership: it is said anew.
    mutating func forget() {
        others = [:]
        (told, toldAt) = (StateTroubles(), .min)
    }
}

extension ReplicaCore {
    /// Whose state is wrong, as far as is known here.
    package var stateTroubles: StateTroubles {
        var known =
            raft.isLeader
            ? StateTroubles(wrong: troubles.ofOthers(at: now), isUndecided: agreement.undecidedAt != nil)
            : troubles.fromLeader(at: now)
        known.set(id, isWrong: isFenced)
        return known
    }

    /// With each tick: to the leader while this state is wrong, and once when it is not any more; as the leader, to
    /// everybody.
    mutating func tellTroubles() {
        guard let leader = raft.leader else { return }
        let isLeading = leader == id
        let news = isLeading ? stateTroubles : StateTroubles(wrong: isFenced ? [id] : [])
        let isNews = news != troubles.told
        guard isNews || (!news.isEmpty && now - troubles.toldAt >= TroubleReports.tellMilliseconds) else { return }
        (troubles.told, troubles.toldAt) = (news, now)
        for peer in isLeading ? raft.configuration.withData.peers : [leader] where peer != id {
            output.messages.append(Envelope(to: peer, .stateTroubles(news)))
        }
    }

    /// From a member of itself, or from the leader of all.
    mutating func hear(_ news: StateTroubles, from peer: PeerID) {
        if raft.isLeader {
            guard raft.configuration.withData.contains(peer) else { return }
            troubles.hear(isWrong: news.wrong.contains(peer), from: peer, at: now)
        } else if peer == raft.leader {
            var news = news
            news.wrong.removeAll { !raft.configuration.contains($0) }
            troubles.hear(news, at: now)
        }
    }
}
