// Elections: PreVote, votes, candidates, and what changes when a role is taken (Raft §5.2, §5.4.1).

extension RaftCore {
    mutating func stepElection(_ message: Message) {
        switch message.body {
        case .preVote(let last): answerPreVote(message, last: last)
        case .vote(let last, let isTransfer): if isTransfer || isFreeToHelp() { answerVote(message, last: last) }
        case .preVoteResponse(let granted): countPreVote(message, granted: granted)
        case .voteResponse(let granted): countVote(message, granted: granted)
        case .timeoutNow:
            if case .follower = role, mayCampaign, !isApplyingSuspended { campaign(isTransfer: true) }
        default: break
        }
    }

    /// A log at least as long as ours (Raft §5.4.1).
    private func isUpToDate(_ last: EntryID) -> Bool {
        let own = log.last
        return last.term > own.term || (last.term == own.term && last.index >= own.index)
    }

    private mutating func answerPreVote(_ message: Message, last: EntryID) {
        guard !isAmnesiac, isFreeToHelp() else { return }
        let isFree = message.term > term || vote == message.from || (vote == nil && leader == nil)
        if isFree && isUpToDate(last) {
            outbox.append(Message(from: id, to: message.from, term: message.term, .preVoteResponse(granted: true)))
            if case .preCandidate = role, yields(to: message.from, last) {
                becomeFollower(term: term, leader: nil, keepsTimer: true)
            }
        } else {
            send(to: message.from, .preVoteResponse(granted: false))
        }
    }

    /// Two that ask at once would grant each other's wish, and both would campaign and vote for themselves. The one with
    /// the shorter log, or the greater id, lets the other go first; it asks again when nothing comes of that.
    private func yields(to other: PeerID, _ last: EntryID) -> Bool {
        configuration.isVoter(other) && (last != log.last || other < id)
    }

    private mutating func answerVote(_ message: Message, last: EntryID) {
        guard !isAmnesiac else { return }
        let isFree = vote == message.from || (vote == nil && leader == nil)
        guard isFree && isUpToDate(last) else { return send(to: message.from, .voteResponse(granted: false)) }
        if vote != message.from { isHardStateDirty = true }
        vote = message.from
        electionElapsed = 0
        hintDelay = hintDelay.map { max($0, settings.electionTicksMin) }
        sendWhenSaved(to: message.from, .voteResponse(granted: true))
    }

    private mutating func countPreVote(_ message: Message, granted: Bool) {
        guard case .preCandidate(var ballot) = role, !granted || message.term == term.next else { return }
        ballot.record(granted, from: message.from)
        role = .preCandidate(ballot)
        switch configuration.outcome({ ballot.answers[$0] }) {
        case .won: campaign(isTransfer: false)
        case .lost: becomeFollower(term: term, leader: nil, keepsTimer: true)
        case .pending: break
        }
    }

    private mutating func countVote(_ message: Message, granted: Bool) {
        guard case .candidate(var ballot) = role else { return }
        ballot.record(granted, from: message.from)
        role = .candidate(ballot)
        switch configuration.outcome({ ballot.answers[$0] }) {
        case .won: becomeLeader()
        case .lost: becomeFollower(term: term, leader: nil, keepsTimer: true)
        case .pending: break
        }
    }
}

extension RaftCore {
    /// A voter, now or as long as its removal is not committed: it may be the only one whose log is long enough to
    /// commit that (Raft thesis §4.2.2). Its own vote counts only where it is one.
    private var isVoter: Bool {
        configuration.isVoter(id) || configuration(at: commitIndex)?.isVoter(id) == true
    }

    /// Neither a learner, nor a witness, nor one whose log or disk cannot be trusted, nor a leader.
    var mayCampaign: Bool {
        isVoter && !settings.isWitness && !isAmnesiac && installing == nil && !isSaveStalled && !isLeader
            && term.rawValue < counterMax
    }

    /// Asks for pre-votes.
    mutating func preCampaign() {
        resetElectionTimer()
        guard mayCampaign, !letsOthersTry() else { return loseLeader() }
        failReads()
        var ballot = Ballot()
        ballot.record(true, from: id)
        role = .preCandidate(ballot)
        if configuration.outcome({ ballot.answers[$0] }) == .won { return campaign(isTransfer: false) }
        for peer in configuration.allVoters where peer != id {
            outbox.append(Message(from: id, to: peer, term: term.next, .preVote(last: log.last)))
        }
    }

