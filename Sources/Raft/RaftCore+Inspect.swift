// What tests, the simulator and `status` may look at. Nothing here changes anything.

extension RaftCore {
    /// The entry at an index; nil when it is compacted or does not exist.
    package func entry(at index: LogIndex) -> Entry? { log.entry(at: index) }

    /// The term at an index, also of the compaction point itself.
    package func term(at index: LogIndex) -> Term? { log.term(at: index) }

    /// Hands every entry after `index` to `body`, in order.
    package func forEachEntry(after index: LogIndex, _ body: (Entry) -> Void) { log.forEach(after: index, body) }

    /// In how many ticks something is due if nothing happens before; 1 while an election or a transfer is under way.
    /// The ticks until then may be told late, together.
    package var restTicks: Int {
        guard fault == nil, hintDelay == nil else { return 1 }
        switch role {
        case .follower(let state): return state.leader == nil ? 1 : max(1, electionTimeout - electionElapsed)
        case .leader(let state):
            return state.transfer == nil ? max(1, settings.heartbeatTicks - state.heartbeatElapsed) : 1
        case .preCandidate, .candidate: return 1
        }
    }

    /// Units of the clock for which this peer helps nobody else to lead.
    package var boundUnits: Int64 { promiseLeft }

    /// The state that must be durable.
    package var hardState: HardState { HardState(term: term, vote: vote, commit: commitIndex) }

    /// A leader's view of one follower.
    package struct FollowerStatus: Hashable, Sendable {
        package enum State: UInt8, Sendable { case probe, replicate, snapshot }
        package var id: PeerID
        package var match: LogIndex
        package var next: LogIndex
        package var state: State
        package var isActive: Bool
    }

    /// Empty when this peer does not lead.
    package var followers: [FollowerStatus] {
        guard case .leader(let state) = role else { return [] }
        return state.progress.map { progress in
            let kind: FollowerStatus.State =
                switch progress.state {
                case .probe: .probe
                case .replicate: .replicate
                case .snapshot: .snapshot
                }
            return FollowerStatus(
                id: progress.id, match: progress.match, next: progress.next, state: kind, isActive: progress.isActive)
        }
    }

    /// The transfer under way.
    package var transferTargetID: PeerID? {
        guard case .leader(let state) = role else { return nil }
        return state.transfer?.target
    }

    /// The first broken local invariant in words; nil when all hold.
    package var brokenInvariant: String? {
        if let fault { return fault }
        let order = [("compacted", log.base.index), ("snapshot", snapshot.index), ("applied", appliedIndex)]
        for (low, high) in zip(order, order.dropFirst()) where low.1 > high.1 && installing == nil {
            return "\(low.0) \(low.1) > \(high.0) \(high.1)"
        }
        if appliedIndex > commitIndex { return "applied \(appliedIndex) > committed \(commitIndex)" }
        if commitIndex > log.last.index { return "committed \(commitIndex) > last \(log.last.index)" }
        if log.durable > log.last.index { return "durable \(log.durable) > last \(log.last.index)" }
        return nil
    }
}
