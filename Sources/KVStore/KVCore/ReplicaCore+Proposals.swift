// Proposals from here to their outcome: numbered under this boot's session, appended here or forwarded to the leader,
// sent again when leadership moves, and matched by number when they are applied locally. The session table makes every
// repetition harmless. A proposal that is given up is `.noLeader` only when no copy of it ever left this place; else
// its outcome is unknown.
import Raft

/// Where a proposal is.
enum ProposalPlace: Hashable, Sendable {
    case waiting
    case appended(Term)
    /// To the leader of a term: within it, it is not lost by a change of leaders.
    case forwarded(PeerID, in: Term, at: Int64)
}

struct PendingProposal: Sendable {
    var command: Command
    var fence: Term?
    var waiters: [Ticket]
    /// The leader's own upkeep: given up when leadership moves.
    var isDuty = false
    var since: Int64
    var place = ProposalPlace.waiting
    var wasSent = false
    /// Refused for room: not before this.
    var notBefore: Int64 = 0
}

/// What waits, by serial.
struct ProposalTable: Sendable {
    private(set) var client: ClientID
    private(set) var isOpen = false
    private var nextSerial: UInt64 = 1
    private var lowest: UInt64 = 1
    var pending: [UInt64: PendingProposal] = [:]
    /// Serials in `.waiting`, in order.
    var queue: [UInt64] = []
    var openSince: ProposalPlace = .waiting
    /// The table of sessions is full: not before this.
    var openNotBefore: Int64 = 0
    var keepAlives: [(ticket: Ticket, lease: LeaseID)] = []
    /// No proposal is due before this.
    var nextExpiry = Int64.min

    init(seed: UInt64) { client = ClientID(rawValue: mix64(seed)) }

    var count: Int { pending.count + keepAlives.count }
    static let openSerial: UInt64 = 0

    mutating func add(_ proposal: PendingProposal) {
        pending[nextSerial] = proposal
        queue.append(nextSerial)
        nextSerial += 1
    }

    mutating func id(of serial: UInt64) -> ProposalID {
        while lowest < nextSerial, pending[lowest] == nil { lowest += 1 }
        return ProposalID(client: client, serial: serial, settledBelow: lowest)
    }

    mutating func opened() { isOpen = true }

    /// The session is gone, and what was executed before is settled: nothing that is still pending was or will be.
    mutating func renew() {
        client = ClientID(rawValue: mix64(client.rawValue))
        isOpen = false
        openSince = .waiting
        for serial in pending.keys.sorted() { requeue(serial) }
    }

    mutating func requeue(_ serial: UInt64) {
        guard let place = pending[serial]?.place, place != .waiting else { return }
        pending[serial]?.place = .waiting
        queue.append(serial)
    }
}

extension ReplicaCore {
    /// Asks for a command; exactly one outcome comes for the ticket. A witness, which would never see it, takes none.
    package mutating func propose(_ ticket: Ticket, _ command: Command, fence: Term? = nil) {
        guard !raft.settings.isWitness else { return fail(ticket, .noLeader) }
        guard proposals.count < limits.pendingMax else { return fail(ticket, .overloaded) }
        if refusesGrowth, command.grows { return fail(ticket, .noSpace) }
        proposals.add(PendingProposal(command: command, fence: fence, waiters: [ticket], since: now))
    }

    /// Keep-alives that come together share one entry; the outcome is `.kept` with one number.
    package mutating func keepAlive(_ ticket: Ticket, _ lease: LeaseID) {
        guard !raft.settings.isWitness else { return fail(ticket, .noLeader) }
        guard proposals.count < limits.pendingMax else { return fail(ticket, .overloaded) }
        proposals.keepAlives.append((ticket, lease))
    }

    mutating func proposeDuty(_ command: Command) {
        proposals.add(PendingProposal(command: command, fence: raft.term, waiters: [], isDuty: true, since: now))
    }

    func isDutyPending(_ isSame: (Command) -> Bool) -> Bool {
        proposals.pending.values.contains { $0.isDuty && isSame($0.command) }
    }

