// What goes wrong: processes, disks, links, and what operators do at the worst moment. Every fault ends by itself.

import KVCore
import Raft

extension World {
    mutating func injectFault() {
        guard !isHealed else { return }
        noteEntered()
        schedule(.fault, after: plan.faultEvery / 4, plan.faultEvery * 2)
        let host = Int(below(UInt64(hosts.count)))
        if let leases = plan.leases, chance(leases.sieges) { return besiege() }
        if chance(plan.betrayals) { return prepareBetrayal() }
        if chance(plan.upgrades) { return upgrade(host) }
        if plan.witness != nil, chance(40) { return emptyOne() }
        if planted == .retriesStateSync, chance(150) { return troubleState(host) }
        if plan.copies > 0, chance(plan.copies) { return copyDisks(host) }
        if plan.flips > 0, chance(plan.flips), flipState(host, rots: 200) { return }
        switch below(100) {
        case 0..<12: crash(host, isPowerCut: chance(300))
        case 12..<15: cutPower()
        case 15..<18: emptyOne()
        case 18..<22: if let leader = leaders.randomElement(using: &random) { crash(leader, isPowerCut: chance(300)) }
        case 22..<32: armCrash(host)
        case 32..<52: breakLinks(host)
        case 52..<57: pause(host)
        case 57..<71: troubleDisk(host)
        case 71..<76: transfer()
        case 76..<87: changeMembers()
        case 87..<89: wipe(host)
        case 89..<93: jumpClock(plan.leases != nil && chance(600) ? leaders.first ?? host : host)
        case 93..<99: flipState(host, rots: hosts[host].disk.isLogWhole ? 800 : 500)
        default: hintFalsely(host)
        }
    }

    private mutating func breakLinks(_ host: Int) {
        switch below(20) {
        case 0..<4: partition(isBridged: false)
        case 4..<6: partition(isBridged: true)
        case 6..<8: formRing()
        case 8..<11: cutOneWay(host)
        case 11..<16: if let leader = leaders.randomElement(using: &random) { isolate(leader) }
        case 16..<18: flap(host)
        default: clog(host)
        }
    }

    private mutating func troubleDisk(_ host: Int) {
        let until = now + between(50_000, 3_000_000)
        switch below(14) {
        case 0..<4:
            report.count(.diskStalls)
            hosts[host].stalledUntil = until
        case 4..<7:
            report.count(.slowDisks)
            hosts[host].slowUntil = until
        case 7..<9:
            report.count(.fullDisks)
            hosts[host].fullUntil = until
        case 9: takeRoom(until: until)
        case 10...11: troubleState(host)
        default: hosts[host].ioError = chance(500) ? .write : .sync
        }
    }

    /// A write to the database fails, or a sync, after which the kernel claims that all is well. The next loss of power is
    /// not far then.
    private mutating func troubleState(_ host: Int) {
        hosts[host].stateError = chance(250) ? .write : .sync
        if chance(planted == .retriesStateSync ? 1000 : 500) { hosts[host].crashPoint = .afterCheckpoint }
    }

    /// Little is left on some disks: members say so, and refuse what grows where those with room are no quorum.
    private mutating func takeRoom(until: UInt64) {
        report.count(.lowDisks)
        lowUntil = until
        for position in hosts.indices where chance(600) { hosts[position].lowUntil = until }
    }

    var leaders: [Int] { hosts.indices.filter { hosts[$0].life?.raft.isLeader == true } }

    /// It will crash at one step of its durable work.
    private mutating func armCrash(_ position: Int) {
        hosts[position].crashPoint = CrashPoint.allCases.randomElement(using: &random)
    }

    mutating func crash(_ position: Int, isPowerCut: Bool, survivors: Int? = nil, restartMax: UInt64? = nil) {
        guard hosts[position].life != nil else { return }
        if keepsTrace { note("crash \(hosts[position].id)") }
        report.count(.crashes)
        noteLeases(position)
        let survivors = survivors ?? Int(between(0, UInt64(hosts[position].disk.logQueue.count)))
        report.count(.lostSaves, hosts[position].withDisk { $0.crash(survivors: survivors) })
        if isPowerCut { losePower(position) }
        let ended = hosts[position].life?.raft
        hosts[position].membersAtEnd = ended?.configuration
        hosts[position].life = nil
        hosts[position].crashPoint = nil
        (hosts[position].ioError, hosts[position].stateError) = (nil, nil)
        forgetWatchers(of: position)
        damage(position, ended)
        schedule(.restart(host: position), after: 20_000, restartMax ?? plan.repairMax)
        guard chance(700) else { return }
        for other in hosts.indices where other != position && !network.isCut(from: position, to: other) {
            schedule(.hint(host: other, lost: hosts[position].id), after: 100, 15_000)
        }
    }

    mutating func losePower(_ position: Int) {
        if hosts[position].withDisk({ $0.losePower() }) { report.count(.tornMarks) }
    }

    private mutating func cutPower() {
        report.count(.powerCuts)
        for position in hosts.indices { crash(position, isPowerCut: true) }
    }

    /// Strikes while a new leader has perhaps sent something and committed nothing.
    mutating func ambush(_ position: Int) {
        guard !isHealed, hosts[position].life?.raft.isLeader == true else { return }
        report.count(.ambushes)
        if chance(300) { crash(position, isPowerCut: chance(300)) } else { isolate(position) }
    }

