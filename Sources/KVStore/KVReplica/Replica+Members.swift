// Members and hand-over, as operations that return when their effect is seen in the configuration, or fail after a
// bounded time. The wish may be sent more than once: each of them is harmless when it is already fulfilled.
import KVCore
import Raft

extension Replica {
    package static let changeSeconds: Int64 = 15

    package func members() -> [ReplicaMember] { status.members }

    /// Adds a learner: it receives everything and does not vote.
    package func addMember(_ peer: PeerAddress) async throws(ProposeError) { try await addMember(peer.member) }

    /// The same with everything that the directory knows of a member.
    package func addMember(_ member: Member, isWitness: Bool = false) async throws(ProposeError) {
        _ = try await execute(.setMember(member))
        let change = isWitness ? MemberChange.addWitness(member.id) : .addLearner(member.id)
        try await fulfil(change) { $0.core.committedConfiguration.contains(member.id) }
    }

    /// Changes what the directory says of a member.
    package func updateMember(_ member: Member) async throws(ProposeError) {
        _ = try await execute(.setMember(member))
        await published()
    }

    /// Everybody who was entered in the replicated directory.
    package func enteredMembers() async -> [Member] { await loop.call(orElse: []) { $0.core.state.sortedMembers } }

    /// Members with addresses: as the directory says, or as they were configured.
    package func directory() async -> [Member] { await loop.call(orElse: []) { $0.core.members } }

    /// Makes a learner that has caught up a voter.
    package func promoteMember(_ peer: PeerID, seconds: Int64 = changeSeconds) async throws(ProposeError) {
        try await fulfil(.promote(peer), seconds: seconds) { loop in
            let configuration = loop.core.committedConfiguration
            return configuration.isVoter(peer) && !configuration.isJoint
        }
    }

    /// Removes a voter or learner; its address goes when it is out.
    package func removeMember(_ peer: PeerID) async throws(ProposeError) {
        let isOwn = peer == configuration.id
        try await fulfil(.remove(peer)) { loop in
            // Who is removed may not be told that it was.
            let members = isOwn ? loop.core.raft.configuration : loop.core.committedConfiguration
            return !members.contains(peer)
        }
        _ = try await execute(.removeMember(peer))
        await published()
    }

    /// Hands leadership over and returns when another peer leads. nil: to whoever is best caught up.
    package func transferLeadership(to peer: PeerID?) async throws(ProposeError) {
        let old = status.leader
        try await fulfil(.transfer(peer)) { loop in
            guard let leader = loop.core.raft.leader else { return false }
            return peer.map { leader == $0 } ?? (leader != old)
        }
    }

    /// Asks until the effect is there.
    private func fulfil(
        _ change: MemberChange, seconds: Int64 = changeSeconds, _ isDone: @escaping @Sendable (ReplicaLoop) -> Bool
    ) async throws(ProposeError) {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var wasAsked = false
        while ContinuousClock.now < deadline {
            let answer: MemberChangeAnswer? = await loop.call(orElse: .impossible) { loop in
                if isDone(loop) { return nil }
                defer { loop.pump() }
                return loop.core.request(change)
            }
            guard let answer else { return await published() }
            if answer == .impossible { throw loop.isEndedOutside ? .stopped : .noLeader }
            if answer == .begun || answer == .passedOn { wasAsked = true }
            for _ in 0..<20 {
                do { try await Task.sleep(for: .milliseconds(10)) } catch {
                    throw wasAsked ? .unknownOutcome : .noLeader
                }
                if await loop.call(orElse: false, isDone) { return await published() }
            }
        }
        throw wasAsked ? .unknownOutcome : .noLeader
    }

    /// The loop publishes at the end of each round: afterwards `members()` and `status` show what was done before.
    private func published() async { await loop.call(orElse: ()) { _ in } }

    /// At a planned end: another voter takes over first, if there is one.
    func handOver() async {
        let isNeeded = await loop.call(orElse: false) { loop in
            guard loop.core.raft.isLeader, loop.core.raft.configuration.voters.count > 1 else { return false }
            defer { loop.pump() }
            return loop.core.request(.transfer(nil)) == .begun
        }
        guard isNeeded else { return }
        for _ in 0..<100 {
            if await loop.call(orElse: true, { !$0.core.raft.isLeader }) { break }
            do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
        }
        // The new leader is told of, and what was proposed here goes to it.
        do { try await Task.sleep(for: .milliseconds(20)) } catch { return }
    }
}
