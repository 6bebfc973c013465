// The shell around `ReplicaCore`: one event loop that takes inputs from the mailbox, the peers, the disk and the clock,
// and obeys the core's output. It owns the core and every waiting closure; nothing else touches them. It decides
// nothing about consensus.
import KVCore
import KVDisk
import Logging
import NIOCore
import Raft
import Synchronization

/// Unchecked: after `init` everything runs on the event loop.
final class ReplicaLoop: @unchecked Sendable {
    let configuration: ReplicaConfiguration
    let eventLoop: any EventLoop
    let mailbox: Mailbox
    /// Taken from the mailbox, for the next rounds.
    var waiting: ArraySlice<ReplicaInput> = []
    let published: Mutex<Published>
    let status: Mutex<ReplicaStatus>
    let figures = ReplicaFigures()
    var core: ReplicaCore
    let pastViews = Mutex(PastViews())
    let passes = Mutex(HistoryPasses())
    /// How often the state was replaced by a leader's.
    let generation = Atomic<UInt64>(0)
    private var lastPastViews: Int64 = 0
    private var statesInstalled = 0
    /// Watches that are told of the past from disk.
    let replays = Mutex<Set<WatchID>>([])
    /// For readers of the past, on other threads; nil after the end.
    let stateStore: Mutex<StateStore?>
    private var disk: ReplicaDisk?
    private var logWriter: LogWriter?
    private(set) var stateWriter: StateWriter?
    /// For commands that take long; made for the first.
    var executor: WorkerThread?
    private var transport: PeerTransport?
    private var ticker: Ticker?
    private var outcomes: [Ticket: OutcomeHandler] = [:]
    private var reads: [Ticket: @Sendable (ReplicaFailure?) -> Void] = [:]
    private var watches: [WatchID: @Sendable (WatchDelivery) -> Void] = [:]
    private var observers: [@Sendable (Leadership) -> Void] = []
    private var leadership = Leadership.following(leader: nil)
    private var lastTicket: UInt64 = 0
    private var counters = ReplicaCounters()
    /// As of the last news.
    private var lastLeader: PeerID?
    private var leaderlessSince: ContinuousClock.Instant? = .now
    private var members: [ReplicaMember] = []
    private var hasNewMembers = true
    private var isPumping = false
    /// A round is under way in which it goes on.
    var isPutOff = false
    /// The disk says that this member has not caught up since it began.
    private var isNewborn: Bool
    /// It has nothing, and does not know yet whether it ever had.
    private var isOnProbation: Bool
    private(set) var isEnded = false
    var room: DiskRoom
    var lastLookAtRoom = Int64.min / 2
    var isLookingAtRoom = false
    /// A round of the loop that took longer made everybody wait.
    private static let slowMilliseconds: Int64 = 100
    /// How long the end waits for each of the disk's threads.
    static let endSeconds = 2

    init(_ configuration: ReplicaConfiguration, _ eventLoop: any EventLoop, _ mailbox: Mailbox) throws {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.mailbox = mailbox
        room = DiskRoom(configuration.diskFreeBytesMin)
        let voters =
            configuration.joins
            ? Configuration.empty
            : Configuration(voters: configuration.initialPeers.map(\.id), witness: configuration.witness)
        let disk = try ReplicaDisk(
            path: configuration.dataDirectory, initial: voters, cluster: configuration.clusterID,
            mayHaveBeen: configuration.raft.isWitness || configuration.joins)
        isNewborn = disk.restored.isNewborn
        self.disk = disk
        stateStore = Mutex(disk.state)
        let settings = try PromiseMark.settings(configuration.raft, in: configuration.dataDirectory)
        core = ReplicaCore(
            id: configuration.id, settings: settings, limits: configuration.limits, restored: disk.restored,
            state: disk.machine, initialMembers: configuration.initialPeers.map(\.member),
            seed: UInt64.random(in: .min ... .max), now: Clock.milliseconds(), isStateDamaged: disk.isStateDamaged)
        isOnProbation = Newcomer.mustAsk(
            disk.restored, isWitness: configuration.raft.isWitness, members: configuration.initialPeers.count,
            joins: configuration.joins)
        status = Mutex(
            ReplicaStatus(id: configuration.id, name: configuration.name, isWitness: configuration.raft.isWitness))
        published = Mutex(Published(core.snapshot))
        if let damage = disk.stateDamage {
            configuration.logger.error(
                "the state is damaged: nothing is served until the leader has sent its own",
                metadata: ["reason": "\(damage)"])
        }
        if disk.log.unreadableBytes > 0 {
            configuration.logger.error(
                "the disk does not give back all of the log", metadata: ["bytes": "\(disk.log.unreadableBytes)"])
        }
        if disk.isStateRemade { configuration.logger.warning("the state was damaged: it is made anew from the log") }
        if let mark = disk.restored.voteMark {
            configuration.logger.error(
                "the log is damaged: this peer does not vote until it has caught up", metadata: ["mark": "\(mark)"])
        }
    }

