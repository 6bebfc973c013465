// Agreement on the version of entries: members tell the leader what they understand, and when every one of them
// understands more than the cluster's version, the leader proposes to raise it. So a new kind of command is never seen
// by a program that would guess what it means; who joins with an older program stops, and says why.
import Raft

/// What members understand, and whether this one met something newer.
struct VersionAgreement: Sendable {
    /// By this program.
    let understands: UInt8
    /// As a leader: by others.
    private var heard: [PeerID: (version: UInt8, at: Int64)] = [:]
    var toldAt: Int64 = .min
    var fault: String?

    init(understands: UInt8) { self.understands = understands }

    mutating func hear(_ version: UInt8, from peer: PeerID, at now: Int64) { heard[peer] = (version, now) }

    /// Another leadership: everybody is asked anew.
    mutating func forget() {
        heard = [:]
        toldAt = .min
    }

    /// The newest version that all of these understand; nil while one has said nothing since `bound`: its program may
    /// be another one by now.
    func common(_ peers: [PeerID], except own: PeerID, since bound: Int64) -> UInt8? {
        var version = understands
        for peer in peers where peer != own {
            guard let known = heard[peer], known.at >= bound else { return nil }
            version = min(version, known.version)
        }
        return version
    }

    mutating func meet(_ version: UInt8, _ place: String) {
        guard version > understands, fault == nil else { return }
        fault = "\(place) has version \(version), this program understands \(understands): a newer one is needed"
    }
}

extension ReplicaCore {
    static var versionMilliseconds: Int64 { 1000 }
    /// What a member said holds for so long.
    static var versionFreshMilliseconds: Int64 { 3 * versionMilliseconds }

    /// False: this program must stop before it.
    mutating func understands(_ entry: Entry) -> Bool {
        if let version = EntryFormat.version(of: entry), version > versions.understands {
            versions.meet(version, "entry \(entry.index)")
        }
        return versions.fault == nil
    }

    mutating func noteVersion(of state: StateMachine) {
        versions.meet(state.clusterVersion, "the state at \(state.appliedIndex)")
    }

    /// To the leader, again and again: messages may be lost.
    mutating func tellVersion() {
        guard let leader = raft.leader, leader != id, versions.understands > state.clusterVersion,
            versions.toldAt == .min || now - versions.toldAt >= Self.versionMilliseconds
        else { return }
        versions.toldAt = now
        output.messages.append(Envelope(to: leader, .understands(versions.understands)))
    }

    /// A duty of the leader.
    mutating func raiseVersion() {
        let bound = now - Self.versionFreshMilliseconds
        guard let common = versions.common(raft.configuration.peers, except: id, since: bound),
            common > state.clusterVersion,
            !isDutyPending({ if case .raiseVersion = $0 { true } else { false } })
        else { return }
        proposeDuty(.raiseVersion(common))
    }
}