    private mutating func fail(_ ticket: Ticket, _ failure: ReplicaFailure) {
        output.outcomes.append((ticket, .failure(failure)))
    }

    private mutating func finish(_ serial: UInt64, _ result: Result<Outcome, ReplicaFailure>) {
        guard let proposal = proposals.pending.removeValue(forKey: serial) else { return }
        guard case .keepAlive = proposal.command, case .success(.kept(let rest)) = result,
            rest.count == proposal.waiters.count
        else {
            for ticket in proposal.waiters { output.outcomes.append((ticket, result)) }
            return
        }
        for (ticket, left) in zip(proposal.waiters, rest) { output.outcomes.append((ticket, .success(.kept([left])))) }
    }
}

// MARK: Sending

extension ReplicaCore {
    /// Sends what waits to where it can be appended.
    mutating func dispatchProposals() {
        appendIncoming()
        gatherKeepAlives()
        guard !proposals.queue.isEmpty || !proposals.isOpen, let leader = raft.leader else { return }
        guard proposals.isOpen else {
            if leader == id { makeRoomForSession() }
            if !proposals.queue.isEmpty || leader == id { openSession(leader) }
            return
        }
        let serials = proposals.queue
        proposals.queue = []
        if leader == id { appendHere(serials) } else { forward(serials, to: leader) }
    }

    private mutating func gatherKeepAlives() {
        guard !proposals.keepAlives.isEmpty else { return }
        let gathered = proposals.keepAlives
        proposals.keepAlives = []
        proposals.add(
            PendingProposal(
                command: .keepAlive(gathered.map(\.lease)), fence: nil, waiters: gathered.map(\.ticket), since: now))
    }

    private func encode(_ id: ProposalID, _ command: Command) -> [UInt8] {
        EntryFormat.encode(ClientProposal(id: id, command: command))
    }

    /// What needs no session is appended before there is one.
    private mutating func makeRoomForSession() {
        let serials = proposals.queue.filter {
            if case .expireSessions? = proposals.pending[$0]?.command { true } else { false }
        }
        guard !serials.isEmpty else { return }
        proposals.queue.removeAll { serials.contains($0) }
        appendHere(serials)
    }

    private mutating func openSession(_ leader: PeerID) {
        guard proposals.openNotBefore <= now else { return }
        switch proposals.openSince {
        case .appended(let term) where term == raft.term: return
        case .forwarded(let peer, _, let at) where peer == leader && now - at < limits.resendMilliseconds / 4: return
        default: break
        }
        let serial = ProposalTable.openSerial
        let data = encode(ProposalID(client: proposals.client, serial: serial, settledBelow: 0), .openSession)
        if leader == id {
            if append(data, fence: nil) == nil { proposals.openSince = .appended(raft.term) }
        } else {
            let forwarded = ForwardedProposal(serial: serial, fence: nil, data: data)
            output.messages.append(Envelope(to: leader, .propose([forwarded])))
            proposals.openSince = .forwarded(leader, in: raft.term, at: now)
        }
    }

    private mutating func append(_ data: [UInt8], fence: Term?, raise: UInt8 = 0) -> ProposeRefusal? {
        // The state's disk is far behind: nothing of the log can go before it has come.
        guard raft.logBytes <= limits.logBytesFullMax else { return .overloaded }
        duties.leadershipChanged(leading: raft.isLeader ? raft.term : nil, logTime: state.logTime, now: now)
        let entry = EntryFormat.entry(
            logTime: duties.stamp(state.logTime, now: now), proposal: data, version: max(state.clusterVersion, raise))
        do throws(ProposeRefusal) {
            _ = try raft.propose([Raft.Proposal(entry, fence: fence)])
            return nil
        } catch { return error }
    }

