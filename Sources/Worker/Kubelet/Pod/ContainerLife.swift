// One container of a pod: what the runtime showed of it last, what is under way, and how often it failed.
// A value; PodLife asks it and moves it.

/// Why a container is not running, as `state.waiting` shows it.
package struct Waiting: Sendable, Equatable {
    package var reason: String
    package var message: String
    package init(_ reason: String, _ message: String = "") {
        self.reason = reason
        self.message = message
    }
}

package struct ContainerLife: Sendable {
    package enum InFlight: Sendable, Equatable {
        case nothing
        case starting
        case killing(until: Nanoseconds)
    }

    package var spec: ContainerSpec
    /// The newest attempt that the runtime showed, and the one before it.
    package private(set) var current: SeenContainer?
    package private(set) var previous: SeenContainer?
    package var inFlight = InFlight.nothing
    package var waiting: Waiting?
    package var restarts = BackOff()
    package var pulls = BackOff()
    /// No other kill before this: the last one did not end the container.
    package var killAgainAt: Nanoseconds = 0
    /// No new start before this.
    package var retryAt: Nanoseconds = 0
    /// A pull failed: from this moment on it reads `ImagePullBackOff`.
    package var pullBackOffAt: Nanoseconds?
    /// Attempt for which BackOff was told already.
    package var toldBackOff: UInt32?
    /// A probe that wants this container dead.
    package var failedProbe: ProbeKind?
    private(set) var probes: [ProbeKind: ProbeState] = [:]
    /// Removals under way.
    package var removing: Set<String> = []

    package init(spec: ContainerSpec) { self.spec = spec }

    /// The attempt that a status describes: one that is made but not started yet does not hide how the one before it ended.
    package var shown: SeenContainer? {
        guard current?.status.state == .created, let previous else { return current }
        return previous
    }

    package var isRunning: Bool { current?.status.state == .running }
    package var isExited: Bool { current?.status.state == .exited }
    /// Might have a living process.
    package var mayLive: Bool {
        guard let state = current?.status.state else { return false }
        return state == .running || state == .unknown
    }
    package var exitCode: Int32? { isExited ? current?.status.exitCode : nil }

    /// The startup probe passed, or there is none and the container runs.
    package var isStarted: Bool { isRunning && (spec.startup == nil || probes[.startup]?.verdict == true) }
    /// Counts for the pod's readiness.
    package var isReady: Bool {
        switch spec.kind {
        case .initial: exitCode == 0
        case .ephemeral: false
        case .app, .sidecar: isStarted && (spec.readiness == nil || probes[.readiness]?.verdict == true)
        }
    }

    /// Newer knowledge of this container's attempts, newest first. A change of attempt starts its probes anew.
    package mutating func see(_ seen: [SeenContainer]) {
        let newest = seen.first
        if newest?.status.id != current?.status.id || newest?.status.startedAt != current?.status.startedAt {
            resetProbes(newest)
        }
        current = newest
        previous = seen.dropFirst().first
    }

    /// The result of a start or a kill: one attempt's newest status.
    package mutating func see(_ container: SeenContainer) {
        if container.status.id == previous?.status.id {
            previous = container
            return
        }
        let earlier = container.status.id == current?.status.id ? previous : current
        see([container] + (earlier.map { [$0] } ?? []))
    }

    package mutating func forget(id: String) {
        removing.remove(id)
        if previous?.status.id == id { previous = nil }
        if current?.status.id == id {
            current = previous
            previous = nil
        }
    }

    private mutating func resetProbes(_ newest: SeenContainer?) {
        probes = [:]
        failedProbe = nil
        guard let newest, newest.status.state == .running else { return }
        for (kind, probe) in configuredProbes { probes[kind] = ProbeState(probe, startedAt: newest.status.startedAt) }
    }

    package func probe(_ kind: ProbeKind) -> ProbeSpec? {
        switch kind {
        case .startup: spec.startup
        case .liveness: spec.liveness
        case .readiness: spec.readiness
        }
    }

    private var configuredProbes: [(ProbeKind, ProbeSpec)] {
        ProbeKind.allCases.compactMap { kind in probe(kind).map { (kind, $0) } }
    }

    /// The probes that are due; they are marked as under way. While a pod ends only readiness is asked.
    package mutating func dueProbes(now: Nanoseconds, isEnding: Bool, _ decision: inout PodDecision) -> [ProbeKind] {
        guard isRunning, case .nothing = inFlight else { return [] }
        var due: [ProbeKind] = []
        for (kind, _) in configuredProbes {
            guard var state = probes[kind], !state.isInFlight, isWanted(kind, isEnding: isEnding) else { continue }
            if state.nextAt <= now {
                state.begin()
                probes[kind] = state
                due.append(kind)
            } else {
                decision.wake(at: state.nextAt)
            }
        }
        return due
    }

    private func isWanted(_ kind: ProbeKind, isEnding: Bool) -> Bool {
        switch kind {
        case .startup: !isEnding && probes[.startup]?.verdict != true
        case .liveness: !isEnding && isStarted
        case .readiness: isStarted
        }
    }

    /// Takes in one try of a probe of the attempt `id`.
    package mutating func record(_ kind: ProbeKind, id: String, isSuccess: Bool, now: Nanoseconds) {
        guard current?.status.id == id, let probe = probe(kind), var state = probes[kind] else { return }
        let changed = state.record(isSuccess, probe, now: now)
        probes[kind] = state
        guard changed else { return }
        if !isSuccess && kind != .readiness { failedProbe = kind }
        if isSuccess && kind == .startup {
            for other in [ProbeKind.liveness, .readiness] { probes[other]?.hurry(now: now) }
        }
    }

    /// May this container be started again after it exited?
    package func shouldRestart(_ policy: RestartPolicy) -> Bool {
        switch spec.kind {
        case .ephemeral: false
        case .sidecar: true
        case .initial: exitCode != 0 && policy != .never
        case .app: policy == .always || (policy == .onFailure && exitCode != 0)
        }
    }
}
