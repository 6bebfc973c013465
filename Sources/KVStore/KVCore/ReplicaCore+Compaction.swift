// How much of the log is kept: what is not durable elsewhere, a tail for followers that lag, and what a follower needs
// next that was sent a snapshot. Without that, a follower of a busy leader would find the log gone behind each snapshot.
// Never more than a bound: a leader does not fill its memory for somebody who may not come back.
import Raft

/// A follower that was sent a snapshot, or is being sent one, needs the log from there on.
struct LogHold: Sendable {
    let peer: PeerID
    /// It has everything up to here, or will have it.
    var index: LogIndex
    /// Given up then; nil while the snapshot is under way.
    var until: Int64?
}

extension ReplicaCore {
    /// For how long the log waits for a follower that acknowledges nothing new: it is installing.
    static var holdMillisecondsMax: Int64 { 30_000 }
    /// Of a log that is too large.
    private static var shortTailEntries: UInt64 { 64 }

    /// The state database is synced up to here: the log before it may go, but for a tail for followers that lag.
    package mutating func stateDurable(at index: LogIndex) {
        raft.snapshotSaved(at: index)
        let isLarge = raft.logBytes > limits.logBytesMax
        let kept = isLarge ? min(limits.logTailEntries, Self.shortTailEntries) : limits.logTailEntries
        let tail = heldTail(LogIndex(index.rawValue > kept ? index.rawValue - kept : 0))
        guard isLarge || tail.distance(after: raft.compactIndex) >= limits.logTailEntries else { return }
        let before = raft.compactIndex
        let after = raft.compact(to: tail)
        if after > before { output.compactLog = after }
    }

    /// Not behind what a follower needs next.
    private mutating func heldTail(_ tail: LogIndex) -> LogIndex {
        guard !holds.isEmpty else { return tail }
        guard raft.logBytes <= limits.logBytesHeldMax else {
            holds = []
            return tail
        }
        let followers = raft.followers
        holds = holds.compactMap { hold in
            followers.first { $0.id == hold.peer }.flatMap { follow(hold, has: $0.match, tail) }
        }
        return holds.reduce(tail) { min($0, $1.index) }
    }

    /// nil: it has caught up, or does not come.
    private func follow(_ hold: LogHold, has match: LogIndex, _ tail: LogIndex) -> LogHold? {
        var hold = hold
        guard let until = hold.until else { return hold }
        if match > hold.index {
            hold.index = match
            hold.until = now + Self.holdMillisecondsMax
        } else if now >= until {
            return nil
        }
        return match >= hold.index && hold.index >= tail ? nil : hold
    }

    mutating func hold(for peer: PeerID, after index: LogIndex) {
        release(peer)
        holds.append(LogHold(peer: peer, index: index))
    }

    /// Everything was sent.
    mutating func limitHold(for peer: PeerID) {
        guard let i = holds.firstIndex(where: { $0.peer == peer }) else { return }
        holds[i].until = now + Self.holdMillisecondsMax
    }

    mutating func release(_ peer: PeerID) { holds.removeAll { $0.peer == peer } }
}
