// Time is a count of ticks: timeouts of followers, heartbeats and checks of leaders.

extension RaftCore {
    /// One tick of time passed.
    package mutating func tick() {
        guard fault == nil else { return }
        ticks += 1
        if isLeader { tickLeader() } else { tickFollower() }
    }

    private mutating func tickFollower() {
        if !isWaitingForOwnDisk { electionElapsed += 1 }
        ageForwarded()
        if let delay = hintDelay {
            hintDelay = delay - 1
            if delay <= 1 { return campaignByHint() }
        }
        if electionElapsed >= electionTimeout, promiseLeft == 0 { preCampaign() }
    }

    /// Nobody leads, and a vote is on its way to this peer's disk: what it is part of is not given up meanwhile, or on
    /// disks that take as long as an election nobody would ever be elected.
    private var isWaitingForOwnDisk: Bool { leader == nil && !saves.isEmpty && !isSaveStalled }

    private mutating func tickLeader() {
        leading.heartbeatElapsed += 1
        leading.quorumElapsed += 1
        guard checkDisk(), checkQuorum() else { return }
        tickTransfer()
        tickLeaving()
        tickWitness()
        guard isLeader else { return }
        if isApplyingSuspended { handOver() }
        if leading.heartbeatElapsed >= settings.heartbeatTicks {
            broadcastHeartbeat()
            finishTransfer()
        }
    }

    /// A leader whose disk hangs hands over, then stops. False when it stopped.
    private mutating func checkDisk() -> Bool {
        // Who is alone goes on serving reads: nobody else can lead.
        guard isSaveStalled, configuration.allVoters != [id] else { return true }
        handOver()
        guard saveAge >= UInt64(settings.saveStallTicks + settings.electionTicksMin) else { return true }
        becomeFollower(term: term, leader: nil)
        return false
    }

    /// A leader that does not hear from a quorum stops (CheckQuorum). False when it stopped.
    private mutating func checkQuorum() -> Bool {
        guard leading.quorumElapsed >= settings.electionTicksMax else { return true }
        let state = leading
        let outcome = configuration.outcome { peer in
            peer == id ? true : state.position(of: peer).map { state.progress[$0].isActive } ?? false
        }
        guard outcome == .won else {
            becomeFollower(term: term, leader: nil)
            return false
        }
        leading.quorumElapsed = 0
        for position in leading.progress.indices { leading.progress[position].isActive = false }
        return true
    }

    private mutating func tickTransfer() {
        guard leading.transfer != nil else { return }
        leading.transfer?.elapsed += 1
        if let transfer = leading.transfer, transfer.elapsed >= settings.electionTicksMin { leading.transfer = nil }
    }
}
