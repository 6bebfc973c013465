// Room on the members' disks. Each tells the leader while little is left on its own; while those with room are no quorum,
// the leader says so to everybody, and what makes the state grow is refused where it is asked for: never while it is
// applied, which must be the same on all. A leader with little room hands over to a member that has more. Nothing of it
// is in the log: what was said holds for three seconds, and room that is there again counts at once.
import Raft

/// Who has little room, as far as known here.
struct DiskShortage: Sendable {
    static let tellMilliseconds: Int64 = 1000
    static let freshMilliseconds = 3 * tellMilliseconds
    static let handOverMilliseconds: Int64 = 5000
    /// Before, others that have little room may not have said so.
    static let hearMilliseconds = 2 * tellMilliseconds
    /// This member's own disk, as its shell says.
    var isLow = false
    /// As a leader: others, and until when that counts.
    private var others: [PeerID: Int64] = [:]
    /// As told by the leader: growth is refused until then.
    var refusesUntil: Int64 = .min
    /// What was told last, and when.
    var told = false
    var toldAt: Int64 = .min
    var nextHandOver: Int64 = .min

    mutating func hear(_ isLow: Bool, from peer: PeerID, at now: Int64) {
        others[peer] = isLow ? now + Self.freshMilliseconds : nil
    }

    func isLow(_ peer: PeerID, own: PeerID, at now: Int64) -> Bool {
        peer == own ? isLow : others[peer].map { now < $0 } ?? false
    }

    /// Nearly always false; looked at with every proposal.
    var isAnyLow: Bool { isLow || !others.isEmpty }

    /// Another leadership.
    mutating func forget(at now: Int64) {
        others = [:]
        nextHandOver = now + Self.hearMilliseconds
        (told, toldAt) = (false, .min)
    }
}

extension ReplicaCore {
    /// From the shell: whether little room is left on this member's disk.
    package mutating func diskRoomChanged(isLow: Bool) {
        shortage.isLow = isLow
        shortage.nextHandOver = max(shortage.nextHandOver, now + DiskShortage.hearMilliseconds)
    }

    /// Whether what makes the state grow is refused here: the state is at its limit, or too many disks are.
    package var refusesGrowth: Bool {
        state.stateBytes > limits.stateBytesMax || now < shortage.refusesUntil || (raft.isLeader && isShortOfRoom)
    }

    /// As the leader knows: members with room are no quorum.
    private var isShortOfRoom: Bool {
        shortage.isAnyLow && raft.configuration.withData.outcome { !shortage.isLow($0, own: id, at: now) } != .won
    }

    /// With each tick: to the leader while this disk is low, and once when it is not any more; as the leader, to everybody.
    mutating func tellRoom() {
        guard let leader = raft.leader else { return }
        let isLeading = leader == id, message: Bool = isLeading ? isShortOfRoom : shortage.isLow
        if isLeading {
            shortage.refusesUntil = .min
            handOverForRoom()
        }
        let isNews = message != shortage.told
        guard isNews || (message && now - shortage.toldAt >= DiskShortage.tellMilliseconds) else { return }
        (shortage.told, shortage.toldAt) = (message, now)
        guard isLeading else { return output.messages.append(Envelope(to: leader, .diskLow(message))) }
        for peer in raft.configuration.withData.peers where peer != id {
            output.messages.append(Envelope(to: peer, .growthRefused(message)))
        }
    }

    mutating func hearRoom(_ isLow: Bool, from peer: PeerID) {
        guard raft.isLeader, raft.configuration.contains(peer) else { return }
        shortage.hear(isLow, from: peer, at: now)
    }

    mutating func hearRefusal(_ isRefused: Bool, from peer: PeerID) {
        guard peer == raft.leader else { return }
        shortage.refusesUntil = isRefused ? now + DiskShortage.freshMilliseconds : .min
    }

    private mutating func handOverForRoom() {
        guard shortage.isLow, now >= shortage.nextHandOver, raft.transferTargetID == nil else { return }
        let able = raft.followers.filter { follower in
            follower.isActive && follower.state == .replicate
                && raft.configuration.withData.isVoter(follower.id)
                && !shortage.isLow(follower.id, own: id, at: now)
        }
        guard let best = able.max(by: { ($0.match, $1.id) < ($1.match, $0.id) }) else { return }
        shortage.nextHandOver = now + DiskShortage.handOverMilliseconds
        do throws(TransferRefusal) { try raft.transferLeadership(to: best.id) } catch {
            shortage.nextHandOver = now + DiskShortage.tellMilliseconds
        }
    }
}
