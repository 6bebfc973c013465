// What a leader does: append, send, count answers, commit (Raft §5.3, §5.4). Sending happens once per `takeReady`, so
// that what queued meanwhile goes out as one batch.

extension RaftCore {
    /// Appends commands, all or none. They are committed when they come back in `Ready.committed` with this term.
    package mutating func propose(_ proposals: [Proposal]) throws(ProposeRefusal) -> Appended {
        guard isLeader, fault == nil else { throw .notLeader(leader) }
        guard leading.transfer == nil else { throw .transferring }
        var cost = 0
        for proposal in proposals {
            guard proposal.data.count <= settings.entryBytesMax else { throw .tooLarge(bytes: proposal.data.count) }
            cost += proposal.data.count + Entry.overheadBytes
        }
        let uncommitted = leading.uncommittedBytes
        guard uncommitted == 0 || uncommitted + cost <= settings.uncommittedBytesMax else { throw .overloaded }
        let first = log.last.index.next
        for proposal in proposals {
            appendOwn(Entry(term: term, index: log.last.index.next, data: proposal.data, fence: proposal.fence))
        }
        return Appended(term: term, first: first, last: log.last.index)
    }

    mutating func appendOwn(_ entry: Entry) {
        leading.uncommittedBytes += entry.cost
        appendToLog(entry)
    }

    mutating func stepLeader(_ message: Message) {
        guard isLeader else { return }
        if case .readIndex(let context) = message.body { return takeRead(.peer(message.from, context: context)) }
        guard let position = leading.position(of: message.from) else { return }
        leading.progress[position].isActive = true
        leading.progress[position].silentTicks = 0
        switch message.body {
        case .appendResponse(let response): countAppend(response, at: position)
        case .heartbeatResponse(let round): countHeartbeat(round: round, at: position)
        default: break
        }
    }

    private mutating func countAppend(_ response: Message.AppendResponse, at position: Int) {
        leading.progress[position].isAmnesiac = response.isAmnesiac
        if let hint = response.rejection {
            let agreed = agreement(with: hint)
            leading.progress[position].reject(
                response.index, hint: agreed, isAmnesiac: response.isAmnesiac, committed: commitIndex)
            return
        }
        guard response.index <= log.last.index else { return }
        leading.progress[position].accept(response.index, base: log.base.index)
        commitByCounting()
        finishTransfer()
    }

    /// The last place where a follower's log can agree with this one, given its hint; before `base` when a snapshot is
    /// needed.
    private func agreement(with hint: EntryID) -> LogIndex {
        var index = min(hint.index, log.last.index)
        while index >= log.base.index, index > .zero, let here = log.term(at: index), here > hint.term {
            index = index.previous
        }
        return index
    }

    private mutating func countHeartbeat(round answer: UInt64, at position: Int) {
        let last = log.last.index, round = ReadRound.number(answer)
        if round <= leading.reads.round {
            leading.progress[position].round = max(leading.progress[position].round, round)
            countPromise(answer, at: position)
        }
        confirmReads()
        guard isLeader, mayAsk(at: position) else { return }
        switch leading.progress[position].state {
        case .probe: leading.progress[position].state = .probe(isSent: false)
        // Who lost its log believes a commit index only with a place in the log beside it.
        case .replicate where leading.progress[position].match < last || leading.progress[position].isAmnesiac:
            askAgain(at: position)
        case .replicate, .snapshot: return
        }
        leading.progress[position].askedTick = ticks
    }

    /// Once in a heartbeat's time, give or take a tick: read rounds bring many more answers than that.
    private func mayAsk(at position: Int) -> Bool {
        guard let asked = leading.progress[position].askedTick else { return true }
        return ticks &- asked + 1 >= UInt64(settings.heartbeatTicks)
    }

    /// Entries are under way for a heartbeat's time without an answer: an empty append finds out whether they were
    /// lost.
    private mutating func askAgain(at position: Int) {
        let progress = leading.progress[position]
        guard let term = log.term(at: progress.next.previous) else {
            return leading.progress[position].probe(from: progress.match.next)
        }
        let previous = EntryID(index: progress.next.previous, term: term)
        send(to: progress.id, .append(.init(previous: previous, entries: [], commit: commitIndex)))
    }
}

extension RaftCore {
    /// Commits what a quorum holds, but counts only for entries of this term; older ones follow (Raft §5.4.2, figure
    /// 8).
    mutating func commitByCounting() {
        guard isLeader else { return }
        let reached = reachedIndex(witness: leading.isWitnessEngaged ? nil : .zero)
        guard let index = reached, index > commitIndex else { return }
        guard log.term(at: index) == term else { return }
        leading.uncommittedBytes = max(0, leading.uncommittedBytes - log.cost(after: commitIndex, through: index))
        raiseCommit(to: index)
        takeEarlyReads()
        advanceConfiguration()
    }