    private mutating func appendHere(_ serials: [UInt64]) {
        var later: [UInt64] = []
        for serial in serials {
            guard let proposal = proposals.pending[serial] else { continue }
            guard proposal.notBefore <= now else { later.append(serial); continue }
            let data = encode(proposals.id(of: serial), proposal.command)
            if data.count > limits.proposalBytesMax { refuse(serial, .tooLarge(bytes: data.count)); continue }
            switch append(data, fence: proposal.fence, raise: proposal.command.version) {
            case nil:
                proposals.pending[serial]?.place = .appended(raft.term)
                proposals.pending[serial]?.wasSent = true
            case .notLeader, .transferring: later.append(serial)
            case .tooLarge(let bytes): refuse(serial, .tooLarge(bytes: bytes))
            case .overloaded: refuse(serial, .overloaded)
            }
        }
        proposals.queue += later
    }

    /// This copy goes nowhere; an earlier one may have.
    private mutating func refuse(_ serial: UInt64, _ failure: ReplicaFailure) {
        finish(serial, .failure(proposals.pending[serial]?.wasSent == true ? .unknownOutcome : failure))
    }

    /// In messages of a bounded size.
    private mutating func forward(_ serials: [UInt64], to leader: PeerID) {
        var batch: [ForwardedProposal] = []
        var bytes = 0
        for serial in serials {
            guard let proposal = proposals.pending[serial] else { continue }
            guard proposal.notBefore <= now else { proposals.queue.append(serial); continue }
            if proposal.isDuty { finish(serial, .failure(.noLeader)); continue }
            let data = encode(proposals.id(of: serial), proposal.command)
            if data.count > limits.proposalBytesMax { refuse(serial, .tooLarge(bytes: data.count)); continue }
            proposals.pending[serial]?.place = .forwarded(leader, in: raft.term, at: now)
            proposals.pending[serial]?.wasSent = true
            batch.append(ForwardedProposal(serial: serial, fence: proposal.fence, data: data))
            bytes += data.count
            guard bytes > 1 << 20 || batch.count >= 1024 else { continue }
            output.messages.append(Envelope(to: leader, .propose(batch)))
            batch = []
            bytes = 0
        }
        if !batch.isEmpty { output.messages.append(Envelope(to: leader, .propose(batch))) }
    }

    /// From a peer that takes this one for the leader.
    mutating func takeForwarded(_ list: [ForwardedProposal], from peer: PeerID) {
        guard incoming.reduce(list.count, { $0 + $1.list.count }) <= limits.pendingMax else {
            return output.messages.append(Envelope(to: peer, .proposeRefused(list.map(\.serial))))
        }
        incoming.append((peer, list))
    }

    private mutating func appendIncoming() {
        guard !incoming.isEmpty else { return }
        let batches = incoming
        incoming = []
        for batch in batches { append(batch.list, from: batch.peer) }
    }

    /// What makes the state grow beyond its limit was refused where it was asked for.
    private mutating func append(_ list: [ForwardedProposal], from peer: PeerID) {
        var refused: [UInt64] = []
        for one in list {
            let fits = one.data.count <= limits.proposalBytesMax + 64
            if !fits || append(one.data, fence: one.fence) != nil { refused.append(one.serial) }
        }
        if !refused.isEmpty { output.messages.append(Envelope(to: peer, .proposeRefused(refused))) }
    }

    /// This copy was not appended; it is tried again a little later, or where the leader is then.
    mutating func forwardRefused(_ serials: [UInt64]) {
        for serial in serials {
            if serial == ProposalTable.openSerial { openLater(); continue }
            guard case .forwarded? = proposals.pending[serial]?.place else { continue }
            proposals.pending[serial]?.notBefore = now + limits.tickMilliseconds
            proposals.requeue(serial)
        }
    }

    /// A leader that has no room is not asked again at once, or both would do nothing else.
    private mutating func openLater() {
        guard case .forwarded(let leader, let term, _) = proposals.openSince else { return }
        let asked = now - limits.resendMilliseconds / 4 + limits.tickMilliseconds
        proposals.openSince = .forwarded(leader, in: term, at: asked)
    }

