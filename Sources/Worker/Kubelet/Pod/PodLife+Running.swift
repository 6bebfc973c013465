// The decision for a pod that shall run: preparation, sandbox, init containers in order, then the others.
// Each part either says that the next one may go on, or what has to happen first. It must never start a
// container twice: whatever is under way is left alone.
import API

extension PodLife {
    mutating func decideRunning(_ now: Nanoseconds, _ decision: inout PodDecision) {
        guard decidePreparation(now, &decision) else { return }
        decideRefresh(now, &decision)
        guard let sandbox = decideSandbox(now, &decision) else { return }
        guard decideInit(sandbox, now, &decision) else { return }
        for i in containers.indices where containers[i].spec.kind == .app {
            decideContainer(i, sandbox, now, &decision)
        }
        for i in containers.indices where containers[i].spec.kind == .ephemeral && containers[i].current == nil {
            decideContainer(i, sandbox, now, &decision)
        }
    }

    private mutating func decidePreparation(_ now: Nanoseconds, _ decision: inout PodDecision) -> Bool {
        switch preparation {
        case .done: return true
        case .inFlight: return false
        case .waiting(let until) where until > now:
            decision.wake(at: until)
            return false
        case .waiting:
            preparation = .inFlight
            refreshAt = now &+ Self.refreshEvery
            decision.actions.append(.prepare)
            return false
        }
    }

    private mutating func decideRefresh(_ now: Nanoseconds, _ decision: inout PodDecision) {
        guard !isRefreshing else { return }
        if refreshAt > now { return decision.wake(at: refreshAt) }
        isRefreshing = true
        refreshAt = now &+ Self.refreshEvery
        decision.actions.append(.refreshVolumes)
    }