    /// How far a quorum holds the log, with the witness taken for holding so much; nil: what it really holds.
    func reachedIndex(witness: LogIndex?) -> LogIndex? {
        let (state, members) = (leading, configuration)
        return members.reached { peer in
            if peer == id { return log.durable }
            if let witness, peer == members.witness { return witness }
            return state.position(of: peer).map { state.progress[$0].counted } ?? .zero
        }
    }

    /// Sends every follower what it may have.
    mutating func replicate() {
        for position in leading.progress.indices {
            if sendEntries(at: position) { continue }
            let progress = leading.progress[position]
            let news = min(commitIndex, progress.match)
            guard progress.isReplicating, news > progress.commitSent else { continue }
            leading.progress[position].commitSent = news
            send(to: progress.id, .commit(news))
        }
    }

    /// True when something was sent.
    private mutating func sendEntries(at position: Int) -> Bool {
        var hasSent = false
        while sendAppend(at: position) { hasSent = true }
        return hasSent
    }

    private mutating func sendAppend(at position: Int) -> Bool {
        let progress = leading.progress[position]
        let limit = sendLimit(progress)
        switch progress.state {
        case .snapshot, .probe(isSent: true): return false
        case .replicate(let inflights):
            guard progress.next <= limit, !inflights.isFull(settings) else { return false }
        case .probe: break
        }
        guard let term = log.term(at: progress.next.previous) else { return sendSnapshot(at: position) }
        var entries = log.slice(
            from: progress.next, through: limit, countMax: settings.appendEntriesMax, bytesMax: settings.appendBytesMax)
        if progress.isWitness { entries = entries.map(\.stripped) }
        let previous = EntryID(index: progress.next.previous, term: term)
        noteSent(entries, at: position)
        send(to: progress.id, .append(.init(previous: previous, entries: entries, commit: commitIndex)))
        return true
    }

    private mutating func noteSent(_ entries: [Entry], at position: Int) {
        let last = entries.last?.index ?? leading.progress[position].next.previous
        leading.progress[position].commitSent = max(leading.progress[position].commitSent, min(commitIndex, last))
        switch leading.progress[position].state {
        case .replicate(var inflights):
            leading.progress[position].state = .probe(isSent: true)
            inflights.add(last: last, bytes: entries.reduce(0) { $0 + $1.cost })
            leading.progress[position].state = .replicate(inflights)
            leading.progress[position].next = last.next
        case .probe: leading.progress[position].state = .probe(isSent: true)
        case .snapshot: break
        }
    }

    /// Asks the shell to stream a snapshot, once the follower is known to be there.
    private mutating func sendSnapshot(at position: Int) -> Bool {
        guard leading.progress[position].isActive, !leading.isLeaving(leading.progress[position].id) else {
            return false
        }
        leading.progress[position].state = .snapshot(pending: snapshot.index)
        send(to: leading.progress[position].id, .installSnapshot(snapshot))
        return true
    }

    mutating func broadcastHeartbeat() {
        leading.heartbeatElapsed = 0
        let round = askForPromises()
        for progress in leading.progress {
            let commit = min(commitIndex, progress.match)
            send(to: progress.id, .heartbeat(commit: commit, round: round))
        }
        // It may have been a round that no other needs to answer.
        if settings.leaseReads { confirmReads() }
    }
}

extension RaftCore {
    /// The transport dropped something for this peer: what was sent may be lost.
    package mutating func peerUnreachable(_ peer: PeerID) {
        guard isLeader, let position = leading.position(of: peer), leading.progress[position].isReplicating else {
            return
        }
        let match = leading.progress[position].match
        leading.progress[position].probe(from: match.next)
    }

    /// The shell finished streaming a snapshot of everything up to `index`; nil: it gave up. Every `.installSnapshot`
    /// message must be answered so.
    package mutating func snapshotSent(to peer: PeerID, through index: LogIndex?) {
        guard isLeader, let position = leading.position(of: peer) else { return }
        guard case .snapshot(let pending) = leading.progress[position].state else { return }
        let match = leading.progress[position].match
        // What was sent may be newer than what was asked for, and the log may begin in between by now.
        leading.progress[position].probe(from: index.map { max($0, pending).next } ?? match.next, isSent: true)
    }
}
