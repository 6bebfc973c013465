// Linearizable reads without the log (ReadIndex, Raft thesis §6.4). A read index is the commit index when the read was
// taken; it is good once a quorum answered a round that began afterwards. Only a leader that has committed in its own
// term knows the commit index. Nothing here depends on clocks; `RaftCore+Lease` is about reads that do, where wished.

extension RaftCore {
    /// Asks for a read index; the answer comes in `Ready.reads`, or none at all when messages are lost and leadership
    /// stands still for long: the shell limits its patience.
    package mutating func readIndex(_ read: ReadID) throws(ReadRefusal) {
        guard leader != nil, fault == nil else { throw .noLeader }
        if isLeader {
            guard leading.reads.count < settings.readsMax else { throw .overloaded }
            takeRead(.local(read))
        } else {
            guard forwarded.count < settings.readsMax else { throw .overloaded }
            forwarded.waiting.append(read)
        }
    }

    mutating func takeRead(_ origin: LeaderReads.Origin) {
        guard leading.reads.count < settings.readsMax else { return }
        guard commitIndex >= leading.termStart else { return leading.reads.early.append(origin) }
        let round = leading.reads.round + 1
        leading.reads.pending.append(.init(origin: origin, index: commitIndex, round: round))
        leading.reads.wantsRound = true
    }

    /// The leader has committed in its term: reads that waited for this get their index.
    mutating func takeEarlyReads() {
        guard commitIndex >= leading.termStart, !leading.reads.early.isEmpty else { return }
        let early = leading.reads.early
        leading.reads.early = []
        for origin in early { takeRead(origin) }
    }

    /// One round for all reads since the last.
    mutating func beginReadRound() {
        let reads = leading.reads
        guard reads.wantsRound, reads.round - reads.confirmed < UInt64(settings.readRoundsMax) else { return }
        leading.reads.wantsRound = false
        // With leases every heartbeat has a number of its own.
        if !settings.leaseReads { leading.reads.round += 1 }
        broadcastHeartbeat()
        confirmReads()
    }

    mutating func confirmReads() {
        let state = leading
        let reached = configuration.reached { peer in
            peer == id ? state.reads.round : state.position(of: peer).map { state.progress[$0].round } ?? 0
        }
        guard let reached, reached > state.reads.confirmed else { return }
        leading.reads.confirmed = reached
        let ready = leading.reads.pending.prefix { $0.round <= reached }
        leading.reads.pending.removeFirst(ready.count)
        leading.reads.told = max(0, leading.reads.told - ready.count)
        for read in ready { answer(read.origin, index: read.index) }
    }

    mutating func answer(_ origin: LeaderReads.Origin, index: LogIndex) {
        switch origin {
        case .local(let read): readResults.append(ReadResult(id: read, index: index))
        case .peer(let peer, let context): send(to: peer, .readIndexResponse(context: context, index: index))
        }
    }
}

extension RaftCore {
    /// Sends what waits to the leader, as one question.
    mutating func forwardReads() {
        guard let leader, !forwarded.waiting.isEmpty || forwarded.asksAgain else { return }
        let context = forwarded.nextContext
        forwarded.nextContext += 1
        if !forwarded.waiting.isEmpty { forwarded.sent.append(.init(context: context, ids: forwarded.waiting)) }
        forwarded.waiting = []
        forwarded.asksAgain = false
        forwarded.silentTicks = 0
        send(to: leader, .readIndex(context: context))
    }

    /// The index was taken after this question, so after every one before it: all of them are answered.
    mutating func finishForwarded(context: UInt64, index: LogIndex) {
        guard context < forwarded.nextContext else { return }
        let answered = forwarded.sent.prefix { $0.context <= context }
        forwarded.sent.removeFirst(answered.count)
        for read in answered.flatMap(\.ids) { readResults.append(ReadResult(id: read, index: index)) }
    }

    /// What got no answer is asked anew, with one question for all; answers to the former ones serve as well.
    mutating func ageForwarded() {
        guard !forwarded.sent.isEmpty else { return }
        forwarded.silentTicks += 1
        if forwarded.silentTicks >= settings.readRetryTicks { forwarded.asksAgain = true }
    }

    /// Leadership changes: whoever waits may ask again.
    mutating func failReads() {
        for read in forwarded.waiting { readResults.append(ReadResult(id: read)) }
        for batch in forwarded.sent {
            for read in batch.ids { readResults.append(ReadResult(id: read)) }
        }
        forwarded.waiting = []
        forwarded.sent = []
        forwarded.asksAgain = false
        guard case .leader(let state) = role else { return }
        for origin in state.reads.early + state.reads.pending.map(\.origin) {
            if case .local(let read) = origin { readResults.append(ReadResult(id: read)) }
        }
    }
}
