// What a follower does with its leader's messages: append, learn the commit index, take a snapshot (Raft §5.3, §7).

extension RaftCore {
    mutating func stepFollower(_ message: Message) {
        guard follow(message.from) else { return }
        switch message.body {
        case .append(let append): answerAppend(append, from: message.from)
        case .heartbeat(let commit, let round):
            learnCommit(commit)
            send(to: message.from, .heartbeatResponse(round: isAmnesiac ? 0 : promise(round)))
            if isAmnesiac && commit > log.last.index { admitLoss(commit, to: message.from) }
        case .commit(let commit): learnCommit(commit)
        case .installSnapshot(let metadata): answerSnapshot(metadata, from: message.from)
        default: break
        }
    }

    /// The sender leads this term. False when it cannot be.
    private mutating func follow(_ leader: PeerID) -> Bool {
        switch role {
        case .leader: return false
        case .preCandidate, .candidate: becomeFollower(term: term, leader: leader)
        case .follower(let state):
            if state.leader == nil { becomeFollower(term: term, leader: leader) }
            guard self.leader == leader else { return false }
        }
        electionElapsed = 0
        forgetHint()
        return true
    }

    /// The commit index from a heartbeat: never beyond what this peer acknowledged in this term. If it has not got that,
    /// its disk is an older copy of itself: it is as if damaged, until it has fetched what it lost.
    private mutating func learnCommit(_ index: LogIndex) {
        guard voteMark == nil else { return }
        guard index <= log.last.index else { return voteMark = index }
        // What a newborn acknowledged in an earlier life may not be what it has there now.
        guard !isNewborn || log.term(at: index) == term else { return }
        raiseCommit(to: index)
        guard isNewborn else { return }
        recallAmnesia()
        if !isNewborn, let leader { acknowledge(commitIndex, to: leader) }
    }

    private mutating func answerAppend(_ append: Message.Append, from leader: PeerID) {
        guard settings.isWitness || !append.entries.contains(where: { $0.kind == .stripped }) else {
            return fault = "a command without its bytes came from \(leader): it takes this peer for a witness"
        }
        guard append.previous.index >= commitIndex else { return acknowledge(commitIndex, to: leader) }
        guard log.holds(append.previous) else { return reject(append.previous, to: leader) }
        guard put(append.entries), fault == nil else { return }
        let last = append.previous.index + UInt64(append.entries.count)
        raiseCommit(to: min(append.commit, last))
        acknowledge(last, to: leader)
    }

    /// Appends what is new; replaces what conflicts. False when that would undo a committed entry.
    private mutating func put(_ entries: [Entry]) -> Bool {
        guard let first = entries.firstIndex(where: { !log.holds(EntryID(index: $0.index, term: $0.term)) }) else {
            return true
        }
        let index = entries[first].index
        guard index > commitIndex else {
            fault = "entry \(index) of term \(entries[first].term) contradicts a committed one, commit \(commitIndex)"
            return false
        }
        if index <= log.last.index { truncate(from: index) }
        for entry in entries[first...] { appendToLog(entry) }
        return true
    }

    private mutating func acknowledge(_ index: LogIndex, to leader: PeerID) {
        sendWhenSaved(to: leader, .appendResponse(.init(index: index, isAmnesiac: isAmnesiac)))
    }

    /// The leader believes that this peer holds entries which it lost.
    private mutating func admitLoss(_ index: LogIndex, to leader: PeerID) {
        send(to: leader, .appendResponse(.init(index: index, rejection: log.last, isAmnesiac: true)))
    }

    /// Names the last place where the logs can still agree: not after ours, and of a term not after the leader's there.
    private mutating func reject(_ previous: EntryID, to leader: PeerID) {
        let hint = agreement(notAfter: min(previous.index, log.last.index), term: previous.term)
        send(to: leader, .appendResponse(.init(index: previous.index, rejection: hint, isAmnesiac: isAmnesiac)))
    }

    /// The last entry at or before `index` whose term is at most `term`.
    private func agreement(notAfter index: LogIndex, term: Term) -> EntryID {
        var index = index
        while index > log.base.index, let here = log.term(at: index), here > term { index = index.previous }
        index = max(index, log.base.index)
        return EntryID(index: index, term: log.term(at: index) ?? log.base.term)
    }

    private mutating func answerSnapshot(_ metadata: SnapshotMetadata, from leader: PeerID) {
        guard metadata.index > commitIndex else { return acknowledge(commitIndex, to: leader) }
        if log.holds(metadata.id) && !isAmnesiac {
            raiseCommit(to: metadata.index)
            return acknowledge(metadata.index, to: leader)
        }
        log.reset(to: metadata.id)
        for position in saves.indices { saves[position].through = nil }
        configurations = [(metadata.index, metadata.configuration)]
        guard knowsItsRole() else { return }
        installing = metadata
        commitIndex = metadata.index
        recallAmnesia()
        acknowledge(metadata.index, to: leader)
    }
}

extension RaftCore {
    mutating func raiseCommit(to index: LogIndex) {
        guard index > commitIndex else { return }
        commitIndex = index
        recallAmnesia()
    }

    private mutating func recallAmnesia() {
        if let mark = voteMark, commitIndex >= mark { voteMark = nil }
        // Whoever leads committed this without it, after all that was ever committed with it.
        if isNewborn, commitIndex > .zero, log.term(at: commitIndex) == term { isNewborn = false }
    }
}
