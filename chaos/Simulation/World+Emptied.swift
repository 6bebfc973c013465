// A voter whose data directory is empty. Under its old number it must not take part again, and cannot tell by itself: as
// any member that begins with nothing, it asks the others first (`Newcomer`, docs/decisions/0013). Then somebody removes
// it and lets another machine join in its place. A witness comes back under its number, and catches up before it counts.

import KVCore
import Raft

extension World {
    var isAnyEmptied: Bool { hosts.contains { $0.isEmptied } }

    /// Neither does it run, nor does it ask whether it may, nor was it told that it may not.
    func mayBoot(_ position: Int) -> Bool {
        let host = hosts[position]
        return host.life == nil && host.newcomer == nil && !host.isRefused
    }

    /// From some entry on everybody who has applied it knows that this member takes part.
    mutating func noteEntered() {
        for life in hosts.compactMap(\.life) {
            for peer in (1...UInt64(plan.voters)).map({ PeerID($0) }) {
                if entered[peer] == nil, life.core.tookPart(peer) { entered[peer] = life.core.state.appliedIndex }
            }
        }
    }
}

// MARK: The fault

extension World {
    mutating func emptyOne() {
        let witness = hosts.indices.first { hosts[$0].isWitness && hosts[$0].life != nil }
        if let witness, plan.voters >= 3, chance(700), lossesNow < damagedMax, !isAnyFlipped,
            hosts.allSatisfy({ $0.forgot == nil }), leader.map({ isSettled($0) }) == true
        {
            crash(witness, isPowerCut: true)
            if hosts[witness].disk.lost == nil { _ = emptyWitness(witness) }
            return
        }
        let all = hosts.indices.filter { mayEmpty($0) }
        if let position = all.randomElement(using: &random) { _ = emptyDisk(position) }
    }

    private func isSettled(_ leader: Int) -> Bool {
        hosts[leader].life.map { $0.raft.configurationIndex <= $0.raft.commitIndex } ?? false
    }

    /// False: not now.
    mutating func emptyDisk(_ position: Int, restartMax: UInt64? = nil) -> Bool {
        guard mayEmpty(position) else { return false }
        report.count(.emptiedDisks)
        if keepsTrace { note("the disk of \(hosts[position].id) is emptied") }
        hosts[position].isEmptied = true
        crash(position, isPowerCut: true, restartMax: restartMax)
        hosts[position].emptyDisk(seed: random.next())
        // That it forgot is not the harm that is to be found.
        if planted == .emptiedVotesAtOnce { checker.forgive(position) }
        return true
    }

    /// As many voters at a time, with those whose log is damaged, as may be without a vote; and so many of those that it
    /// will ask know it for good that no quorum of a new cluster could take it for new.
    private func mayEmpty(_ position: Int) -> Bool {
        let host = hosts[position]
        guard !isHealed, !isAnyFlipped, host.life != nil, host.initialMembers.count > 1, !host.isWitness,
            lossesNow < damagedMax, host.disk.lost == nil, hosts.allSatisfy({ $0.forgot == nil }),
            isSpared(position), isRemovable(host.id)
        else { return false }
        return hosts.indices.allSatisfy { other in
            other != position && !hosts[other].isEmptied || isKnown(other, without: position)
        }
    }

    /// Also while others are without theirs.
    private func isKnown(_ position: Int, without emptied: Int) -> Bool {
        guard let place = entered[hosts[position].id] else { return false }
        let unknowing = (0..<plan.voters).filter { other in
            other != position && !hosts[other].isWitness
                && (other == emptied || hosts[other].isEmptied || hosts[other].disk.stateDurable < place)
        }
        return unknowing.count < plan.voters / 2
    }

    /// Everybody who counts has the same members, which do not change, and the rest of them can go on without it.
    private func isRemovable(_ peer: PeerID) -> Bool {
        guard let leader, let raft = hosts[leader].life?.raft, !raft.configuration.isJoint,
            raft.configurationIndex <= raft.commitIndex
        else { return false }
        let members = raft.configuration
        guard members.isVoter(peer), members.witness == nil || members.dataVoters.count > Configuration.dataVotersMin
        else { return false }
        return hosts.allSatisfy { host in
            let known = host.life?.raft.configuration ?? host.membersAtEnd
            return !members.isVoter(host.id) || known?.voters == members.voters && known?.isJoint == false
        }
    }

