// What goes wrong: processes, disks, links, and what operators do at the worst moment. Every fault ends by itself.

import KVCore
import Raft

extension World {
    mutating func injectFault() {
        guard !isHealed else { return }
        schedule(.fault, after: plan.faultEvery / 4, plan.faultEvery * 2)
        let host = Int(below(UInt64(hosts.count)))
        switch below(100) {
        case 0..<20: crash(host)
        case 20..<24: cutPower()
        case 24..<36: partition()
        case 36..<46: cutOneWay(host)
        case 46..<56: isolateLeader()
        case 56..<68: pause(host)
        case 68..<76: stallDisk(host)
        case 76..<82: if let leader = leaders.randomElement(using: &random) { crash(leader) }
        case 82..<88: transfer()
        case 88..<95: changeMembers()
        case 95..<97: jumpClock(host)
        case 97..<99: flipState(host)
        default: hintFalsely(host)
        }
    }

    private var leaders: [Int] { hosts.indices.filter { hosts[$0].life?.raft.isLeader == true } }

    private mutating func crash(_ position: Int) {
        guard hosts[position].life != nil else { return }
        if keepsTrace { note("crash \(hosts[position].id)") }
        report.count(.crashes)
        let pending = UInt64(hosts[position].disk.pending.count)
        let survivors = Int(between(0, pending))
        let lost = hosts[position].disk.crash(survivors: survivors)
        report.count(.lostSaves, lost)
        hosts[position].life = nil
        damage(position)
        schedule(.restart(host: position), after: 20_000, plan.repairMax)
        guard chance(700) else { return }
        for other in hosts.indices where other != position && !network.isCut(from: position, to: other) {
            schedule(.hint(host: other, lost: hosts[position].id), after: 100, 15_000)
        }
    }

    private mutating func cutPower() {
        report.count(.powerCuts)
        for position in hosts.indices { crash(position) }
    }

    private mutating func cut(_ links: [(from: Int, to: Int)]) {
        for link in links { network.cut(from: link.from, to: link.to) }
        cuts.append(links)
        schedule(.heal(cuts.count - 1), after: min(100_000, plan.repairMax / 2), plan.repairMax)
    }

    mutating func mend(_ number: Int) {
        for link in cuts[number] { network.mend(from: link.from, to: link.to) }
        cuts[number] = []
    }

    private mutating func partition() {
        var side: [Bool] = []
        for _ in hosts { side.append(chance(500)) }
        var links: [(from: Int, to: Int)] = []
        for a in hosts.indices {
            for b in hosts.indices where side[a] != side[b] { links.append((a, b)) }
        }
        guard !links.isEmpty else { return }
        if keepsTrace { note("partition \(side)") }
        report.count(.partitions)
        cut(links)
    }

    private mutating func cutOneWay(_ position: Int) {
        let others = hosts.indices.filter { $0 != position }
        guard !others.isEmpty else { return }
        report.count(.oneWayPartitions)
        let isInbound = chance(500)
        if keepsTrace { note("one way \(hosts[position].id) inbound \(isInbound)") }
        cut(others.map { isInbound ? (from: $0, to: position) : (from: position, to: $0) })
    }

    private mutating func isolateLeader() {
        guard let leader = leaders.randomElement(using: &random) else { return }
        isolate(leader)
    }

    /// Strikes while a new leader has perhaps sent something and committed nothing.
    mutating func ambush(_ position: Int) {
        guard !isHealed, hosts[position].life?.raft.isLeader == true else { return }
        report.count(.ambushes)
        if chance(300) { crash(position) } else { isolate(position) }
    }

    private mutating func isolate(_ leader: Int) {
        guard hosts.count > 1 else { return }
        if keepsTrace { note("isolate \(hosts[leader].id)") }
        report.count(.isolations)
        let others = hosts.indices.filter { $0 != leader }
        cut(others.map { (from: $0, to: leader) } + others.map { (from: leader, to: $0) })
    }

    private mutating func pause(_ position: Int) {
        guard hosts[position].life != nil else { return }
        if keepsTrace { note("pause \(hosts[position].id)") }
        report.count(.pauses)
        let duration = between(50_000, 2_000_000)
        hosts[position].pausedUntil = now + duration
    }

    private mutating func stallDisk(_ position: Int) {
        if keepsTrace { note("disk stall \(hosts[position].id)") }
        report.count(.diskStalls)
        let duration = between(50_000, 3_000_000)
        hosts[position].stalledUntil = now + duration
    }