    /// Starts the disk's threads, the transport and the clock; answers the bound peer port.
    func start() -> EventLoopFuture<Int> {
        eventLoop.flatSubmit { [self] in
            do { return try startHere() } catch { return eventLoop.makeFailedFuture(error) }
        }
    }

    private func startHere() throws -> EventLoopFuture<Int> {
        guard let disk else { throw ProposeError.stopped }
        logWriter = LogWriter(
            log: disk.log, state: disk.state, syncs: figures.logSyncs,
            saved: { [self] id, count, seconds in eventLoop.execute { [self] in saved(id, count, seconds) } },
            failed: { [self] error in eventLoop.execute { [self] in fatal("\(error)") } })
        stateWriter = StateWriter(
            disk.state, at: core.state.revision, eventLoop,
            checkpointMilliseconds: configuration.checkpointMilliseconds,
            syncs: figures.stateSyncs,
            durable: { [self] index in core.stateDurable(at: index) },
            failed: { [self] error in fatal("\(error)") })
        let events = PeerTransportEvents(
            received: { [self] message, peer in
                guard !isOnProbation else { return }
                counters.messagesReceivedTotal += 1
                let now = Clock.milliseconds()
                if configuration.raft.leaseReads { core.tell(now) }
                core.wake(at: now)
                core.receive(message, from: peer)
            },
            batchEnded: { [self] in pump() },
            dropped: { [self] peer in core.unreachable(peer) },
            connected: { [self] peer in
                counters.connectionsTotal += 1
                core.connected(to: peer)
                pump()
            },
            connectionLost: { [self] peer in lostConnection(to: peer) },
            directory: { [self] in
                let members = core.members.filter { core.raft.configuration.contains($0.id) }
                return PeerDirectory(
                    cluster: configuration.clusterID, members: members, witness: core.raft.configuration.witness)
            },
            tookPart: { [self] peer in core.tookPart(peer) },
            isStranger: { [self] peer in core.raft.isStranger(peer) },
            superseded: { [self] peer, cluster in superseded(by: cluster, peer) })
        let transport = try PeerTransport(configuration, eventLoop, figures, events)
        self.transport = transport
        let needsNetwork =
            configuration.joins || configuration.initialPeers.count > 1 || configuration.listenPort != 0
            || core.members.count > 1
        let bound = needsNetwork ? transport.listen() : eventLoop.makeSucceededFuture(0)
        return bound.map { [self] port in
            if isOnProbation { Task { [self] in await proveNew() } } else { begin() }
            return port
        }
    }

    private func begin() {
        isOnProbation = false
        pump()
        startTicking()
    }

    /// Waits until enough others know nothing of this member; ends the process if one of them does.
    private func proveNew() async {
        let tookPart = await Probation(configuration, eventLoop, isOver: { [self] in isEndedOutside }).outcome()
        eventLoop.execute { [self] in
            switch tookPart {
            case false?: if !isEnded { begin() }
            case true?:
                fatal(
                    """
                    this member (\(configuration.id)) took part in the cluster before, and its data directory is \
                    empty: what it voted for and kept is lost. Remove it from the cluster and add it anew
                    """)
            case nil: break
            }
        }
    }