    /// Whoever may not campaign must not keep the others from it by being loyal to one who is gone.
    private mutating func loseLeader() {
        if case .follower(let state) = role, state.leader != nil {
            becomeFollower(term: term, leader: nil, keepsTimer: true)
        }
    }

    /// One whose state is wrong leads only when nobody else does.
    private mutating func letsOthersTry() -> Bool {
        guard isApplyingSuspended, campaignsSkipped < 3 else { return false }
        campaignsSkipped += 1
        return true
    }

    /// Asks for votes. Requests and the own vote wait until term, vote and log are durable: otherwise a second life of
    /// this peer, with less of a log, could be elected by answers to the first.
    mutating func campaign(isTransfer: Bool) {
        failReads()
        resetElectionTimer()
        waitLonger()
        hardTerm = term.next
        vote = id
        isHardStateDirty = true
        role = .candidate(Ballot())
        for peer in configuration.allVoters {
            sendWhenSaved(
                to: peer, peer == id ? .voteResponse(granted: true) : .vote(last: log.last, isTransfer: isTransfer))
        }
    }

    /// After some campaigns that came to nothing the others are given more time for their answers, which wait for their
    /// disks.
    private mutating func waitLonger() {
        electionTimeout <<= min(3, max(0, fruitless - 2))
        fruitless += 1
    }

    /// Follows; a later term is adopted. `keepsTimer`: a lost campaign does not postpone the next one.
    mutating func becomeFollower(term newTerm: Term, leader: PeerID?, keepsTimer: Bool = false) {
        if newTerm > term {
            hardTerm = newTerm
            vote = nil
            isHardStateDirty = true
        }
        failReads()
        role = .follower(FollowerState(leader: leader))
        if leader != nil {
            fruitless = 0
            forgetHint()
        }
        if !keepsTimer { resetElectionTimer() }
    }

    /// The first entry tells everybody who leads; no heartbeat is needed for it.
    private mutating func becomeLeader() {
        var answered: [PeerID: Bool] = [:]
        if case .candidate(let ballot) = role { answered = ballot.answers }
        failReads()
        forgetHint()
        fruitless = 0
        let next = log.last.index.next
        let progress = configuration.peers.filter { $0 != id }.map { peer in
            var progress = Progress(id: peer, next: next, isActive: true)
            progress.isWitness = configuration.witness == peer
            progress.silentTicks = answered[peer] == nil ? settings.electionTicksMin : 0
            return progress
        }
        let tail = log.cost(after: commitIndex, through: log.last.index)
        role = .leader(LeaderState(termStart: next, progress: progress, uncommittedBytes: tail))
        engageWitness()
        appendOwn(Entry(term: term, index: next, kind: .empty))
    }

    mutating func resetElectionTimer() {
        electionElapsed = 0
        electionTimeout = Int.random(in: settings.electionTicksMin...settings.electionTicksMax, using: &generator)
    }
}

extension RaftCore {
    /// The connection to a peer was reset *and* a new one refused: its process is gone. When it led, its stickiness
    /// here is void, and the voters campaign one after the other by rank, without waiting for a timeout.
    package mutating func connectionLost(to peer: PeerID) {
        guard fault == nil else { return }
        if isLeader {
            peerUnreachable(peer)
            return noteSilence(of: peer)
        }
        guard leader == peer, settings.usesConnectionLossHint, promiseLeft == 0 else { return }
        failReads()
        role = .follower(FollowerState())
        hintAttempts = 0
        scheduleHint(without: peer)
    }

    private mutating func scheduleHint(without lost: PeerID) {
        let others = configuration.dataVoters.filter { $0 != lost }
        guard let rank = others.firstIndex(of: id) else { return }
        if rank == 0 { campaignByHint() } else { hintDelay = rank }
    }

    /// Asks now, and again after a while that differs from peer to peer, until the usual timeout takes over.
    mutating func campaignByHint() {
        let voters = configuration.allVoters
        hintAttempts += 1
        hintDelay = hintAttempts < 8 ? voters.count + (voters.firstIndex(of: id) ?? 0) : nil
        if case .candidate = role { return }
        preCampaign()
    }

    mutating func forgetHint() {
        hintDelay = nil
        hintAttempts = 0
    }
}
