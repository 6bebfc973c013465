// The life of one pod as a value: (spec, what runs, now) → effects and status. The shell feeds it observations and
// outcomes and obeys its decisions; it never waits, never reads a clock and never talks to anybody.
// Level-based: a decision follows from what is seen, not from which message came last, so that a restarted kubelet
// goes on with the containers that it finds.
import API

package struct PodLife: Sendable {
    package enum Step: Sendable, Equatable {
        case waiting(until: Nanoseconds)
        case inFlight
        case done
    }

    package enum SandboxStep: Sendable, Equatable { case nothing, starting, stopping }

    /// Why the kubelet itself ended the pod.
    package struct Verdict: Sendable, Equatable {
        package var reason: String
        package var message: String
    }

    package private(set) var pod: JSON
    package private(set) var spec: PodSpec
    package internal(set) var containers: [ContainerLife]
    package internal(set) var sandboxes: [Sandbox] = []
    package internal(set) var ips: [String] = []
    package internal(set) var sandboxStep = SandboxStep.nothing
    package internal(set) var preparation = Step.waiting(until: 0)
    package internal(set) var cleaning = Step.waiting(until: 0)
    package internal(set) var deletion = Step.waiting(until: 0)
    package internal(set) var verdict: Verdict?
    /// The API has forgotten the pod: stop it, and write nothing.
    package internal(set) var isGone = false
    /// The phase in which the API showed the pod when this kubelet first saw it, if it was over then.
    package let finishedPhase: String?
    package let acceptedAt: Nanoseconds
    package let hostIPs: [String]
    /// Raised at each start and end of an effect: an observation begun under an older one is stale.
    package internal(set) var epoch: UInt64 = 0
    /// Sandboxes that were stopped by us, ready or not.
    var stoppedSandboxes: Set<String> = []
    var removingSandboxes: Set<String> = []
    /// Sandboxes in which the runtime still has containers.
    var occupiedSandboxes: Set<String> = []
    var prepareFailures: Int64 = 0
    var sandboxFailures = BackOff()
    var sandboxRetryAt: Nanoseconds = 0
    var endingSince: Nanoseconds?
    var refreshAt: Nanoseconds = 0
    var isRefreshing = false
    /// Nothing is started before the runtime has been looked at once.
    var isObserved = false

    /// Tokens are renewed and what is not followed is looked at; followed objects hurry it.
    package static let refreshEvery: Nanoseconds = .seconds(60)
    package static let retryAfter: Nanoseconds = .seconds(5)

    package init(pod: JSON, hostIPs: [String], now: Nanoseconds) {
        self.pod = pod
        self.hostIPs = hostIPs
        spec = PodSpec(pod)
        containers = spec.containers.map(ContainerLife.init)
        let phase = pod["status", "phase"]?.string
        finishedPhase = phase == "Succeeded" || phase == "Failed" ? phase : nil
        acceptedAt = pod["status", "startTime"]?.string.flatMap(TimeText.parse) ?? now
    }

    // MARK: inputs

    /// A newer object from the API.
    package mutating func update(_ newer: JSON, now: Nanoseconds) {
        let metadataChanged =
            newer["metadata", "labels"] != pod["metadata", "labels"]
            || newer["metadata", "annotations"] != pod["metadata", "annotations"]
        pod = newer
        spec = PodSpec(newer)
        if metadataChanged { refreshAt = min(refreshAt, now) }
        let old = Dictionary(containers.map { ($0.spec.name, $0) }, uniquingKeysWith: { first, _ in first })
        containers = spec.containers.map { spec in
            guard var life = old[spec.name] else { return ContainerLife(spec: spec) }
            life.spec = spec
            return life
        }
    }

    /// An object that a volume shows has changed; returns whether that concerns this pod.
    package mutating func changed(_ object: ObjectName) -> Bool {
        guard spec.shownObjects.contains(object) else { return false }
        refreshAt = 0
        return true
    }

    /// The API no longer has the pod.
    package mutating func vanish() { isGone = true }

    /// What the runtime shows. The caller drops observations that began under an older `epoch`.
    package mutating func observe(_ seen: PodSeen) {
        isObserved = true
        sandboxes = seen.sandboxes.sorted { ($0.metadata.attempt, $0.createdAt) > ($1.metadata.attempt, $1.createdAt) }
        if !seen.ips.isEmpty { ips = seen.ips }
        occupiedSandboxes = Set(seen.containers.map(\.sandboxID))
        let byName = Dictionary(grouping: seen.containers) { $0.status.name }
        for i in containers.indices {
            let attempts = (byName[containers[i].spec.name] ?? []).sorted {
                ($0.status.attempt, $0.status.createdAt) > ($1.status.attempt, $1.status.createdAt)
            }
            containers[i].see(attempts)
        }
        strangers = seen.containers.filter { container in !containers.contains { $0.spec.name == container.status.name }
        }
        surplus = byName.values.flatMap { list in
            list.sorted { ($0.status.attempt, $0.status.createdAt) > ($1.status.attempt, $1.status.createdAt) }
                .dropFirst(2)
        }.filter { $0.status.state == .exited }
    }

    /// Containers of this pod whose name the spec does not have.
    var strangers: [SeenContainer] = []
    /// Dead attempts older than the newest two.
    var surplus: [SeenContainer] = []

    // MARK: what follows from it

    package var newestSandbox: Sandbox? { sandboxes.first }
    package var readySandbox: Sandbox? { sandboxes.first.flatMap { $0.isReady ? $0 : nil } }

    /// The pod must not run any more: deleted, gone, past its deadline or evicted.
    package var isEnding: Bool { spec.isBeingDeleted || isGone || verdict != nil }
    package var mustBeRemoved: Bool { spec.isBeingDeleted || isGone }

    /// The shell may forget the pod.
    package var isOver: Bool { cleaning == .done && (isGone || deletion == .done) }

    package var isAnythingInFlight: Bool {
        sandboxStep != .nothing || preparation == .inFlight || containers.contains { $0.inFlight != .nothing }
    }

    /// All that should ever run has run, or a failure that nothing restarts.
    package var isFinished: Bool {
        if finishedPhase != nil { return true }
        guard spec.restartPolicy != .always else { return false }
        if containers.contains(where: { $0.spec.kind == .initial && $0.isExited && $0.exitCode != 0 })
            && spec.restartPolicy == .never
        {
            return true
        }
        let apps = containers.filter { $0.spec.kind == .app }
        return !apps.isEmpty
            && apps.allSatisfy { $0.isExited && $0.inFlight == .nothing && !$0.shouldRestart(spec.restartPolicy) }
    }

    /// The kubelet gives up on the pod (eviction).
    package mutating func evict(reason: String, message: String) {
        if verdict == nil { verdict = Verdict(reason: reason, message: message) }
    }

    // MARK: decision

    /// What is to be done now. Whatever it names is from then on under way.
    package mutating func decide(now: Nanoseconds) -> PodDecision {
        var decision = PodDecision()
        guard isObserved else { return decision }
        checkDeadline(now, &decision)
        if isEnding {
            decideEnding(now, &decision)
        } else if isFinished {
            decideFinished(now, &decision)
        } else {
            decideRunning(now, &decision)
        }
        decideProbes(now, &decision)
        decideRemovals(&decision)
        if decision.actions.contains(where: \.isLifecycle) { epoch &+= 1 }
        return decision
    }

    private mutating func checkDeadline(_ now: Nanoseconds, _ decision: inout PodDecision) {
        guard let seconds = spec.activeDeadlineSeconds, !isEnding, !isFinished else { return }
        let end = acceptedAt &+ .seconds(seconds)
        guard end <= now else { return decision.wake(at: end) }
        verdict = Verdict(
            reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline")
        decision.tell("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    }

    private mutating func decideProbes(_ now: Nanoseconds, _ decision: inout PodDecision) {
        let ip = spec.isHostNetwork ? hostIPs.first ?? "127.0.0.1" : ips.first ?? ""
        for i in containers.indices {
            let due = containers[i].dueProbes(now: now, isEnding: isEnding, &decision)
            guard let id = containers[i].current?.status.id else { continue }
            for kind in due {
                decision.actions.append(.probe(name: containers[i].spec.name, id: id, kind: kind, ip: ip))
            }
        }
    }

    private mutating func decideRemovals(_ decision: inout PodDecision) {
        for container in surplus {
            guard let i = index(container.status.name), !containers[i].removing.contains(container.status.id) else {
                continue
            }
            containers[i].removing.insert(container.status.id)
            decision.actions.append(.removeContainer(name: container.status.name, id: container.status.id))
        }
        surplus = []
        for old in sandboxes.dropFirst() where !old.isReady && !occupiedSandboxes.contains(old.id) {
            guard stoppedSandboxes.contains(old.id), removingSandboxes.insert(old.id).inserted else { continue }
            decision.actions.append(.removeSandbox(id: old.id))
        }
    }

    func index(_ name: String) -> Int? { containers.firstIndex { $0.spec.name == name } }
}

extension PodAction {
    /// Changes what the runtime shows, so that observations begun earlier are stale.
    package var isLifecycle: Bool {
        switch self {
        case .runSandbox, .stopSandbox, .removeSandbox, .startContainer, .killContainer, .removeContainer, .cleanUp:
            true
        default: false
        }
    }
}
