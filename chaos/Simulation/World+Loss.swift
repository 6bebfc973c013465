// The third phase: a machine is gone while all is well, and the rest must serve without it. Where one voter is a witness
// it is a machine with data, with all it has: the rest, the witness among them, must have everything that was
// acknowledged. Then the one that is left with the witness loses its power: it must come back by itself. At last the
// machine that was gone returns.

import KVCore
import Raft

extension World {
    mutating func runLoss() {
        guard report.violation == nil, plan.settings.electionTicksMin > 2 * plan.settings.heartbeatTicks else {
            // Faster elections than the network is not what this is about.
            return
        }
        let witness = leader.flatMap { hosts[$0].life?.raft.configuration.witness }
        if witness == nil { runAbsence() } else { runLossOfData() }
    }

    /// What only works while all are there is found here.
    private mutating func runAbsence() {
        guard let raft = leader.flatMap({ hosts[$0].life?.raft }), !raft.configuration.isJoint,
            raft.configurationIndex <= raft.commitIndex, raft.configuration.voters.count >= 3
        else { return }
        let voters = raft.configuration.voters.map { position(of: $0) }
        guard let victim = chance(500) ? leader : voters.randomElement(using: &random) else { return }
        if chance(500) {
            keepBusy()
            run(until: now + between(5_000, 60_000))
        }
        if keepsTrace { note("\(hosts[victim].id) is absent") }
        report.count(.machinesAbsent)
        gone = victim
        crash(victim, isPowerCut: chance(500))
        recoverClients("without one voter")
        returnGone()
    }

    private mutating func runLossOfData() {
        // Nobody is out of reach: the witness ceases to count.
        run(until: now + 300_000)
        guard report.violation == nil, let members = settledMembers, let leader = leader else { return }
        let data = members.dataVoters.map { position(of: $0) }
        keepBusy()
        run(until: now + between(5_000, 60_000))
        lose(chance(700) ? leader : data.randomElement(using: &random) ?? leader, data)
        recoverClients("without one machine with data")
        if data.count == Configuration.dataVotersMin { losePowerAlone() }
        returnGone()
    }

    /// Of a cluster in which one voter is a witness and nothing changes.
    private var settledMembers: Configuration? {
        guard let raft = leader.flatMap({ hosts[$0].life?.raft }), let witness = raft.configuration.witness,
            raft.configuration.isVoter(witness), !raft.configuration.isJoint,
            raft.configurationIndex <= raft.commitIndex
        else { return nil }
        return raft.configuration
    }

    /// What it does last reaches none of the others that may lead; not for so long that the witness would begin to count.
    private mutating func lose(_ victim: Int, _ data: [Int]) {
        let ticks = min(plan.settings.electionTicksMin, plan.settings.saveStallTicks) / 3
        for other in data where other != victim {
            network.cut(from: victim, to: other)
            network.cut(from: other, to: victim)
        }
        run(until: now + between(500, UInt64(ticks) * Simulation.tickMicroseconds))
        if keepsTrace { note("\(hosts[victim].id) is gone") }
        report.count(.machinesGone)
        gone = victim
        crash(victim, isPowerCut: chance(500))
        network.mendAll()
    }

    /// Unsaved entries are lost; the witness may not have them.
    private mutating func losePowerAlone() {
        guard report.violation == nil, let leader = leader else { return }
        keepBusy()
        run(until: now + between(5_000, 60_000))
        crash(leader, isPowerCut: true, survivors: 0, restartMax: 400_000)
        recoverClients("after the last machine with data lost its power")
    }

    private mutating func returnGone() {
        guard report.violation == nil, let position = gone else { return }
        gone = nil
        if mayBoot(position) { boot(position) }
        recoverClients("with all machines again")
    }

}
