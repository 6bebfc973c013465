// Members and hand-over: joint consensus (Raft §6), learners, leadership transfer (Raft thesis §3.10). A configuration
// is in force when it is appended, and falls back when its entry is truncated.

extension RaftCore {
    /// The configuration in force: the latest of the log.
    package var configuration: Configuration { configurations[configurations.count - 1].value }
    package var configurationIndex: LogIndex { configurations[configurations.count - 1].index }

    /// The members at one index; nil when that is compacted.
    package func configuration(at index: LogIndex) -> Configuration? {
        configurations.last { $0.index <= index }?.value
    }

    /// Begins to move to `target` (its `outgoing` is ignored). Voters change in two steps; the second is taken by the
    /// leader itself. A new voter must be a learner that has caught up.
    package mutating func proposeConfiguration(_ target: Configuration) throws(ConfigurationRefusal) -> Appended {
        guard isLeader, fault == nil else { throw .notLeader(leader) }
        try check(target)
        let current = configuration
        let isJoint = target.voters != current.voters
        let next = Configuration(
            voters: target.voters, outgoing: isJoint ? current.voters : [], learners: target.learners,
            witness: target.witness ?? current.witness
        ).following(current)
        guard next != current else { throw .unchanged }
        appendConfiguration(next)
        return Appended(term: term, first: log.last.index, last: log.last.index)
    }

    private func check(_ target: Configuration) throws(ConfigurationRefusal) {
        guard !configuration.isJoint, configurationIndex <= commitIndex, commitIndex >= leading.termStart,
            leading.transfer == nil
        else { throw .changeInProgress }
        guard !target.voters.isEmpty else { throw .noVoters }
        guard target.peers.count <= Configuration.peersMax else { throw .tooManyPeers }
        if let used = target.peers.first(where: configuration.former.contains) { throw .usedID(used) }
        guard placesWitness(target) else { throw .witnessMisplaced }
        for voter in target.voters where !configuration.isVoter(voter) {
            guard let position = leading.position(of: voter), leading.progress[position].isActive,
                leading.progress[position].match > .zero,
                commitIndex.distance(after: leading.progress[position].counted) <= settings.promotionLagMax
            else { throw .notCaughtUp(voter) }
        }
    }

    private mutating func appendConfiguration(_ next: Configuration) {
        appendOwn(Entry(term: term, index: log.last.index.next, kind: .configuration, data: next.encode()))
    }

    /// Leaves the joint phase once it is committed; a leader that is no longer a voter leaves when that is committed.
    mutating func advanceConfiguration() {
        guard configurationIndex <= commitIndex else { return }
        if configuration.isJoint {
            let settled = Configuration(
                voters: configuration.voters, learners: configuration.learners, witness: configuration.witness)
            appendConfiguration(settled.following(configuration))
        } else if !configuration.isVoter(id) {
            resign()
        }
    }

    /// Tells everybody what is committed, asks the best of the others to take over, and follows.
    private mutating func resign() {
        replicate()
        if let target = transferTarget { askToCampaign(target) }
        becomeFollower(term: term, leader: nil)
    }

    /// Adapts the followers that a leader keeps track of. Those that leave are kept until they know it.
    private mutating func trackPeers() {
        guard isLeader else { return }
        let members = configuration.peers
        let old = leading.progress
        for progress in old where !members.contains(progress.id) && !leading.isLeaving(progress.id) {
            leading.leaving.append(Leaving(peer: progress.id, index: configurationIndex))
        }
        leading.leaving.removeAll { members.contains($0.peer) }
        let next = log.last.index
        leading.isWitnessEngaged = leading.isWitnessEngaged && configuration.witness != nil
        leading.progress = (members + leading.leaving.map(\.peer)).sorted().filter { $0 != id }.map { peer in
            var progress = old.first { $0.id == peer } ?? Progress(id: peer, next: next, isActive: true)
            progress.isWitness = progress.isWitness || configuration.witness == peer
            return progress
        }
        if let target = leading.transfer?.target, !configuration.isVoter(target) { leading.transfer = nil }
    }

    /// Whoever left hears of it, if it can be reached: one that does not know it keeps asking for votes.
    mutating func tickLeaving() {
        guard !leading.leaving.isEmpty else { return }
        let (state, commit, patience) = (leading, commitIndex, settings.electionTicksMax)
        leading.leaving = state.leaving.compactMap { leaving in
            guard commit >= leaving.index else { return leaving }
            let isTold = state.position(of: leaving.peer).map {
                state.progress[$0].match >= leaving.index && state.progress[$0].commitSent >= leaving.index
            }
            guard isTold != true, leaving.elapsed < patience else { return nil }
            return Leaving(peer: leaving.peer, index: leaving.index, elapsed: leaving.elapsed + 1)
        }
        let kept = configuration.peers + leading.leaving.map(\.peer)
        leading.progress.removeAll { !kept.contains($0.id) }
    }
}

extension RaftCore {
    /// Every entry enters the log here.
    mutating func appendToLog(_ entry: Entry) {
        log.append(settings.isWitness ? entry.stripped : entry)
        guard entry.kind == .configuration, let value = Configuration(decoding: entry.data) else { return }
        configurations.append((entry.index, value))
        guard knowsItsRole() else { return }
        trackPeers()
    }

    mutating func truncate(from index: LogIndex) {
        log.truncate(from: index)
        for position in saves.indices {
            saves[position].through = saves[position].through.map { min($0, index.previous) }
        }
        while configurations.count > 1, configurationIndex >= index { configurations.removeLast() }
    }

    mutating func readConfigurations(after index: LogIndex) {
        var found: [(index: LogIndex, value: Configuration)] = []
        log.forEach(after: index) { entry in
            guard entry.kind == .configuration, let value = Configuration(decoding: entry.data) else { return }
            found.append((entry.index, value))
        }
        configurations += found
    }
}

extension RaftCore {
    /// Hands leadership to `target`, or to the most advanced voter: no proposals until it took over or the attempt is
    /// given up after `electionTicksMin`.
    package mutating func transferLeadership(to target: PeerID? = nil) throws(TransferRefusal) {
        guard isLeader, fault == nil else { throw .notLeader(leader) }
        guard let peer = target ?? transferTarget, peer != id, configuration.dataVoters.contains(peer),
            leading.position(of: peer) != nil
        else { throw .noTarget }
        leading.transfer = Transfer(target: peer)
        finishTransfer()
    }

    /// The voter with the longest log among those that are heard from.
    private var transferTarget: PeerID? {
        leading.progress.filter {
            $0.isActive && $0.isReplicating && configuration.dataVoters.contains($0.id) && $0.counted >= commitIndex
        }
        .max { ($0.match, $1.id) < ($1.match, $0.id) }?.id
    }

    /// Asks the target to campaign once it has the whole log.
    mutating func finishTransfer() {
        guard isLeader, let target = leading.transfer?.target, let position = leading.position(of: target),
            leading.progress[position].match == log.last.index
        else { return }
        askToCampaign(target)
    }

    /// This leader's disk hangs: whoever has everything committed takes over, without waiting for more.
    mutating func handOver() {
        guard leading.transfer == nil, let target = transferTarget else { return }
        leading.transfer = Transfer(target: target)
        askToCampaign(target)
    }

    /// Its campaign passes over the loyalty and the promises of all others.
    private mutating func askToCampaign(_ target: PeerID) {
        if hasLease { leaseFigures.endedByTransfer += 1 }
        leading.hasAskedToCampaign = true
        send(to: target, .timeoutNow)
    }
}