    /// Leadership moved: whatever has no outcome is sent to the new leader. Duties are not: each leader has its own.
    mutating func redispatch() {
        proposals.nextExpiry = .min
        if case .forwarded(_, let term, _) = proposals.openSince, term != raft.term { proposals.openSince = .waiting }
        for serial in proposals.pending.keys.sorted() {
            guard let proposal = proposals.pending[serial] else { continue }
            if proposal.isDuty, proposal.fence != raft.term { proposals.pending.removeValue(forKey: serial); continue }
            if case .appended(let term) = proposal.place, term == raft.term, raft.isLeader { continue }
            if case .forwarded(let peer, let term, _) = proposal.place, term == raft.term, peer == raft.leader {
                continue
            }
            proposals.requeue(serial)
        }
    }
}

// MARK: Outcomes

extension ReplicaCore {
    /// A proposal was applied here.
    mutating func settle(_ id: ProposalID, _ outcome: Outcome) {
        guard id.client == proposals.client else { return }
        if id.serial == ProposalTable.openSerial { return settleOpening(outcome) }
        switch outcome {
        case .refused(.sessionExpired): proposals.renew()
        case .refused(.serialTooOld): finish(id.serial, .failure(.unknownOutcome))
        case .txnSettled: finish(id.serial, .failure(.unknownOutcome))
        default: finish(id.serial, .success(outcome))
        }
    }

    private mutating func settleOpening(_ outcome: Outcome) {
        if case .done = outcome { return proposals.opened() }
        proposals.openSince = .waiting
        proposals.openNotBefore = now + limits.resendMilliseconds
    }

    /// A snapshot skipped entries: what it knows of this client is in its session.
    mutating func settleFromSession() {
        guard let session = state.sessions[proposals.client] else { return renewAfterSnapshot() }
        proposals.opened()
        for serial in proposals.pending.keys.sorted() {
            if let outcome = session.outcomes[serial] {
                settle(ProposalID(client: proposals.client, serial: serial, settledBelow: 0), outcome)
            } else if serial < session.floor {
                finish(serial, .failure(.unknownOutcome))
            }
        }
    }

    /// The session ended among the skipped entries, and its outcomes with it.
    private mutating func renewAfterSnapshot() {
        for serial in proposals.pending.keys.sorted() where proposals.pending[serial]?.wasSent == true {
            finish(serial, .failure(.unknownOutcome))
        }
        proposals.renew()
    }

    /// Gives up on what waited too long; sends again what was forwarded and got no answer.
    mutating func expireProposals() {
        guard !proposals.pending.isEmpty, now >= proposals.nextExpiry else { return }
        var late: [UInt64] = []
        // What is added or sent from now on is not due sooner.
        var next = now + min(patience, limits.resendMilliseconds)
        for (serial, proposal) in proposals.pending {
            var due = proposal.since + patience
            if case .forwarded(_, _, let at) = proposal.place { due = min(due, at + limits.resendMilliseconds) }
            if due <= now { late.append(serial) } else { next = min(next, due) }
        }
        proposals.nextExpiry = next
        for serial in late.sorted() { expire(serial) }
    }

    /// How long a proposal waits for its outcome, as things are.
    private var patience: Int64 {
        min(limits.answerMilliseconds, raft.leader == nil ? limits.holdMilliseconds : .max)
    }

    private mutating func expire(_ serial: UInt64) {
        guard let proposal = proposals.pending[serial] else { return }
        if now - proposal.since >= patience {
            return finish(serial, .failure(proposal.wasSent ? .unknownOutcome : .noLeader))
        }
        proposals.requeue(serial)
    }

    /// Answers everything that waits: the shell ends.
    package mutating func failAll() {
        gatherKeepAlives()
        for serial in proposals.pending.keys.sorted() {
            finish(serial, .failure(proposals.pending[serial]?.wasSent == true ? .unknownOutcome : .stopped))
        }
        failReads(.stopped)
    }
}

extension Command {
    /// The version that its entry has at least.
    var version: UInt8 {
        if case .raiseVersion(let version) = self { return version }
        return EntryFormat.oldest
    }

    /// May make the state greater.
    var grows: Bool {
        switch self {
        case .txn(let txn): txn.grows
        case .grantLease: true
        default: false
        }
    }
}

extension Txn {
    var grows: Bool {
        (success + failure).contains { op in
            switch op {
            case .put: true
            case .txn(let nested): nested.grows
            case .range, .delete: false
            }
        }
    }
}
