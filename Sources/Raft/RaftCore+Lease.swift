// Reads by lease (Raft thesis §6.4.1), off by default. With each heartbeat a leader asks its followers for a promise: to
// help nobody else to lead, themselves included, for `electionTicksMin` of their time. While a quorum's promises stand
// nobody else is elected, and what this leader has committed is all there is. It counts from when it asked, on its own
// clock, and stops early: by the drift between clocks, and by what a follower may count too much.
//
// What must hold: a promise outlives all other reasons to be free (a later term, a lost pre-vote, a restart); a leader
// that ever asked somebody to campaign relies on none for the rest of its term; a read is served only by a clock that was
// told after the read was taken, so that a pause in between is seen. Safety hangs on the told clocks alone, not on ticks.

/// Rounds on the wire: a number; above it how long a promise is asked for, in units of the clock (0: none); on top whether
/// it is given. A peer that knows nothing of promises sends back what it got, and has given none.
package enum ReadRound {
    private static let numberBits: UInt64 = 46
    private static let given: UInt64 = 1 << 63
    static let lengthMax = 0xffff
    package static func number(_ round: UInt64) -> UInt64 { round & (1 << numberBits - 1) }
    package static func length(_ round: UInt64) -> Int64 { Int64(round >> numberBits & UInt64(lengthMax)) }
    package static func isPromise(_ round: UInt64) -> Bool { round & given != 0 }
    package static func giving(_ round: UInt64) -> UInt64 { round | given }
    package static func asking(_ number: UInt64, length: Int64) -> UInt64 {
        number | UInt64(max(0, length)) << numberBits
    }
}

/// What became of leases, for `status` and the simulator.
package struct LeaseFigures: Hashable, Sendable {
    /// Answered without a round.
    package var reads: UInt64 = 0
    /// A lease that stood when somebody was asked to campaign.
    package var endedByTransfer: UInt64 = 0
    /// Votes and pre-votes that were not given for a promise alone.
    package var refusals: UInt64 = 0
    /// The clock went back.
    package var endedByClock: UInt64 = 0
}

extension RaftSettings {
    /// What a follower promises.
    var promiseUnits: Int64 { Int64(electionTicksMin) * Int64(tickUnits) }

    /// How long a leader relies on it.
    var leaseUnits: Int64 {
        Int64(electionTicksMin - leaseMarginTicks) * Int64(tickUnits) * Int64(100 - leaseDriftPercent) / 100
    }

    var marginUnits: Int64 { Int64(leaseMarginTicks) * Int64(tickUnits) }

    /// Heartbeats renew a lease before it ends; the hint would break promises.
    var hasSaneLease: Bool {
        guard leaseReads else { return true }
        return !usesConnectionLossHint && (1...1000).contains(tickUnits)
            && (1...ReadRound.lengthMax / tickUnits).contains(electionTicksMin)
            && (1..<electionTicksMin).contains(leaseMarginTicks) && (0..<100).contains(leaseDriftPercent)
            && leaseUnits > Int64(heartbeatTicks) * Int64(tickUnits)
    }
}

extension RaftCore {
    /// What the shell's clock shows, in `tickUnits` a tick. It must not stand still while the process does, nor while the
    /// machine sleeps. To be told before a message is stepped, and after reads were taken: those before are served by it.
    package mutating func tell(clock now: Int64) {
        guard settings.leaseReads || promiseLeft > 0 else { return }
        if isLeader { leading.reads.told = leading.reads.pending.count }
        guard let last = clock, now != last else { return clock = now }
        clock = now
        guard now > last else { return forgetPromises() }
        let (passed, isTooMuch) = now.subtractingReportingOverflow(last)
        promiseLeft -= min(promiseLeft, settings.marginUnits, isTooMuch ? .max : passed)
    }

    /// How long promises stand cannot be told any more.
    private mutating func forgetPromises() {
        guard isLeader else { return }
        leaseFigures.endedByClock += 1
        leading.reads.begun = []
        for position in leading.progress.indices { leading.progress[position].promisedUntil = .min }
    }

    /// As a leader: until its clock shows this, nobody else is elected. Asked of the members in force: of a joint
    /// configuration both quorums, and nobody who left.
    package var leaseEnd: Int64? {
        guard settings.leaseReads, case .leader(let state) = role, !state.hasAskedToCampaign,
            commitIndex >= state.termStart
        else { return nil }
        return configuration.reached { peer in
            peer == id ? .max : state.position(of: peer).map { state.progress[$0].promisedUntil } ?? .min
        }
    }

    /// Reads need no round now.
    package var hasLease: Bool {
        guard let clock, let leaseEnd else { return false }
        return clock < leaseEnd
    }

    /// Not bound by a promise; counts when it is.
    mutating func isFreeToHelp() -> Bool {
        if promiseLeft > 0 { leaseFigures.refusals += 1 }
        return promiseLeft == 0
    }

    /// The answer to a heartbeat. Nothing is promised that would not be kept over a restart.
    mutating func promise(_ round: UInt64) -> UInt64 {
        let length = ReadRound.length(round)
        guard settings.leaseReads, clock != nil, length > 0, length <= settings.promiseUnits else {
            return round & ~ReadRound.giving(0)
        }
        promiseLeft = max(promiseLeft, length + 1)
        return ReadRound.giving(round)
    }

    /// What is sent with a heartbeat. Each asks under a number of its own, so that it is a round for reads, too.
    mutating func askForPromises() -> UInt64 {
        guard settings.leaseReads else { return leading.reads.round }
        leading.reads.round += 1
        leading.reads.wantsRound = false
        let round = leading.reads.round
        guard let clock, !leading.hasAskedToCampaign else { return round }
        let oldest = clock &- settings.leaseUnits
        leading.reads.begun.removeAll { $0.clock <= oldest }
        if leading.reads.begun.count >= LeaderReads.begunMax { leading.reads.begun.removeFirst() }
        leading.reads.begun.append((round, clock))
        return ReadRound.asking(round, length: settings.promiseUnits)
    }

    mutating func countPromise(_ answer: UInt64, at position: Int) {
        let round = ReadRound.number(answer)
        guard settings.leaseReads, ReadRound.isPromise(answer), ReadRound.length(answer) == settings.promiseUnits,
            let asked = leading.reads.begun.first(where: { $0.round == round })?.clock
        else { return }
        let until = asked &+ settings.leaseUnits
        leading.progress[position].promisedUntil = max(leading.progress[position].promisedUntil, until)
    }

    /// What was taken before the clock was told.
    mutating func serveByLease() {
        guard settings.leaseReads, leading.reads.told > 0, hasLease else { return }
        let served = Array(leading.reads.pending.prefix(leading.reads.told))
        leading.reads.pending.removeFirst(served.count)
        leading.reads.told = 0
        leading.reads.wantsRound = leading.reads.pending.contains { $0.round > leading.reads.round }
        leaseFigures.reads += UInt64(served.count)
        for read in served { answer(read.origin, index: read.index) }
    }
}