    func campaign() {
        guard !isOnProbation else { return }
        core.campaign()
        pump()
    }

    func post(_ input: ReplicaInput) {
        switch mailbox.post(input) {
        case .queued: return
        case .first: wake()
        case .overloaded: input.refuse(.overloaded)
        case .stopped: input.refuse(.stopped)
        }
    }

    /// Looks at the connections to the others; what is found is among the figures soon after.
    func measurePeers() { transport?.measure() }

    func wake() { eventLoop.execute { [self] in drain() } }

    /// Known to callers on other threads: the mailbox is closed.
    var isEndedOutside: Bool { mailbox.isClosed }

    /// A wake-up for each tick only while something hangs on it. The core makes up for the ticks between. Not put off by
    /// messages: the event loop wakes at the time of a cancelled task too.
    private func startTicking() {
        guard !isEnded else { return }
        let ticker = Ticker(
            eventLoop, wait: { [self] in .milliseconds(core.rest()) }, tick: { [self] in pump() })
        self.ticker = ticker
        ticker.restart()
    }

    private func lostConnection(to peer: PeerID) {
        configuration.logger.info("peer is gone", metadata: ["peer": "\(peer)"])
        core.connectionLost(to: peer)
        pump()
    }

    private func saved(_ id: SaveID, _ count: Int, _ seconds: Double) {
        counters.savesTotal += UInt64(count)
        counters.saveSecondsSum += seconds
        guard !isEnded else { return }
        core.saved(id)
        pump()
    }
}

// MARK: Inputs

extension ReplicaLoop {
    func take(_ input: ReplicaInput) {
        guard !isEnded else { return input.refuse(.stopped) }
        switch input {
        case .propose(let command, let fence, let done):
            counters.proposalsTotal += 1
            core.propose(ticket(for: done), command, fence: fence)
        case .keepAlive(let lease, let done): core.keepAlive(ticket(for: done), lease)
        case .read(let done):
            lastTicket += 1
            reads[Ticket(rawValue: lastTicket)] = done
            core.read(Ticket(rawValue: lastTicket))
        case .ping(let done): done(nil)
        case .watch(let id, let range, let after, let deliver, let fromDisk):
            // Memory may have moved on since the watcher looked.
            if let after, let fromDisk, isOnlyOnDisk(after) { return fromDisk() }
            watches[id] = deliver
            core.watch(id, range, after: after)
        case .cancel(let id):
            replays.withLock { _ = $0.remove(id) }
            core.cancel(id)
            watches.removeValue(forKey: id)
        case .observe(let observe):
            observers.append(observe)
            observe(leadership)
        case .run(let body): body(self)
        }
    }

    /// From within the loop: a watch that has caught up elsewhere goes on here. False: it has not.
    func register(
        _ id: WatchID, _ range: KeyRange, after: Revision, _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) -> Bool {
        guard core.state.window.floor <= after else { return false }
        take(.watch(id, range, after: after, deliver, fromDisk: nil))
        return true
    }

    private func isOnlyOnDisk(_ after: Revision) -> Bool {
        Self.isOnlyOnDisk(after, floor: core.state.window.floor, compacted: core.state.compactRevision)
    }

    /// Changes after the revision are not in memory any more, but kept.
    static func isOnlyOnDisk(_ after: Revision, floor: Revision, compacted: Revision) -> Bool {
        after < floor && after.rawValue >= compacted.rawValue - 1 && after >= .zero
    }

    private func ticket(for done: @escaping OutcomeHandler) -> Ticket {
        lastTicket += 1
        let ticket = Ticket(rawValue: lastTicket)
        outcomes[ticket] = done
        return ticket
    }
}

// MARK: Outputs

