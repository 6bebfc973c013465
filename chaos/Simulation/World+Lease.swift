// Leaders that rely on promises: the faults that try these, what is counted, and ways to get them wrong.

import KVCore
import Raft

extension World {
    /// One follower hears nothing until it is free, and would like to lead. Then its leader is struck.
    mutating func besiege() {
        guard let leader = leaders.randomElement(using: &random), let raft = hosts[leader].life?.raft,
            let rival = hosts.indices.filter({ $0 != leader && raft.configuration.dataVoters.contains(hosts[$0].id) })
                .randomElement(using: &random)
        else { return }
        report.count(.sieges)
        if keepsTrace { note("siege of \(raft.id), rival \(hosts[rival].id)") }
        cutBetween([leader], [rival])
        let free = UInt64(raft.settings.electionTicksMin) * Simulation.tickMicroseconds
        schedule(.siege(leader: leader, rival: rival), after: free, free + 200_000)
    }

    /// It is cut off with what it has been promised; and who promised is tried.
    mutating func strike(_ leader: Int, _ rival: Int) {
        guard !isHealed, let raft = hosts[leader].life?.raft, raft.isLeader else { return }
        let others = hosts.indices.filter { $0 != leader }
        switch below(5) {
        case 0, 1:
            cutBetween([leader], others)
            for other in others where other != rival && raft.configuration.isVoter(hosts[other].id) && chance(800) {
                crash(other, isPowerCut: chance(300), restartMax: 30_000)
            }
        case 2:
            cutBetween([leader], others)
            for other in others where chance(500) { jumpClock(other) }
        case 3: return pause(leader)
        default: return transferDeaf(leader)
        }
        for other in others where chance(500) {
            report.count(.falseHints)
            schedule(.hint(host: other, lost: raft.id), after: 100, 15_000)
        }
    }

    /// It gives its word to a campaign, and hears nothing of what comes of it.
    private mutating func transferDeaf(_ leader: Int) {
        deafen(leader)
        if planted == .transfersUnderLease { return transferUntold(leader) }
        guard let answer = hosts[leader].life?.core.request(.transfer(nil)) else { return }
        if answer == .begun { report.count(.transfers) }
        drain(leader)
    }

    /// Clocks may jump now and then, and where leases hang on them a jump back is not so small that nobody sees it.
    func mayJump(_ position: Int) -> Bool {
        guard plan.leases != nil else { return true }
        guard hosts[position].pausedUntil <= now else { return false }
        return hosts[position].jumpedAt.map { now - $0 > 1_000_000 } ?? true
    }

    /// Of a process that ends.
    mutating func noteLeases(_ position: Int) {
        guard let figures = hosts[position].life?.raft.leaseFigures else { return }
        report.count(.readsByLease, Int(clamping: figures.reads))
        report.count(.leasesGivenAway, Int(clamping: figures.endedByTransfer))
        report.count(.promisesKept, Int(clamping: figures.refusals))
        report.count(.leasesWithoutClock, Int(clamping: figures.endedByClock))
    }

    /// A leader's word to campaign of which it knows nothing itself.
    private mutating func transferUntold(_ leader: Int) {
        guard let raft = hosts[leader].life?.raft,
            let target = raft.configuration.dataVoters.filter({ $0 != raft.id }).randomElement(using: &random)
        else { return }
        let word = Message(from: raft.id, to: target, term: raft.term, .timeoutNow)
        send(Envelope(to: target, .raft(word)), from: leader)
    }
}

extension Host {
    /// As if all time had passed in which it may have to keep one.
    func forgetPromises(_ life: Life, _ clock: Int64) {
        let step = Int64(settings.tickUnits)
        for tick in 0...Int64(settings.electionTicksMin + 1) { life.core.tell(clock + tick * step) }
        life.clockBase += Int64(settings.electionTicksMin + 1) * step
    }
}

extension Checker {
    /// Nobody is elected while another may answer reads without asking.
    func checkLeases(_ elected: RaftCore, _ hosts: [Host], _ now: UInt64) -> String? {
        for host in hosts where host.id != elected.id {
            guard let raft = host.life?.raft, raft.term < elected.term, let end = raft.leaseEnd else { continue }
            let clock = host.clock(at: now)
            guard clock < end else { continue }
            return "\(elected.id) was elected while \(raft.id) had a lease for another \(end - clock) ms"
        }
        return nil
    }
}
