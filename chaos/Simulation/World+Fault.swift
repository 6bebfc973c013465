// What goes wrong: processes, disks, links, and what operators do at the worst moment. Every fault ends by itself.

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
        case 88..<96: changeMembers()
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
        schedule(.restart(host: position), after: 20_000, 3_000_000)
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
        schedule(.heal(cuts.count - 1), after: 100_000, 3_000_000)
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
        guard let leader = leaders.randomElement(using: &random), hosts.count > 1 else { return }
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

    private mutating func hintFalsely(_ position: Int) {
        guard let leader = hosts[position].life?.raft.leader, leader != hosts[position].id else { return }
        report.count(.falseHints)
        queue.add(.hint(host: position, lost: leader), at: now)
    }

    private mutating func transfer() {
        guard let leader = leaders.randomElement(using: &random) else { return }
        let target = chance(500) ? nil : hosts.randomElement(using: &random)?.id
        do {
            try hosts[leader].life?.raft.transferLeadership(to: target)
            report.count(.transfers)
            drain(leader)
        } catch { if keepsTrace { note("transfer refused: \(error)") } }
    }

    private mutating func changeMembers() {
        guard let leader = leaders.randomElement(using: &random), let current = hosts[leader].life?.raft.configuration else { return }
        let target = propose(from: current)
        do {
            guard let appended = try hosts[leader].life?.raft.proposeConfiguration(target) else { return }
            if keepsTrace { note("members \(target) at \(appended.first)") }
            report.count(.membershipChanges)
            drain(leader)
        } catch { if keepsTrace { note("members \(target) refused: \(error)") } }
    }

    /// A learner more, a promotion, a removal, a demotion, or a swap.
    private mutating func propose(from current: Configuration) -> Configuration {
        let strangers = hosts.map(\.id).filter { !current.contains($0) }
        var voters = current.voters, learners = current.learners
        if let stranger = strangers.randomElement(using: &random), chance(600) { learners.append(stranger) }
        if let learner = current.learners.randomElement(using: &random), chance(600) {
            learners.removeAll { $0 == learner }
            voters.append(learner)
        }
        if voters.count > 1, chance(300), let leaving = voters.randomElement(using: &random) {
            voters.removeAll { $0 == leaving }
            if chance(400) { learners.append(leaving) }
        }
        return Configuration(voters: voters, learners: learners)
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