extension ReplicaLoop {
    /// Obeys the core until it wants nothing more. Not before the start: what the core wants then, to know its members
    /// or to save, would be lost.
    func pump() {
        guard !isEnded, !isPumping, !isPutOff, transport != nil, !isOnProbation else { return }
        isPumping = true
        var isOver = false
        let now = Clock.milliseconds()
        core.advance(to: now)
        while !isOver, let output = takeOutput() {
            obey(output)
            isOver = self.isOver(since: now)
        }
        letGoPastViews(now)
        lookAtRoom(now)
        if let fault = core.fault { fatal("cannot go on: \(fault)") }
        if isNewborn { forgetNewborn() }
        transport?.flush()
        stateWriter?.offer(&core)
        if Clock.milliseconds() - now > Self.slowMilliseconds { counters.slowRoundsTotal += 1 }
        publishStatus()
        isPumping = false
        if core.restsTooLong { ticker?.restart() }
        if isOver { putOff() }
    }

    private func forgetNewborn() {
        guard !core.raft.isNewborn, !core.raft.hasUnsaved, let disk else { return }
        isNewborn = false
        do throws(DiskError) { try disk.forgetNewborn() } catch {
            configuration.logger.warning("it will have to catch up again", metadata: ["error": "\(error)"])
        }
    }

    private func obey(_ output: ReplicaOutput) {
        counters.messagesSentTotal += UInt64(output.messages.count)
        for envelope in output.messages { transport?.send(envelope) }
        // Before the state that takes its place.
        if output.condemnsState { logWriter?.distrustState() }
        if let save = output.save {
            transport?.flush()
            if save.state != nil { counters.snapshotsReceivedTotal += 1 }
            logWriter?.submit(save)
        }
        if core.hasMoreToApply { transport?.flush() }
        if let execution = output.execution { execute(execution) }
        if let index = output.compactLog { logWriter?.compact(to: index) }
        if output.hasNewState {
            let snapshot = core.snapshot
            published.withLock { $0.publish(snapshot) }
        }
        if core.statesInstalled != statesInstalled { forgetPastViews() }
        if output.hasNewMembers { adoptMembers() }
        // Many watchers take long, and the others need not wait for them.
        if !output.notices.isEmpty { transport?.flush() }
        for notice in output.notices { deliver(notice) }
        for (ticket, result) in output.outcomes {
            if case .failure = result { counters.proposalsFailedTotal += 1 }
            outcomes.removeValue(forKey: ticket)?(result)
        }
        for (ticket, failure) in output.reads {
            if failure != nil { counters.readsFailedTotal += 1 }
            reads.removeValue(forKey: ticket)?(failure)
        }
        if let news = output.leadership { announce(news) }
        for alarm in output.alarms {
            configuration.logger.critical("states differ", metadata: ["alarm": "\(alarm)"])
        }
    }

    /// Of a state that was replaced; the new one is published. Views that are being made of it are not kept either.
    private func forgetPastViews() {
        statesInstalled = core.statesInstalled
        generation.add(1, ordering: .acquiringAndReleasing)
        pastViews.withLock { $0.removeAll() }
        passes.withLock { $0.removeAll() }
    }

    /// Each keeps a whole tree alive.
    private func letGoPastViews(_ now: Int64) {
        guard now - lastPastViews >= 1000 else { return }
        lastPastViews = now
        let compacted = core.state.compactRevision
        pastViews.withLock { if !$0.isEmpty { $0.letGo(now: now, compacted: compacted) } }
    }

    private func deliver(_ notice: WatchNotice) {
        guard let deliver = watches[notice.watch] else { return }
        switch notice.delivery {
        case .compacted, .tooMany, .reset, .ended: watches.removeValue(forKey: notice.watch)
        case .events, .progress: break
        }
        deliver(notice.delivery)
    }

    private func announce(_ news: LeadershipNews) {
        switch news {
        case .leading(let term): leadership = .leading(fence: term)
        case .following(let leader): leadership = .following(leader: leader)
        }
        if let leader = core.raft.leader, leader != lastLeader { counters.leaderChangesTotal += 1 }
        lastLeader = core.raft.leader
        configuration.logger.info("leadership", metadata: ["news": "\(news)", "term": "\(core.raft.term)"])
        for observe in observers { observe(leadership) }
    }