    /// All but one follower are cut off; what is committed then is there twice only.
    private mutating func prepareBetrayal() {
        guard let leader = leaders.randomElement(using: &random),
            hosts[leader].life?.raft.configuration.voters.count == 3,
            let follower = hosts.indices.filter({ $0 != leader && hosts[$0].life != nil }).randomElement(using: &random)
        else { return }
        for other in hosts.indices where other != leader && other != follower { isolate(other) }
        schedule(.betrayal(follower: follower, leader: leader), after: 30_000, 90_000)
    }

    /// Then the follower's log loses its end, and only those are left to elect who miss something: they must not.
    mutating func betray(_ follower: Int, _ leader: Int) {
        guard !isHealed, hosts[leader].life?.raft.isLeader == true, hosts[follower].life != nil else { return }
        report.count(.betrayals)
        let isEmptied = chance(planted == .emptiedVotesAtOnce ? 1000 : 300) && emptyDisk(follower, restartMax: 60_000)
        if !isEmptied { crash(follower, isPowerCut: false, restartMax: 60_000) }
        crash(leader, isPowerCut: false, restartMax: 2_000_000)
        for position in cuts.indices { mend(position) }
    }

    mutating func pause(_ position: Int) {
        guard hosts[position].life != nil else { return }
        if keepsTrace { note("pause \(hosts[position].id)") }
        report.count(.pauses)
        let duration = between(50_000, 2_000_000)
        hosts[position].pausedUntil = now + duration
        if planted == .stopsClockInPause { hosts[position].life?.clockBase -= hosts[position].shown(duration) }
    }

    /// By up to an hour. What a leader makes of a jump ahead is bounded; one back does nothing.
    mutating func jumpClock(_ position: Int) {
        guard let life = hosts[position].life, mayJump(position) else { return }
        report.count(.clockJumps)
        let jump = Int64(between(plan.leases == nil ? 0 : 1_000, 3_600_000)) * (chance(500) ? 1 : -1)
        if keepsTrace { note("clock of \(hosts[position].id) jumps by \(jump) ms") }
        hosts[position].life?.clockBase += jump
        hosts[position].jumpedAt = now
        if plan.leases != nil { drain(position) }
        guard jump > 0, life.raft.isLeader else { return }
        checker.oracle.leases.clockJumped(by: UInt64(min(jump, ReplicaCore.silenceMillisecondsMax)) * 1000)
    }

    /// One bit in the memory of one host; where the others are a majority that can tell. Members stay as they are then.
    /// `rots`: so often, out of 1000, it is the database.
    @discardableResult
    private mutating func flipState(_ position: Int, rots: UInt64) -> Bool {
        let isSafe = hosts.allSatisfy {
            $0.life?.isFlipped != true && !$0.disk.isStateRotten && $0.disk.lost == nil && $0.forgot == nil
                && !$0.isEmptied && !($0.life?.raft.configuration.isJoint ?? false)
                && ($0.life?.raft.configuration.withData.voters.count ?? 3) >= 3
        }
        guard isSafe, plan.voters >= 3, let life = hosts[position].life,
            life.raft.configuration.withData.contains(life.core.id)
        else { return false }
        if chance(rots) {
            rotState(position)
            return true
        }
        guard life.core.flipState(isWritten: chance(800)) else { return false }
        if keepsTrace { note("flip \(hosts[position].id)") }
        report.count(.flippedStates)
        life.flippedAt = life.core.statesInstalled
        // Some begin again with it before anybody has noticed.
        if rots == 200, chance(300) { hosts[position].crashPoint = .afterCheckpoint }
        return true
    }

    var isAnyFlipped: Bool { hosts.contains { $0.life?.isFlipped == true || $0.disk.isStateRotten } }

    /// The process ends, and what its state database holds is not what was written.
    private mutating func rotState(_ position: Int) {
        let isUnreadable = chance(500)
        guard hosts[position].disk.lost == nil, hosts[position].withDisk({ $0.rotState(isUnreadable: isUnreadable) })
        else { return }
        if keepsTrace { note("rot of the state of \(hosts[position].id)") }
        report.count(isUnreadable ? .unreadableStates : .rottenStates)
        crash(position, isPowerCut: false, survivors: 0)
    }

    /// A newer program takes the place of the one that ran; or, by mistake, an older one again, which has to find out.
    mutating func upgrade(_ position: Int) {
        let isNewest = hosts[position].understands >= Simulation.newestVersion
        guard !isNewest || chance(120) else { return }
        if !isNewest { report.count(.upgrades) }
        hosts[position].understands = isNewest ? EntryFormat.oldest : Simulation.newestVersion
        crash(position, isPowerCut: false)
    }

    private mutating func hintFalsely(_ position: Int) {
        guard let leader = hosts[position].life?.raft.leader, leader != hosts[position].id else { return }
        report.count(.falseHints)
        queue.add(.hint(host: position, lost: leader), at: now)
    }

    private mutating func transfer() {
        let target = chance(500) ? nil : hosts.randomElement(using: &random)?.id
        request(.transfer(target), .transfers)
    }

    mutating func healAll() {
        bringBackLast()
        isHealed = true
        network.mendAll()
        for position in cuts.indices { cuts[position] = [] }
        for position in hosts.indices {
            hosts[position].stalledUntil = min(hosts[position].stalledUntil, now)
            (hosts[position].fullUntil, hosts[position].lowUntil) = (0, 0)
            hosts[position].slowUntil = 0
            (hosts[position].ioError, hosts[position].stateError) = (nil, nil)
            hosts[position].crashPoint = nil
            hosts[position].pausedUntil = min(hosts[position].pausedUntil, now)
            if mayBoot(position) { boot(position) }
        }
    }
}
