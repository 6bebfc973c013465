// Events at hosts: messages, ticks, finished writes, boots; and the obedience to what a replica wants done.

import KVCore
import KVDisk
import Raft

extension World {
    /// Performs an event; answers the host it touched.
    mutating func handle(_ event: Event) -> Int? {
        switch event {
        case .deliver(let delivery): return deliver(delivery)
        case .tick(let host, let life, let rest): return tick(host, life, rest)
        case .logDone(let host, let life): return finishLog(host, life)
        case .stateDone(let host, let life): return finishState(host, life)
        case .rewatch(let number, let isMove): return rewatch(number, isMove: isMove)
        case .flap(let host, let left): flapOnce(host, left: left)
        case .maintain(let host, let life): return maintain(host, life)
        case .executed(let host, let life, let done): return endExecution(host, life, done)
        case .goOn(let host, let life): return goOn(host, life)
        case .restart(let host): return restart(host)
        case .inquire(let host, let life): inquire(host, life)
        case .asked(let inquiry): hear(inquiry)
        case .told(let inquiry, let tookPart): return take(inquiry, tookPart: tookPart)
        case .operate(let host): return operate(host)
        case .hint(let host, let lost): return hint(host, lost: lost)
        case .request(let request): return serve(request)
        case .fault: injectFault()
        case .ambush(let host): ambush(host)
        case .betrayal(let follower, let leader): betray(follower, leader)
        case .siege(let leader, let rival): strike(leader, rival)
        case .bringBack(let host): bringBack(host)
        case .heal(let number): mend(number)
        case .act(let client): act(client)
        case .reply(let reply): take(reply)
        case .giveUp(let client, let serial): giveUp(client, serial: serial)
        }
        return nil
    }

    private mutating func restart(_ position: Int) -> Int? {
        guard position != gone, mayBoot(position) else { return nil }
        report.count(.restarts)
        boot(position)
        return position
    }

    mutating func boot(_ position: Int) {
        let seed = random.next()
        let isStruck = !isHealed && (chance(100) || hosts[position].crashPoint == .insideStart)
        do throws(DiskError) {
            let leases = hosts[position].settings.leaseReads
            guard let start = try hosts[position].boot(seed: seed, now: now, isStruck: isStruck) else {
                return endAtStart(position)
            }
            if hosts[position].settings.leaseReads != leases { report.count(.leaseSwitches) }
            if hosts[position].newcomer != nil { prove(position) } else { began(position, start) }
        } catch { fail("host \(hosts[position].id) cannot start: \(error)") }
    }

    private mutating func endAtStart(_ position: Int) {
        report.count(.insideStart)
        if keepsTrace { note("crash \(hosts[position].id) while it starts") }
        _ = hosts[position].withDisk { $0.crash(survivors: 0) }
        hosts[position].crashPoint = nil
        if chance(500) { losePower(position) }
        schedule(.restart(host: position), after: 1_000, 200_000)
    }

    mutating func began(_ position: Int, _ start: Host.Start) {
        let disk = hosts[position].disk
        if start.isLogDamaged, disk.lost == nil {
            fail("host \(hosts[position].id): takes its log for damaged, and it never was")
        }
        if let damage = start.stateDamage, !disk.isStateRotten {
            fail("host \(hosts[position].id): takes its state for damaged, and it never was: \(damage)")
        }
        if disk.isStateCondemned {
            report.count(.condemnedStarts)
            if !start.isStateDamaged { fail("host \(hosts[position].id): believes a state that it knew to be wrong") }
        }
        if start.isStateWrong { report.count(.wrongStarts) }
        if start.isLogDamaged { report.count(.damagedStarts) } else { hosts[position].withDisk { $0.forgetLoss() } }
        hosts[position].pausedUntil = 0
        hosts[position].jumpedAt = nil
        if keepsTrace { note("boot \(hosts[position].id)") }
        schedule(.maintain(host: position, life: hosts[position].lives), after: 50_000, 1_000_000)
        drain(position)
        rest(position)
    }

    /// The core says when it is to be told the time again, and the machine's timer is not exact.
    private mutating func rest(_ position: Int) {
        guard let milliseconds = hosts[position].life?.core.rest() else { return }
        hosts[position].rest += 1
        let host = hosts[position]
        let time = UInt64(milliseconds) * 1000
        schedule(.tick(host: position, life: host.lives, rest: host.rest), after: max(500, time) - 500, time + 500)
        if milliseconds > 10 * Int64(Simulation.tickMicroseconds) / 1000 { report.count(.longRests) }
    }

    /// True when the host is frozen: the event comes again when it thaws.
    mutating func isPaused(_ position: Int, _ event: Event) -> Bool {
        guard hosts[position].pausedUntil > now else { return false }
        queue.add(event, at: hosts[position].pausedUntil)
        return true
    }

