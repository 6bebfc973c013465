// Calls that a client marked with `hasleader: true` end when this member has no leader: the client then tries another
// member instead of waiting on one that is cut off. A short while without a leader is an election and is not told.
import KVReplica
import NetGRPC
import Synchronization

/// The open calls that require a leader.
final class LeaderWatch: Sendable {
    static let grace = Duration.seconds(3)
    private struct State {
        var calls: [ObjectIdentifier: GRPCServerCall] = [:]
        var isWaiting = false
    }
    private let replica: Replica
    private let state = Mutex(State())

    init(_ replica: Replica) {
        self.replica = replica
        replica.onLeadership { [weak self] news in
            if case .following(leader: nil) = news { self?.lost() }
        }
    }

    /// False: the call wants a leader and there is none.
    func admit(_ call: GRPCServerCall) -> Bool {
        guard call.metadata("hasleader") == "true" else { return true }
        if isLeaderless { return false }
        let key = ObjectIdentifier(call)
        state.withLock { $0.calls[key] = call }
        call.onClose { [weak self] in _ = self?.state.withLock { $0.calls.removeValue(forKey: key) } }
        return true
    }

    private var isLeaderless: Bool {
        guard let since = replica.leaderlessSince else { return false }
        return ContinuousClock.now - since >= Self.grace
    }

    private func lost() {
        let isFirst = state.withLock { state in
            defer { state.isWaiting = true }
            return !state.isWaiting
        }
        guard isFirst else { return }
        Task { [weak self] in
            var pause: Duration? = Self.grace
            while let next = pause {
                do { try await Task.sleep(for: next) } catch { return }
                pause = self?.check()
            }
        }
    }

    /// Ends the calls when nobody has led for the whole grace. Answers how long that may yet take: leadership may have
    /// come back and gone again meanwhile.
    private func check() -> Duration? {
        if let since = replica.leaderlessSince {
            let left = Self.grace - (ContinuousClock.now - since)
            if left > .zero { return left + .milliseconds(10) }
        }
        let isOver = isLeaderless
        let calls = state.withLock { state in
            state.isWaiting = false
            return isOver ? Array(state.calls.values) : []
        }
        for call in calls { call.finish(EtcdStatus.noLeader) }
        // It may have been lost between the two looks.
        if !isOver, replica.leaderlessSince != nil { lost() }
        return nil
    }
}
