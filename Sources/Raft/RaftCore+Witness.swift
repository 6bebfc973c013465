// A witness votes and keeps the log without its commands: place and term of each, configurations whole. For votes and for
// matching logs that is all there is to know, so that it is a voter like any other, but that it can never lead: the log
// that it would lead with has no commands (docs/decisions/0009). Its acknowledgement says nothing of where the data is;
// so the leader lets it count only while a voter with data is out of reach.

extension RaftCore {
    /// The witness's acknowledgements count; only a leader knows.
    package var isWitnessEngaged: Bool {
        if case .leader(let state) = role { return state.isWitnessEngaged }
        return false
    }

    /// What this peer is by its own settings and what the members take it for must be the same: else commands would be
    /// counted as stored that are not, or be lost. Sets `fault` otherwise.
    mutating func knowsItsRole() -> Bool {
        guard configuration.contains(id), settings.isWitness != (configuration.witness == id) else { return true }
        fault =
            settings.isWitness
            ? "this peer is a witness and the cluster takes it for one with data"
            : "the cluster takes this peer for a witness, and it is none"
        return false
    }

    /// At most one, for ever or never, beside enough voters with data.
    func placesWitness(_ target: Configuration) -> Bool {
        let current = configuration
        if let old = current.witness, target.contains(old), target.witness != old { return false }
        guard let witness = target.witness else { return true }
        let isKnown = current.witness == witness
        guard isKnown || (current.witness == nil && !current.contains(witness)) else { return false }
        return target.voters.filter { $0 != witness }.count >= Configuration.dataVotersMin
    }

    /// How far a follower is sent the log. A witness is not ahead of those that may lead: one that had an entry which
    /// they all lost would refuse them all, also on its way out. While it does not count, it has what is committed; else
    /// what its word alone would commit, which is durable elsewhere.
    func sendLimit(_ peer: Progress) -> LogIndex {
        guard peer.isWitness else { return log.last.index }
        guard leading.isWitnessEngaged else { return commitIndex }
        return max(commitIndex, reachedIndex(witness: log.last.index) ?? .zero)
    }
}

extension RaftCore {
    /// Begins to count the witness as soon as a voter with data is out of reach; ends when all of them keep up again.
    mutating func engageWitness() {
        let members = configuration
        guard let witness = members.witness, members.isVoter(witness) else {
            return leading.isWitnessEngaged = false
        }
        let others = leading.progress.filter { $0.id != witness && members.isVoter($0.id) }
        if others.contains(where: { isOutOfReach($0) }) {
            leading.isWitnessEngaged = true
        } else if others.allSatisfy({
            $0.isReplicating && commitIndex.distance(after: $0.match) <= settings.promotionLagMax
        }) {
            leading.isWitnessEngaged = false
        }
    }

    /// Silent, or unable to keep anything: its log is damaged, or its disk hangs.
    private func isOutOfReach(_ peer: Progress) -> Bool {
        peer.silentTicks >= settings.electionTicksMin || peer.isAmnesiac || peer.waitingTicks >= settings.saveStallTicks
    }

    /// Time passes for what is known of the followers.
    mutating func tickWitness() {
        guard configuration.witness != nil else { return }
        for position in leading.progress.indices {
            leading.progress[position].silentTicks += 1
            let isWaiting = leading.progress[position].match < log.durable
            leading.progress[position].waitingTicks = isWaiting ? leading.progress[position].waitingTicks + 1 : 0
        }
        engageAndCount()
    }

    /// The connection to a follower broke and another was refused.
    mutating func noteSilence(of peer: PeerID) {
        guard let position = leading.position(of: peer) else { return }
        leading.progress[position].silentTicks = max(
            leading.progress[position].silentTicks, settings.electionTicksMin)
        engageAndCount()
    }

    private mutating func engageAndCount() {
        let wasEngaged = leading.isWitnessEngaged
        engageWitness()
        if leading.isWitnessEngaged, !wasEngaged { commitByCounting() }
    }
}