    /// Not when it may have voted in a term that is still to come, nor when somebody may lead in an earlier one and does
    /// not know yet that it was deposed: a witness that forgot its term would follow. False: not now.
    mutating func emptyWitness(_ position: Int) -> Bool {
        let term = hosts[position].disk.hardState.term
        guard hosts[position].life == nil, let members = leader.flatMap({ hosts[$0].life?.raft.configuration }),
            members.isVoter(hosts[position].id),
            hosts.allSatisfy({ !members.isVoter($0.id) || $0.life?.raft.term ?? term == term }),
            leaders.allSatisfy({ hosts[$0].life?.raft.term == term })
        else { return false }
        report.count(.emptiedWitnesses)
        if keepsTrace { note("the disk of the witness \(hosts[position].id) is emptied") }
        hosts[position].emptyDisk(seed: random.next())
        checker.forgive(position)
        return true
    }
}

// MARK: Questions and answers

extension World {
    mutating func prove(_ position: Int) {
        if keepsTrace { note("\(hosts[position].id) begins with nothing") }
        schedule(.inquire(host: position, life: hosts[position].lives), after: 100, 2_000)
    }

    mutating func inquire(_ position: Int, _ life: Int) {
        guard hosts[position].newcomer != nil, hosts[position].lives == life else { return }
        for other in 0..<plan.voters where other != position {
            pass(.asked(Inquiry(host: position, life: life, other: other)), from: position, to: other)
        }
        schedule(.inquire(host: position, life: life), after: 25_000, 30_000)
    }

    private mutating func pass(_ event: Event, from: Int, to: Int) {
        guard !network.isCut(from: from, to: to), !network.isCut(from: to, to: from), !chance(network.quality.loss)
        else { return }
        schedule(event, after: network.quality.delayMin, network.quality.delayMax)
    }

    /// Who is asked runs, or has nothing itself; a witness does not know.
    mutating func hear(_ inquiry: Inquiry) {
        let host = hosts[inquiry.other]
        guard host.life != nil || host.newcomer != nil, !host.isWitness, !isPaused(inquiry.other, .asked(inquiry))
        else {
            return
        }
        let tookPart = host.life?.core.tookPart(hosts[inquiry.host].id) ?? false
        pass(.told(inquiry, tookPart: tookPart), from: inquiry.other, to: inquiry.host)
    }

    mutating func take(_ inquiry: Inquiry, tookPart: Bool) -> Int? {
        let position = inquiry.host
        guard hosts[position].newcomer != nil, hosts[position].lives == inquiry.life else { return nil }
        hosts[position].note(tookPart, by: PeerID(UInt64(inquiry.other) + 1))
        switch hosts[position].newcomer?.verdict {
        case .isNew?: takePart(position)
        case .tookPart?: refuse(position)
        case .open?, nil: break
        }
        return position
    }

    private mutating func takePart(_ position: Int) {
        if hosts[position].isEmptied { fail("host \(hosts[position].id): lost all, and is taken for new") }
        guard let start = hosts[position].endProbation() else { return }
        report.count(.firstStarts)
        began(position, start)
    }

    private mutating func refuse(_ position: Int) {
        if keepsTrace { note("\(hosts[position].id) took part before") }
        let id = hosts[position].id
        // Who was removed before it kept anything is refused, too.
        let isFormer = hosts.contains { $0.life?.raft.configuration.former.contains(id) == true }
        if !hosts[position].isEmptied, !isFormer { fail("host \(id): is refused, and lost nothing") }
        report.count(.refusedStarts)
        hosts[position].refuse()
        schedule(.operate(host: position), after: 10_000, 300_000)
    }
}

// MARK: The operator

extension World {
    /// `member remove`, then `member add` and a new machine, until that one votes.
    mutating func operate(_ position: Int) -> Int? {
        let host = hosts[position]
        guard let leader, hosts[leader].pausedUntil <= now, let raft = hosts[leader].life?.raft,
            !raft.configuration.isJoint, raft.configurationIndex <= raft.commitIndex
        else { return operateLater(position) }
        let members = raft.configuration
        if host.isRefused, !members.contains(host.id) {
            report.count(.replacedMembers)
            hosts[position].replace(by: PeerID(host.id.rawValue + 100), seed: random.next(), isWitness: false)
            if keepsTrace { note("\(host.id) is out, \(hosts[position].id) takes its place") }
            boot(position)
            return operateLater(position)
        }
        guard host.isRefused || !isHealed && !isAnyEmptied && !members.former.contains(host.id) else { return nil }
        guard let wish = wish(host, members) else { return nil }
        _ = hosts[leader].life?.core.request(wish)
        drain(leader)
        _ = operateLater(position)
        return leader
    }

    private mutating func operateLater(_ position: Int) -> Int? {
        schedule(.operate(host: position), after: 20_000, 200_000)
        return nil
    }

    private func wish(_ host: Host, _ members: Configuration) -> MemberChange? {
        if host.isRefused { return .remove(host.id) }
        if members.isVoter(host.id) { return nil }
        return members.contains(host.id) ? .promote(host.id) : .addLearner(host.id)
    }
}
