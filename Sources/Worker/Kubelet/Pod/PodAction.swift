// What a pod's life asks the shell to do, and what the shell answers. Values with ids, never closures.

/// Why a container is killed; decides the event's text and whether the preStop hook runs.
package enum KillReason: Sendable, Equatable {
    case podEnds
    case unhealthy(ProbeKind)
    case definitionChanged
    case sandboxChanged
}

/// An effect. The shell runs effects of one decision concurrently and answers each that names an outcome.
package enum PodAction: Sendable, Equatable {
    /// Volumes, directories, cgroup → `.prepared` / `.prepareFailed`.
    case prepare
    /// Brings mounted ConfigMaps, Secrets, tokens up to date → `.refreshed`.
    case refreshVolumes
    /// → `.sandboxRuns` / `.sandboxFailed`.
    case runSandbox(attempt: UInt32)
    /// → `.sandboxStopped` / `.sandboxStopFailed`.
    case stopSandbox(id: String)
    /// A dead sandbox of an earlier attempt → `.sandboxRemoved`.
    case removeSandbox(id: String)
    /// Image, container, start, postStart → `.containerStarted` / `.containerFailed`.
    case startContainer(name: String, attempt: UInt32, sandboxID: String)
    /// Ends the wait of a start under way; the start itself answers.
    case cancelStart(name: String)
    /// preStop, SIGTERM, grace, SIGKILL → `.containerKilled`.
    case killContainer(name: String, id: String, graceSeconds: Int64, reason: KillReason)
    case removeContainer(name: String, id: String)
    /// → `.probed`.
    case probe(name: String, id: String, kind: ProbeKind, ip: String)
    /// Containers, sandboxes, volumes, cgroup, directories, logs go → `.cleaned` / `.cleanFailed`.
    case cleanUp
    /// The last status, then DELETE with grace 0 → `.deleted` / `.deleteFailed`.
    case deleteFromAPI
    case event(isWarning: Bool, reason: String, message: String, container: String?)
}

/// A container that the runtime showed, and the sandbox it belongs to.
package struct SeenContainer: Sendable, Equatable {
    package var status: ContainerStatus
    package var sandboxID: String
    package init(status: ContainerStatus, sandboxID: String) {
        self.status = status
        self.sandboxID = sandboxID
    }
}

/// Everything of one pod that the runtime shows at one moment.
package struct PodSeen: Sendable, Equatable {
    package var sandboxes: [Sandbox] = []
    /// Addresses of the newest sandbox that is ready.
    package var ips: [String] = []
    package var containers: [SeenContainer] = []
    package init(sandboxes: [Sandbox] = [], ips: [String] = [], containers: [SeenContainer] = []) {
        self.sandboxes = sandboxes
        self.ips = ips
        self.containers = containers
    }
}

/// What an effect came to.
package enum PodOutcome: Sendable, Equatable {
    case prepared
    case prepareFailed(message: String)
    case refreshed
    case sandboxRuns(Sandbox, ips: [String])
    case sandboxFailed(message: String)
    case sandboxStopped(id: String)
    case sandboxStopFailed(id: String, message: String)
    case sandboxRemoved(id: String)
    case containerStarted(name: String, SeenContainer)
    case containerFailed(name: String, reason: String, message: String, SeenContainer?)
    case startCancelled(name: String)
    case containerKilled(name: String, id: String, SeenContainer?)
    case containerRemoved(name: String, id: String)
    case probed(name: String, id: String, kind: ProbeKind, isSuccess: Bool, message: String)
    case cleaned
    case cleanFailed(message: String)
    case deleted
    case deleteFailed(message: String)
    /// Nothing to say (events).
    case none
}

/// What is to be done now, and when to ask again although nothing happened.
package struct PodDecision: Sendable, Equatable {
    package var actions: [PodAction] = []
    package var wakeAt: Nanoseconds?
    package init() {}

    mutating func wake(at time: Nanoseconds) { wakeAt = min(wakeAt ?? .max, time) }
    mutating func warn(_ reason: String, _ message: String, container: String? = nil) {
        actions.append(.event(isWarning: true, reason: reason, message: message, container: container))
    }
    mutating func tell(_ reason: String, _ message: String, container: String? = nil) {
        actions.append(.event(isWarning: false, reason: reason, message: message, container: container))
    }
}
