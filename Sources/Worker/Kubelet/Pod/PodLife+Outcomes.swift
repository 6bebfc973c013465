// What an effect came to, taken into the pod's life. Each outcome ends one thing that a decision put under way.
// Failures set the time of the next try here and nowhere else. It must never decide: the next `decide` does.
import API

extension PodLife {
    /// Takes in an outcome; returns the events that tell of it.
    package mutating func finished(_ outcome: PodOutcome, now: Nanoseconds) -> PodDecision {
        var decision = PodDecision()
        switch outcome {
        case .probed(let name, let id, let kind, let isSuccess, let message):
            recordProbe(name, id, kind, isSuccess, message, now, &decision)
            return decision
        case .prepared: preparation = .done
        case .prepareFailed(let message):
            prepareFailures = min(prepareFailures + 1, 15)
            preparation = .waiting(until: now &+ .seconds(prepareFailures * 2))
            decision.warn("FailedMount", message)
        case .refreshed: isRefreshing = false
        case .cleaned: cleaning = .done
        case .cleanFailed: cleaning = .waiting(until: now &+ .seconds(2))
        case .deleted: deletion = .done
        case .deleteFailed: deletion = .waiting(until: now &+ .seconds(1))
        case .none: return decision
        case .sandboxRemoved(let id):
            removingSandboxes.remove(id)
            sandboxes.removeAll { $0.id == id }
        case .sandboxRuns, .sandboxFailed, .sandboxStopped, .sandboxStopFailed: sandboxFinished(outcome, now, &decision)
        default: containerFinished(outcome, now, &decision)
        }
        epoch &+= 1
        return decision
    }

    private mutating func sandboxFinished(_ outcome: PodOutcome, _ now: Nanoseconds, _ decision: inout PodDecision) {
        sandboxStep = .nothing
        switch outcome {
        case .sandboxRuns(let sandbox, let addresses):
            sandboxes.removeAll { $0.id == sandbox.id }
            sandboxes.insert(sandbox, at: 0)
            ips = addresses
            sandboxFailures = BackOff()
        case .sandboxFailed(let message):
            sandboxFailures.step(now: now)
            sandboxRetryAt = now &+ min(sandboxFailures.delay / 10, .seconds(10))
            decision.warn("FailedCreatePodSandBox", "Failed to create pod sandbox: \(message)")
        case .sandboxStopped(let id):
            stoppedSandboxes.insert(id)
            for i in sandboxes.indices where sandboxes[i].id == id { sandboxes[i].isReady = false }
        case .sandboxStopFailed(_, let message):
            sandboxRetryAt = now &+ .seconds(2)
            decision.warn("FailedKillPod", "error killing pod: \(message)")
        default: break
        }
    }

    private mutating func containerFinished(_ outcome: PodOutcome, _ now: Nanoseconds, _ decision: inout PodDecision) {
        switch outcome {
        case .containerStarted(let name, let seen):
            guard let i = index(name) else { return }
            containers[i].inFlight = .nothing
            containers[i].waiting = nil
            containers[i].pulls = BackOff()
            containers[i].see(seen)
        case .containerFailed(let name, let reason, let message, let seen):
            guard let i = index(name) else { return }
            startFailed(i, reason, message, seen, now)
        case .startCancelled(let name):
            guard let i = index(name) else { return }
            containers[i].inFlight = .nothing
        case .containerKilled(let name, let id, let seen):
            guard let i = index(name) else { return }
            if let seen { containers[i].see(seen) }
            // A shorter grace may have sent a second kill: the first one that ends, ends them all.
            if containers[i].current?.status.id == id || seen != nil { containers[i].inFlight = .nothing }
            containers[i].failedProbe = nil
            if seen == nil { containers[i].forget(id: id) }
            if containers[i].mayLive { containers[i].killAgainAt = now &+ .seconds(2) }
        case .containerRemoved(let name, let id):
            guard let i = index(name) else { return }
            containers[i].forget(id: id)
        default: break
        }
    }

    private mutating func startFailed(
        _ i: Int, _ reason: String, _ message: String, _ seen: SeenContainer?, _ now: Nanoseconds
    ) {
        containers[i].inFlight = .nothing
        containers[i].waiting = Waiting(reason, message)
        if let seen { containers[i].see(seen) }
        switch reason {
        case "ErrImagePull", "RegistryUnavailable", "SignatureValidationFailed":
            containers[i].pulls.step(now: now)
            containers[i].retryAt = now &+ containers[i].pulls.delay
            containers[i].pullBackOffAt = now &+ .seconds(1)
        case "RunContainerError", "PostStartHookError": break
        default: containers[i].retryAt = now &+ Self.retryAfter
        }
    }

    private mutating func recordProbe(
        _ name: String, _ id: String, _ kind: ProbeKind, _ isSuccess: Bool, _ message: String, _ now: Nanoseconds,
        _ decision: inout PodDecision
    ) {
        guard let i = index(name), containers[i].current?.status.id == id else { return }
        containers[i].record(kind, id: id, isSuccess: isSuccess, now: now)
        if !isSuccess { decision.warn("Unhealthy", "\(kind.rawValue) probe failed: \(message)", container: name) }
    }
}