    private mutating func tick(_ position: Int, _ life: Int, _ number: UInt64) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life, hosts[position].rest == number else {
            return nil
        }
        if isPaused(position, .tick(host: position, life: life, rest: number)) { return nil }
        if planted == .expiresByLocalClock { expireByLocalClock(position) }
        drain(position)
        rest(position)
        return position
    }

    /// On another thread of the host, which shares no data with the replica; it may be told of when the replica has been
    /// deposed, or has another state.
    private mutating func execute(_ execution: Execution, at position: Int) {
        report.count(.longCommands)
        let done = Event.executed(host: position, life: hosts[position].lives, execution.run())
        let longest: UInt64 = planted == .takesOldExecutions ? 4_000_000 : 400_000
        schedule(done, after: 500, isHealed ? 20_000 : longest)
    }

    private mutating func endExecution(_ position: Int, _ life: Int, _ done: Executed) -> Int? {
        guard hosts[position].lives == life, let before = hosts[position].life?.core.state.appliedIndex else {
            return nil
        }
        if isPaused(position, .executed(host: position, life: life, done)) { return nil }
        if planted == .takesOldExecutions {
            hosts[position].life?.core.executedBlindly(done)
            return position
        }
        hosts[position].life?.core.executed(done)
        if hosts[position].life?.core.state.appliedIndex == before { report.count(.droppedCommands) }
        drain(position)
        return position
    }

    /// True when a round of the loop ends although there is more to apply.
    private mutating func putsOff(_ position: Int) -> Bool {
        guard plan.putOff > 0, let life = hosts[position].life, life.core.hasMoreToApply, chance(plan.putOff) else {
            return false
        }
        report.count(.rounds)
        schedule(.goOn(host: position, life: hosts[position].lives), after: 50, 20_000)
        return true
    }

    private mutating func goOn(_ position: Int, _ life: Int) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life else { return nil }
        if isPaused(position, .goOn(host: position, life: life)) { return nil }
        drain(position)
        return position
    }

    private mutating func hint(_ position: Int, lost: PeerID) -> Int? {
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now else { return nil }
        report.count(.hints)
        if keepsTrace { note("hint at \(hosts[position].id): \(lost) is gone") }
        hosts[position].life?.core.connectionLost(to: lost)
        drain(position)
        return position
    }
}

extension World {
    /// Tells the time and does everything that the replica wants, as the shell does. What watches tell comes before the
    /// answers: the oracle learns from them.
    mutating func drain(_ position: Int) {
        let clock = hosts[position].clock(at: now)
        hosts[position].life?.core.advance(to: clock)
        while let output = hosts[position].life?.core.takeOutput() {
            for envelope in output.messages { send(envelope, from: position) }
            if let save = output.save {
                begin(.save(save), position)
                if planted == .acknowledgesBeforeSync, save.state == nil {
                    hosts[position].life?.core.saved(save.raft.id)
                }
            }
            if output.condemnsState {
                hosts[position].withDisk { $0.noteWrongState() }
                begin(.distrust, position)
            }
            for notice in output.notices { watched(notice, at: position) }
            for outcome in output.outcomes { finish(outcome.ticket, outcome.result, at: position) }
            for read in output.reads { finish(read.ticket, read.failure, at: position) }
            if let execution = output.execution { execute(execution, at: position) }
            if let index = output.compactLog { compact(position, to: index) }
            for alarm in output.alarms { note(alarm, at: position) }
            if output.hasNewState, hosts[position].crashPoint == .afterApply { doomed = position }
            if putsOff(position) { break }
        }
        if planted != nil { mistakeCommit(position) }
        endNewborn(position)
        checkVersion(position)
        if hosts[position].life?.core.restsTooLong == true { rest(position) }
    }

    private mutating func endNewborn(_ position: Int) {
        guard hosts[position].disk.isNewborn, let raft = hosts[position].life?.raft, !raft.isNewborn, !raft.hasUnsaved
        else { return }
        hosts[position].withDisk { $0.forgetNewborn() }
    }

    /// A program that meets a newer entry stops before it; somebody installs a newer one then.
    private mutating func checkVersion(_ position: Int) {
        let host = hosts[position]
        guard let life = host.life else { return }
        let version = life.core.state.clusterVersion
        if version != life.versionSeen {
            // An older program that finds a newer state applied nothing of it, and stops.
            let isFound = life.versionSeen == 0 && life.core.isOutdated
            if version > host.understands, !isFound { fail("host \(host.id): applied entries of version \(version)") }
            if life.versionSeen != 0 { report.count(.raisedVersions) }
            life.versionSeen = version
        }
        guard life.core.isOutdated else { return }
        report.count(.stoppedPrograms)
        hosts[position].understands = Simulation.newestVersion
        doomed = position
    }

    private mutating func note(_ alarm: StateAlarm, at position: Int) {
        guard case .diverged = alarm else { return fail("host \(hosts[position].id): no majority agrees on a state") }
        report.count(.fencedStates)
    }

    /// At the end of a step: who applied something and was to crash then, does.
    mutating func crashDoomed() {
        guard let position = doomed else { return }
        doomed = nil
        guard hosts[position].life != nil else { return }
        if hosts[position].crashPoint == .afterApply { report.count(.afterApply) }
        crash(position, isPowerCut: false, survivors: Int(below(2)))
    }

    /// A replica that ends leases when its own wall clock says so.
    private mutating func expireByLocalClock(_ position: Int) {
        guard let life = hosts[position].life else { return }
        let clock = hosts[position].clock(at: now)
        for lease in life.core.state.leases.sorted {
            let since = life.leasesSeen[lease.id] ?? clock
            life.leasesSeen[lease.id] = since
            guard clock - since >= lease.ttlMilliseconds else { continue }
            life.lastTicket += 1
            life.core.propose(Ticket(rawValue: life.lastTicket | Simulation.ownTicket), .revokeLease(lease.id))
        }
    }
}
