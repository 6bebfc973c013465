// The decision for a pod that is over: containers, sidecars last and in reverse, then the sandbox, then
// everything else.
import API

extension PodLife {
    mutating func decideEnding(_ now: Nanoseconds, _ decision: inout PodDecision) {
        let since = endingSince ?? now
        endingSince = since
        for i in containers.indices where containers[i].inFlight == .starting {
            decision.actions.append(.cancelStart(name: containers[i].spec.name))
        }
        let grace = remainingGrace(since: since, now)
        if killAll(graceSeconds: grace, reason: .podEnds, only: [.app, .initial, .ephemeral], now, &decision) {
            return
        }
        if killSidecars(grace, now, &decision) { return }
        guard !isAnythingInFlight else { return }
        guard stopSandboxes(now, &decision), mustBeRemoved else { return }
        decideCleaning(now, &decision)
    }

    /// A pod whose containers are all done keeps them for their logs, and frees its address.
    mutating func decideFinished(_ now: Nanoseconds, _ decision: inout PodDecision) {
        if killAll(
            graceSeconds: spec.graceSeconds, reason: .podEnds, only: [.app, .initial, .ephemeral], now, &decision)
        {
            return
        }
        if killSidecars(spec.graceSeconds, now, &decision) { return }
        guard !isAnythingInFlight else { return }
        _ = stopSandboxes(now, &decision)
    }

    private func remainingGrace(since: Nanoseconds, _ now: Nanoseconds) -> Int64 {
        let grace = spec.isBeingDeleted ? spec.deletionGraceSeconds ?? spec.graceSeconds : spec.graceSeconds
        var end = since &+ .seconds(grace)
        if let deadline = spec.deletionTime { end = min(end, max(deadline, since)) }
        return max(0, (end &- now &+ .second / 2) / .second)
    }

    /// The last sidecar first, one after the other; true while one lives.
    private mutating func killSidecars(_ grace: Int64, _ now: Nanoseconds, _ decision: inout PodDecision) -> Bool {
        for i in containers.indices.reversed() where containers[i].spec.kind == .sidecar && containers[i].mayLive {
            kill(i, graceSeconds: grace, reason: .podEnds, now, &decision)
            return true
        }
        return false
    }

    /// True when no sandbox runs any more.
    private mutating func stopSandboxes(_ now: Nanoseconds, _ decision: inout PodDecision) -> Bool {
        guard sandboxStep == .nothing else { return false }
        guard let ready = sandboxes.first(where: \.isReady) else { return true }
        if sandboxRetryAt > now {
            decision.wake(at: sandboxRetryAt)
            return false
        }
        sandboxStep = .stopping
        decision.actions.append(.stopSandbox(id: ready.id))
        return false
    }

    private mutating func decideCleaning(_ now: Nanoseconds, _ decision: inout PodDecision) {
        switch cleaning {
        case .inFlight: return
        case .waiting(let until) where until > now: return decision.wake(at: until)
        case .waiting:
            cleaning = .inFlight
            decision.actions.append(.cleanUp)
        case .done: decideDeletion(now, &decision)
        }
    }

    private mutating func decideDeletion(_ now: Nanoseconds, _ decision: inout PodDecision) {
        guard !isGone else { return }
        switch deletion {
        case .inFlight, .done: return
        case .waiting(let until) where until > now: decision.wake(at: until)
        case .waiting:
            deletion = .inFlight
            decision.actions.append(.deleteFromAPI)
        }
    }
}