    /// By up to an hour. What a leader makes of a jump ahead is bounded; one back does nothing.
    private mutating func jumpClock(_ position: Int) {
        guard let life = hosts[position].life else { return }
        report.count(.clockJumps)
        let jump = Int64(between(0, 3_600_000)) * (chance(500) ? 1 : -1)
        if keepsTrace { note("clock of \(hosts[position].id) jumps by \(jump) ms") }
        hosts[position].life?.clockBase += jump
        guard jump > 0, life.raft.isLeader else { return }
        checker.oracle.leases.clockJumped(by: UInt64(min(jump, ReplicaCore.silenceMillisecondsMax)) * 1000)
    }

    /// One bit in the memory of one host; where the others are a majority that can tell. No membership change meanwhile.
    private mutating func flipState(_ position: Int) {
        let isSafe = hosts.allSatisfy {
            $0.life?.isFlipped != true && $0.disk.voteMark == nil && !($0.life?.raft.configuration.isJoint ?? false)
                && ($0.life?.raft.configuration.voters.count ?? 3) >= 3
        }
        guard isSafe, plan.voters >= 3, let life = hosts[position].life, life.raft.configuration.contains(life.core.id)
        else { return }
        if keepsTrace { note("flip \(hosts[position].id)") }
        report.count(.flippedStates)
        hosts[position].life?.flippedAt = life.core.statesInstalled
        hosts[position].life?.core.flipState()
    }

    var isAnyFlipped: Bool { hosts.contains { $0.life?.isFlipped == true } }

    private mutating func hintFalsely(_ position: Int) {
        guard let leader = hosts[position].life?.raft.leader, leader != hosts[position].id else { return }
        report.count(.falseHints)
        queue.add(.hint(host: position, lost: leader), at: now)
    }

    private mutating func transfer() {
        let target = chance(500) ? nil : hosts.randomElement(using: &random)?.id
        request(.transfer(target), .transfers)
    }

    /// A learner more, a promotion, or a removal; not while a damaged peer needs the others.
    private mutating func changeMembers() {
        guard let leader = leaders.randomElement(using: &random), let current = hosts[leader].life?.raft.configuration,
            !hosts.contains(where: { $0.life?.raft.isAmnesiac ?? ($0.disk.voteMark != nil) }), !isAnyFlipped
        else { return }
        let strangers = hosts.map(\.id).filter { !current.contains($0) }
        if let learner = current.learners.randomElement(using: &random), chance(600) {
            request(.promote(learner), .membershipChanges)
        } else if let stranger = strangers.randomElement(using: &random), chance(600) {
            request(.addLearner(stranger), .membershipChanges)
        } else if current.voters.count > 1, let leaving = current.peers.randomElement(using: &random) {
            request(.remove(leaving), .membershipChanges)
        }
    }

    private mutating func request(_ change: MemberChange, _ counter: Report.Counter) {
        let position = Int(below(UInt64(hosts.count)))
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now,
            let answer = hosts[position].life?.core.request(change)
        else { return }
        if keepsTrace { note("\(change) at \(hosts[position].id): \(answer)") }
        if answer == .begun || answer == .passedOn { report.count(counter) }
        drain(position)
    }

    /// At most one peer's log is damaged at a time, and only where the others can go on without it.
    private mutating func damage(_ position: Int) {
        let isAlone = hosts.allSatisfy { $0.disk.voteMark == nil }
        let isSafe = hosts.allSatisfy {
            $0.id == hosts[position].id || ($0.life?.raft.configuration.allVoters.count ?? 3) >= 3
        }
        guard isAlone, isSafe, plan.voters >= 3, chance(80), !leaders.isEmpty else { return }
        let count = Int(between(1, 20))
        if hosts[position].disk.damage(count) > 0 { report.count(.damagedLogs) }
    }

    mutating func healAll() {
        isHealed = true
        network.mendAll()
        for position in cuts.indices { cuts[position] = [] }
        for position in hosts.indices {
            hosts[position].stalledUntil = min(hosts[position].stalledUntil, now)
            hosts[position].pausedUntil = min(hosts[position].pausedUntil, now)
            if hosts[position].life == nil { boot(position) }
        }
        for client in clients.indices { clients[client].writesHealed = 0 }
    }
}
