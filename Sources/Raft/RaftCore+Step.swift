// Messages: who is heard, the rules on terms (Raft §5.1), then each kind to its handler.

extension RaftCore {
    /// Takes a message from another peer. What is malformed, old or not for this peer is dropped.
    package mutating func step(_ message: Message) {
        guard fault == nil, message.to == id, message.from != id, message.isSane else { return }
        guard isStranger(message.from) else { return stepUnchecked(message) }
        // Who leads itself alone never misses others: what it knows may be an old copy's, of before they came.
        guard configuration.allVoters != [id] || message.term <= term else { return stepUnchecked(message) }
        guard !message.claimsToLead || leader == message.from || !isLoyal else { return }
        let before = self
        stepUnchecked(message)
        // The word of one that is not known to be a member ends nobody.
        if fault != nil { self = before }
    }

    /// It is no member as far as this peer's log says. It may be one all the same, and lead, as one that was added by
    /// entries that did not come here yet; then nobody else leads, and it is heard as soon as the silence tells so.
    package func isStranger(_ peer: PeerID) -> Bool {
        !configuration.voters.isEmpty && !configurations.contains { $0.value.contains(peer) }
    }

    mutating func stepUnchecked(_ message: Message) {
        if message.term > term {
            guard adoptTerm(of: message) else { return }
        } else if message.term < term {
            return answerOldTerm(message)
        }
        switch message.body {
        case .preVote, .vote, .preVoteResponse, .voteResponse, .timeoutNow: stepElection(message)
        case .append, .heartbeat, .commit, .installSnapshot: stepFollower(message)
        case .appendResponse, .heartbeatResponse, .readIndex: stepLeader(message)
        case .readIndexResponse(let context, let index): finishForwarded(context: context, index: index)
        }
    }

    /// False when a message of a later term is to be ignored.
    private mutating func adoptTerm(of message: Message) -> Bool {
        switch message.body {
        case .preVote:
            return !isLoyal && isFreeToHelp()
        case .preVoteResponse(granted: true):
            return true
        case .vote(_, let isTransfer):
            // No leader hands over to one that is no voter: such a request is a late one of a peer that was removed.
            guard isTransfer && configuration.isVoter(message.from) || !isLoyal && isFreeToHelp() else { return false }
            becomeFollower(term: message.term, leader: nil)
        case .append, .heartbeat, .commit, .installSnapshot:
            becomeFollower(term: message.term, leader: message.from)
        default:
            // An answer. Whoever leads a later term speaks for itself; one that is no member any more disturbs nobody.
            guard configuration.contains(message.from) else { return false }
            becomeFollower(term: message.term, leader: nil)
        }
        return true
    }

    /// Leader stickiness: a peer that leads, or heard from its leader lately, helps nobody to replace it.
    private var isLoyal: Bool {
        switch role {
        case .leader: return true
        case .follower(let state): return state.leader != nil && electionElapsed < settings.electionTicksMin
        case .preCandidate, .candidate: return false
        }
    }

    /// Tells a sender that lives in the past about this term, so that it can catch up.
    private mutating func answerOldTerm(_ message: Message) {
        switch message.body {
        case .preVote: send(to: message.from, .preVoteResponse(granted: false))
        case .vote: send(to: message.from, .voteResponse(granted: false))
        case .append, .heartbeat, .installSnapshot: send(to: message.from, .heartbeatResponse(round: 0))
        default: break
        }
    }
}