    private func adoptMembers() {
        hasNewMembers = true
        transport?.update(core.members)
        let raft = core.raft.configuration
        members = core.members.filter { raft.contains($0.id) }.map { member in
            ReplicaMember(
                id: member.id, name: member.name, host: member.host, port: member.port,
                role: raft.isVoter(member.id) ? .voter : .learner, isLeader: false, clientURLs: member.clientURLs,
                staysLearner: member.staysLearner, isWitness: raft.witness == member.id)
        }
    }

    /// Numbers are changed in place; names and members only when they are others.
    private func publishStatus() {
        let numbers = core.numbers
        if numbers.leader != nil { leaderlessSince = nil } else if leaderlessSince == nil { leaderlessSince = .now }
        counters.appliedTotal = numbers.appliedIndex.rawValue
        counters.changes = core.changes
        counters.readsByLeaseTotal = core.raft.leaseFigures.reads
        status.withLock { status in
            if status.leader != numbers.leader || hasNewMembers { nameMembers(&status, numbers.leader) }
            take(numbers, into: &status)
        }
        hasNewMembers = false
    }

    private func nameMembers(_ status: inout ReplicaStatus, _ leader: PeerID?) {
        status.leader = leader
        status.members = members
        for i in status.members.indices where status.members[i].id == leader { status.members[i].isLeader = true }
        status.leaderName = leader == configuration.id ? configuration.name : members.first { $0.id == leader }?.name
    }

    private func take(_ numbers: ReplicaCore.Numbers, into status: inout ReplicaStatus) {
        switch numbers.role {
        case .leader: status.role = .leader
        case .candidate: status.role = .candidate
        case .follower: status.role = numbers.isLearner ? .learner : .follower
        }
        status.term = numbers.term
        status.commitIndex = numbers.commitIndex
        status.appliedIndex = numbers.appliedIndex
        status.revision = numbers.revision
        status.compactRevision = numbers.compactRevision
        status.leaderlessSince = leaderlessSince
        status.stateTroubles = core.stateTroubles
        status.isBehind = core.isFenced || numbers.commitIndex.distance(after: numbers.appliedIndex) > 1000
        status.keyCount = numbers.keyCount
        status.stateBytes = numbers.stateBytes
        status.logBytes = core.raft.logBytes
        status.watchCount = core.watchCount
        status.leaseCount = numbers.leaseCount
        status.refusesGrowth = numbers.refusesGrowth
        status.pendingProposals = outcomes.count
        status.isWitnessCounting = core.raft.isWitnessEngaged
        status.counters = counters
    }

    /// The disk or the protocol cannot be trusted any more: say so once and end the process.
    func fatal(_ reason: String) {
        guard !isEnded else { return }
        configuration.logger.critical("the replica cannot go on", metadata: ["reason": "\(reason)"])
        configuration.fatal(reason)
    }
}

// MARK: The end

extension ReplicaLoop {
    /// Stops at once. `isGraceful`: what is applied is written down first. The threads are ended by the returned
    /// closure, off the loop.
    func end(isGraceful: Bool) -> @Sendable () -> Void {
        guard !isEnded else { return {} }
        core.failAll()
        while let output = core.takeOutput() { obey(output) }
        isEnded = true
        ticker?.stop()
        transport?.close()
        let log = logWriter
        let state = stateWriter
        endExecution()
        let changes = isGraceful ? state?.changes(of: &core) : nil
        let logger = configuration.logger
        for input in waiting + mailbox.close() { input.refuse(.stopped) }
        waiting = []
        for watch in watches.keys.sorted() { watches[watch]?(.ended(.stopped)) }
        (outcomes, reads, watches, observers) = ([:], [:], [:], [])
        stateStore.withLock { $0 = nil }
        (ticker, logWriter, stateWriter, transport, disk) = (nil, nil, nil, nil, nil)
        return {
            let hasLogEnded = log?.end(isAbandoned: !isGraceful) ?? true
            let hasStateEnded = state?.end(changes) ?? true
            if !hasLogEnded || !hasStateEnded { logger.warning("the disk hangs: it is not waited for") }
        }
    }
}
