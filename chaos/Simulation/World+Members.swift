// Changes of who takes part, and disks that lose what they held: never more of it at once than the rest can do without.

import KVCore
import Raft

extension World {
    /// A learner more, a promotion, or a removal; not while a damaged peer needs the others.
    mutating func changeMembers() {
        guard let leader = leaders.randomElement(using: &random), let current = hosts[leader].life?.raft.configuration,
            !hosts.contains(where: { $0.disk.lost != nil || $0.forgot != nil }), !isAnyFlipped, !isAnyEmptied
        else { return }
        if let former = hosts.indices.filter({ current.former.contains(hosts[$0].id) }).randomElement(using: &random) {
            return wipe(former)
        }
        let strangers = hosts.filter { !current.contains($0.id) && !$0.isWitness }.map(\.id)
        let witness = current.witness == nil ? hosts.first { !current.contains($0.id) && $0.isWitness }?.id : nil
        if let witness, chance(600) {
            request(.addWitness(witness), .witnessesAdded)
        } else if let learner = current.learners.randomElement(using: &random), chance(600) {
            request(.promote(learner), .membershipChanges)
        } else if let stranger = strangers.randomElement(using: &random), chance(600) {
            request(.addLearner(stranger), .membershipChanges)
        } else if current.voters.count > 1, let leaving = current.peers.randomElement(using: &random) {
            request(.remove(leaving), .membershipChanges)
        }
    }

    @discardableResult
    mutating func request(_ change: MemberChange, _ counter: Report.Counter) -> MemberChangeAnswer {
        let position = Int(below(UInt64(hosts.count)))
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now,
            let answer = hosts[position].life?.core.request(change)
        else { return .noLeader }
        if keepsTrace { note("\(change) at \(hosts[position].id): \(answer)") }
        if answer == .begun || answer == .passedOn { report.count(counter) }
        drain(position)
        return answer
    }

    /// As many logs are damaged at a time, the leader's or others, as there may be members without a vote: a quorum
    /// never asks those. Where one is a witness, one.
    mutating func damage(_ position: Int, _ ended: RaftCore?) {
        let damaged = lossesNow, most = damagedMax
        let isAlone = hosts.allSatisfy { $0.forgot == nil } && !isAnyFlipped
        // What it sent last may still be on its way.
        let isSettled = ended.map { $0.configurationIndex <= $0.commitIndex } ?? true
        guard isAlone, isSettled, damaged < most, plan.voters >= 3, hosts[position].disk.lost == nil,
            !hosts[position].isEmptied, chance(damaged > 0 ? 900 : plan.damage), isSpared(position)
        else { return }
        let kinds: [Report.Counter] = [
            .bitRot, .misdirectedWrites, .lostEnds, .unreadableLogs, .unreadableLogs, .unreadableMarks
        ]
        if hosts[position].isWitness, chance(500), emptyWitness(position) { return }
        let kind = kinds[Int(below(UInt64(kinds.count)))]
        guard hosts[position].withDisk({ $0.rot(kind) }) else { return }
        report.count(kind)
        if damaged > 0 { report.count(.damagedTogether) }
        if ended?.isLeader == true { report.count(.damagedLeaders) }
        if keepsTrace { note("damage \(hosts[position].id)") }
        // It is back soon: whoever is to share its lot must be struck now.
        guard damaged + 1 < most, chance(600), let other = hosts.indices.filter({ hosts[$0].life != nil }).first else {
            return
        }
        crash(other, isPowerCut: false)
    }

    /// Logs that are damaged, and members that lost all.
    var lossesNow: Int { hosts.filter { $0.disk.lost != nil || $0.isEmptied }.count }

    /// Whichever configuration turns out to be the one, also one that lies in a log of somebody who is down.
    var damagedMax: Int {
        let most = hosts.compactMap { host -> Int? in
            guard let members = host.life?.raft.configuration ?? host.membersAtEnd, !members.voters.isEmpty else {
                return nil
            }
            guard members.voters.count >= 3, !members.isJoint else { return 0 }
            return plan.witness == nil ? (members.voters.count - 1) / 2 : 1
        }
        return most.min() ?? 0
    }

    /// With a witness an entry may be on one disk with data only: while it is, that disk is not damaged. What is there
    /// may still be on its way to the witness, committed or not.
    func isSpared(_ position: Int) -> Bool {
        guard plan.witness != nil, !hosts[position].isWitness else { return true }
        let places = hosts.filter { $0.isWitness || $0.id == hosts[position].id }.map(\.disk.lastID)
        return hosts.contains { other in
            other.id != hosts[position].id && !other.isWitness && isDataVoter(other.id)
                && other.disk.last.rawValue >= UInt64(checker.committed.count)
                && places.allSatisfy { !other.disk.lastID.isBefore($0) }
        }
    }

    /// For everybody who is up.
    private func isDataVoter(_ peer: PeerID) -> Bool {
        hosts.allSatisfy { $0.life?.raft.configuration.dataVoters.contains(peer) ?? true }
    }

    /// A machine that is no member loses its disk. It comes back under another name: ids are never used twice.
    mutating func wipe(_ position: Int) {
        let id = hosts[position].id
        let isStranger = hosts.allSatisfy { $0.id == id || $0.life?.raft.configuration.contains(id) != true }
        let isSettled = leaders.contains { leader in
            hosts[leader].life.map { $0.raft.configurationIndex <= $0.raft.commitIndex } ?? false
        }
        guard isStranger, isSettled, !hosts[position].isEmptied, !leaders.contains(position), id.rawValue < 900 else {
            return
        }
        report.count(.wipedDisks)
        crash(position, isPowerCut: true)
        let isWitness = plan.witness != nil && chance(500)
        hosts[position].replace(by: PeerID(id.rawValue + 100), seed: random.next(), isWitness: isWitness)
        if chance(500) { hosts[position].understands = EntryFormat.oldest }
        if keepsTrace { note("\(id) is lost, \(hosts[position].id) takes its place") }
    }
}
