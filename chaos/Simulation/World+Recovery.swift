// All is mended: now everything has to work again within bounded time. Every client writes, reads at somebody who does
// not lead, and two of them take a lease, use it, keep it alive and give it back; every watch hears of everything where
// it is; everybody has one state, compared record by record; and leadership is handed over when that is asked for.

import KVCore
import Raft

extension World {
    /// Mends everything, then waits for the cluster to agree and to serve every client again.
    mutating func runHealing() {
        guard report.violation == nil else { return }
        healAll()
        giveErrands()
        recover("after healing")
        handOver()
        if chance(400) { changeOnce() }
    }

    var leader: Int? {
        leaders.max { (hosts[$0].life?.raft.term ?? .zero) < (hosts[$1].life?.raft.term ?? .zero) }
    }

    private mutating func giveErrands() {
        for client in clients.indices {
            clients[client].errands = client < 2 ? [.write, .follow, .lease, .write] : [.write, .follow, .write]
        }
    }

    /// Those who have nothing to do go on with something.
    mutating func keepBusy() {
        for client in clients.indices {
            let isIdle = clients[client].errands.isEmpty && !clients[client].isBusy
            clients[client].isBusy = true
            if isIdle, clients[client].current == nil { schedule(.act(client: client), after: 100, 20_000) }
        }
    }

    mutating func recoverClients(_ what: String) {
        guard report.violation == nil else { return }
        keepBusy()
        for client in clients.indices { clients[client].isBusy = false }
        giveErrands()
        recover(what)
    }

    mutating func recover(_ what: String) {
        let deadline = now + Simulation.healingMicroseconds
        run(until: deadline) { $0.isRecovered }
        guard report.violation == nil else { return }
        guard isRecovered else { return fail("not useful again \(what): \(situation)") }
        compareContents()
    }

    /// Every client is done, and everybody in the leader's configuration has applied everything, to the same state, and
    /// told all who watch.
    private var isRecovered: Bool {
        guard clients.allSatisfy({ $0.errands.isEmpty && $0.current == nil }), !isAnyEmptied,
            let leader = hosts.compactMap(\.life).first(where: { $0.raft.isLeader }),
            leader.core.state.appliedIndex == leader.raft.lastIndex, leader.core.state.leases.leases.isEmpty,
            !leader.raft.configuration.isJoint, watchers.allSatisfy({ $0.known >= leader.core.state.revision })
        else { return false }
        return hosts.indices.allSatisfy { isLevel(hosts[$0], with: leader) }
    }

    private func isLevel(_ host: Host, with leader: Host.Life) -> Bool {
        guard leader.raft.configuration.contains(host.id), host.id != gone.map({ hosts[$0].id }) else { return true }
        guard let life = host.life, !life.raft.isAmnesiac, !life.core.isFenced,
            life.core.state.appliedIndex == leader.core.state.appliedIndex
        else { return false }
        return host.isWitness
            || life.core.state.stateHash == leader.core.state.stateHash && life.watched == life.core.state.revision
    }

    private var situation: String {
        let parts = hosts.map { host in
            guard let life = host.life else { return "\(host.id): down" }
            let raft = life.raft
            let places = "last \(raft.lastIndex) commit \(raft.commitIndex) applied \(raft.appliedIndex)"
            let role = "\(raft.leadership.role) term \(raft.term) revision \(life.core.state.revision)"
            return "\(host.id): \(role) \(places) (\(raft.configuration)) \(raft.followers)"
        }
        return parts.joined(separator: "; ") + " errands \(clients.map(\.errands)) watches \(watchers.map(\.known))"
    }

    /// Not by its hash, but by all it holds.
    private mutating func compareContents() {
        guard let leader = leader.flatMap({ hosts[$0].life }) else { return }
        let right = leader.core.state
        for host in hosts where !host.isWitness && leader.raft.configuration.contains(host.id) {
            guard let state = host.life?.core.state else { continue }
            report.count(.contents)
            fail(checker.compare(state, of: host.id))
            let isSame =
                state.sessions.sorted == right.sessions.sorted && state.members == right.members
                && state.leases.sorted == right.leases.sorted && state.compactRevision == right.compactRevision
            if !isSame { fail("host \(host.id): other sessions, members or leases than \(leader.core.id)") }
        }
    }

    /// One voter more, or less: it takes place.
    private mutating func changeOnce() {
        guard report.violation == nil, let members = leader.flatMap({ hosts[$0].life?.raft.configuration }) else {
            return
        }
        let mayAdd = members.witness == nil && members.dataVoters.count >= Configuration.dataVotersMin
        let strangers = hosts.filter { host in
            !members.contains(host.id) && !members.former.contains(host.id) && (mayAdd || !host.isWitness)
        }
        let leaving = members.voters.count > 3 ? members.voters.first { $0 != members.witness } : nil
        guard let peer = strangers.first?.id ?? leaving else { return }
        let isJoining = strangers.first != nil, deadline = now + Simulation.healingMicroseconds
        while report.violation == nil, !isSettled(peer, isVoter: isJoining) {
            guard now < deadline else { return fail("\(peer) neither joins nor leaves: \(situation)") }
            if let leader, let now = hosts[leader].life?.raft.configuration {
                _ = hosts[leader].life?.core.request(wish(peer, isJoining: isJoining, now))
                drain(leader)
            }
            run(until: now + 100_000)
        }
        report.count(.membersChanged)
        if hosts[position(of: peer)].isWitness { report.count(.witnessesAdded) }
        recover("after a change of members")
    }

    private func wish(_ peer: PeerID, isJoining: Bool, _ members: Configuration) -> MemberChange {
        guard isJoining else { return .remove(peer) }
        if members.contains(peer) { return .promote(peer) }
        return hosts[position(of: peer)].isWitness ? .addWitness(peer) : .addLearner(peer)
    }

    private func isSettled(_ peer: PeerID, isVoter: Bool) -> Bool {
        guard let raft = leader.flatMap({ hosts[$0].life?.raft }) else { return false }
        return !raft.configuration.isJoint && raft.configurationIndex <= raft.commitIndex
            && raft.configuration.contains(peer) == isVoter && raft.configuration.isVoter(peer) == isVoter
    }

    /// Somebody else is to lead, and does.
    private mutating func handOver() {
        guard report.violation == nil, let old = leader, let raft = hosts[old].life?.raft,
            raft.configuration.dataVoters.count > 1, !raft.configuration.isJoint
        else { return }
        let deadline = now + Simulation.healingMicroseconds
        while report.violation == nil, leader == nil || leader == old {
            guard now < deadline else { return fail("nobody takes over from \(hosts[old].id): \(situation)") }
            if let life = hosts[old].life, life.raft.isLeader, life.raft.transferTargetID == nil {
                _ = hosts[old].life?.core.request(.transfer(nil))
                drain(old)
            }
            run(until: now + 100_000)
        }
        report.count(.handOvers)
        recover("after a change of leaders")
    }
}