    /// The sandbox in which containers may be started; nil while there is none.
    private mutating func decideSandbox(_ now: Nanoseconds, _ decision: inout PodDecision) -> Sandbox? {
        guard sandboxStep == .nothing else { return nil }
        if let ready = readySandbox { return ready }
        if killAll(graceSeconds: spec.graceSeconds, reason: .sandboxChanged, now, &decision) { return nil }
        guard !containers.contains(where: { $0.inFlight != .nothing }) else { return nil }
        if sandboxRetryAt > now {
            decision.wake(at: sandboxRetryAt)
            return nil
        }
        // The dead one first gives back its address and its name.
        if let dead = sandboxes.first(where: { !stoppedSandboxes.contains($0.id) }) {
            sandboxStep = .stopping
            decision.actions.append(.stopSandbox(id: dead.id))
            return nil
        }
        if newestSandbox != nil {
            decision.tell("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        }
        sandboxStep = .starting
        decision.actions.append(.runSandbox(attempt: newestSandbox.map { $0.metadata.attempt &+ 1 } ?? 0))
        return nil
    }

    /// Moves the init containers on; true when app containers may start.
    private mutating func decideInit(_ sandbox: Sandbox, _ now: Nanoseconds, _ decision: inout PodDecision) -> Bool {
        let appsBegan = containers.contains { $0.spec.kind == .app && $0.current?.sandboxID == sandbox.id }
        for i in containers.indices {
            switch containers[i].spec.kind {
            case .app, .ephemeral: continue
            case .sidecar:
                decideContainer(i, sandbox, now, &decision)
                if !containers[i].isStarted && !appsBegan { return false }
            case .initial:
                if appsBegan
                    || (containers[i].current?.sandboxID == sandbox.id && containers[i].exitCode == 0
                        && containers[i].inFlight == .nothing)
                {
                    continue
                }
                decideContainer(i, sandbox, now, &decision)
                return false
            }
        }
        return true
    }

    /// Starts, replaces or leaves alone one container.
    private mutating func decideContainer(
        _ i: Int, _ sandbox: Sandbox, _ now: Nanoseconds, _ decision: inout PodDecision
    ) {
        guard containers[i].inFlight == .nothing else { return }
        guard let current = containers[i].current else { return start(i, attempt: 0, sandbox, now, &decision) }
        switch current.status.state {
        case .running: replaceIfNeeded(i, now, &decision)
        case .created: start(i, attempt: current.status.attempt &+ 1, sandbox, now, &decision)
        case .unknown: kill(i, graceSeconds: spec.graceSeconds, reason: .sandboxChanged, now, &decision)
        case .exited: restart(i, current, sandbox, now, &decision)
        }
    }

    private mutating func replaceIfNeeded(_ i: Int, _ now: Nanoseconds, _ decision: inout PodDecision) {
        let life = containers[i]
        if let kind = life.failedProbe {
            let grace = life.probe(kind)?.graceSeconds ?? spec.graceSeconds
            return kill(i, graceSeconds: grace, reason: .unhealthy(kind), now, &decision)
        }
        let hash = life.current?.status.annotations[PodLabels.hash]
        if let hash, hash != life.spec.hash, life.spec.kind != .ephemeral {
            kill(i, graceSeconds: spec.graceSeconds, reason: .definitionChanged, now, &decision)
        }
    }

    private mutating func restart(
        _ i: Int, _ current: SeenContainer, _ sandbox: Sandbox, _ now: Nanoseconds, _ decision: inout PodDecision
    ) {
        let isOfOtherSandbox = current.sandboxID != sandbox.id
        let isRepeatedInit = isOfOtherSandbox && containers[i].spec.kind == .initial
        guard containers[i].shouldRestart(spec.restartPolicy) || isRepeatedInit else { return }
        containers[i].restarts.forgetIfOld(now: max(current.status.finishedAt, 0))
        let until = current.status.finishedAt &+ containers[i].restarts.delay
        guard until <= now || isOfOtherSandbox else { return backOff(i, current, until, &decision) }
        containers[i].restarts.step(now: now)
        start(i, attempt: current.status.attempt &+ 1, sandbox, now, &decision)
    }

    private mutating func backOff(
        _ i: Int, _ current: SeenContainer, _ until: Nanoseconds, _ decision: inout PodDecision
    ) {
        let name = containers[i].spec.name
        decision.wake(at: until)
        containers[i].waiting = Waiting(
            "CrashLoopBackOff",
            "back-off \(containers[i].restarts.text) restarting failed container=\(name) pod=\(spec.fullName)")
        guard containers[i].toldBackOff != current.status.attempt else { return }
        containers[i].toldBackOff = current.status.attempt
        decision.warn(
            "BackOff", "Back-off restarting failed container \(name) in pod \(spec.fullName)", container: name)
    }

    private mutating func start(
        _ i: Int, attempt: UInt32, _ sandbox: Sandbox, _ now: Nanoseconds, _ decision: inout PodDecision
    ) {
        if let flip = containers[i].pullBackOffAt {
            if flip > now { return decision.wake(at: flip) }
            showPullBackOff(i, &decision)
        }
        if containers[i].retryAt > now { return decision.wake(at: containers[i].retryAt) }
        containers[i].inFlight = .starting
        if containers[i].waiting?.reason == "CrashLoopBackOff" { containers[i].waiting = nil }
        decision.actions.append(.startContainer(name: containers[i].spec.name, attempt: attempt, sandboxID: sandbox.id))
    }

    private mutating func showPullBackOff(_ i: Int, _ decision: inout PodDecision) {
        let (name, image) = (containers[i].spec.name, containers[i].spec.image)
        let cause = containers[i].waiting.map { ": \($0.reason): \($0.message)" } ?? ""
        containers[i].pullBackOffAt = nil
        containers[i].waiting = Waiting("ImagePullBackOff", "Back-off pulling image \"\(image)\"\(cause)")
        decision.tell("BackOff", "Back-off pulling image \"\(image)\"", container: name)
        decision.warn("Failed", "Error: ImagePullBackOff", container: name)
    }

    // MARK: killing

    /// Kills one container unless that is under way with as short a grace.
    mutating func kill(
        _ i: Int, graceSeconds: Int64, reason: KillReason, _ now: Nanoseconds, _ decision: inout PodDecision
    ) {
        guard let id = containers[i].current?.status.id else { return }
        if containers[i].killAgainAt > now { return decision.wake(at: containers[i].killAgainAt) }
        let until = now &+ .seconds(max(0, graceSeconds))
        switch containers[i].inFlight {
        case .starting: return
        case .killing(let known) where known <= until &+ .second: return
        case .killing, .nothing: break
        }
        containers[i].inFlight = .killing(until: until)
        decision.actions.append(
            .killContainer(name: containers[i].spec.name, id: id, graceSeconds: max(0, graceSeconds), reason: reason))
    }

    /// Kills whatever may live; true while something does.
    mutating func killAll(
        graceSeconds: Int64, reason: KillReason, only kinds: [ContainerKind] = [.initial, .sidecar, .app, .ephemeral],
        _ now: Nanoseconds, _ decision: inout PodDecision
    ) -> Bool {
        var isAnyAlive = false
        for i in containers.indices where kinds.contains(containers[i].spec.kind) && containers[i].mayLive {
            isAnyAlive = true
            kill(i, graceSeconds: graceSeconds, reason: reason, now, &decision)
        }
        return isAnyAlive
    }
}
