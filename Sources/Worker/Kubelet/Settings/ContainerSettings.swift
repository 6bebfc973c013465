// A container as the runtime wants it. Pure: mounts, environment and image are handed in.
// It exists apart from the shell so that every rule of a spec can be tested without a runtime. It must never grant more
// than the spec asks for.
import API

package enum ContainerSettings {
    /// What the shell found out for one start.
    package struct Inputs: Sendable {
        package var attempt: UInt32
        package var image: Image
        package var imageName: String
        package var environment: [EnvironmentVariable]
        package var mounts: [ContainerMount]
        /// Id of the container whose processes a debug container shall see.
        package var targetID: String?
        package init(
            attempt: UInt32, image: Image, imageName: String, environment: [EnvironmentVariable],
            mounts: [ContainerMount], targetID: String? = nil
        ) {
            self.attempt = attempt
            self.image = image
            self.imageName = imageName
            self.environment = environment
            self.mounts = mounts
            self.targetID = targetID
        }
    }

    package static let terminationPathDefault = "/dev/termination-log"

    package static func container(
        _ spec: ContainerSpec, _ pod: JSON, _ inputs: Inputs, _ node: NodeSettings
    ) throws(ConfigurationError) -> ContainerConfig {
        let json = spec.json
        var config = ContainerConfig()
        config.name = spec.name
        config.attempt = inputs.attempt
        config.image = inputs.image.id.nonEmpty ?? inputs.imageName
        let known = Dictionary(inputs.environment.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        config.command = (json["command"]?.elements ?? []).compactMap(\.string).map {
            Expansion.expand($0) { known[$0] }
        }
        config.arguments = (json["args"]?.elements ?? []).compactMap(\.string).map {
            Expansion.expand($0) { known[$0] }
        }
        config.workingDirectory = json["workingDir"]?.string ?? ""
        config.environment = inputs.environment
        config.mounts = inputs.mounts
        config.labels = PodLabels.container(pod, name: spec.name)
        config.annotations = annotations(spec, pod, inputs.attempt, node)
        config.logPath = "\(spec.name)/\(inputs.attempt).log"
        config.stdin = json["stdin"]?.bool ?? false
        config.stdinOnce = json["stdinOnce"]?.bool ?? false
        config.tty = json["tty"]?.bool ?? false
        config.resources = Resources.container(json, pod, nodeMemoryBytes: node.memoryBytes)
        config.security = try security(spec, pod, inputs)
        return config
    }

    private static func annotations(
        _ spec: ContainerSpec, _ pod: JSON, _ attempt: UInt32, _ node: NodeSettings
    )
        -> [String: String]
    {
        [
            PodLabels.hash: spec.hash, PodLabels.restartCount: String(attempt), PodLabels.node: node.nodeName,
            PodLabels.terminationPath: spec.json["terminationMessagePath"]?.string ?? terminationPathDefault,
            PodLabels.terminationPolicy: spec.json["terminationMessagePolicy"]?.string ?? "File",
            PodLabels.podGrace: String(pod["spec", "terminationGracePeriodSeconds"]?.int ?? 30)
        ]
    }

    private static let masked = [
        "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"
    ]
    private static let readOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

    private static func security(
        _ spec: ContainerSpec, _ pod: JSON, _ inputs: Inputs
    ) throws(ConfigurationError)
        -> ContainerSecurity
    {
        let own = spec.json["securityContext"]
        let podSpec = pod["spec"] ?? .null
        let shared = podSpec["securityContext"]
        var security = ContainerSecurity()
        security.isPrivileged = own?["privileged"]?.bool ?? false
        security.addedCapabilities = (own?["capabilities", "add"]?.elements ?? []).compactMap(\.string)
        security.droppedCapabilities = (own?["capabilities", "drop"]?.elements ?? []).compactMap(\.string)
        security.runAsUser = own?["runAsUser"]?.int ?? shared?["runAsUser"]?.int
        security.runAsGroup = own?["runAsGroup"]?.int ?? shared?["runAsGroup"]?.int
        security.isRootReadOnly = own?["readOnlyRootFilesystem"]?.bool ?? false
        security.noNewPrivileges = own?["allowPrivilegeEscalation"]?.bool == false
        security.supplementalGroups = SandboxSettings.groups(podSpec)
        security.namespaces = SandboxSettings.namespaces(podSpec)
        if let target = inputs.targetID {
            security.namespaces.pid = .target
            security.namespaces.targetID = target
        }
        if !security.isPrivileged && own?["procMount"]?.string != "Unmasked" {
            security.maskedPaths = masked
            security.readOnlyPaths = readOnly
        }
        security.seccomp =
            security.isPrivileged
            ? SecurityProfile(.unconfined) : seccomp(own?["seccompProfile"] ?? shared?["seccompProfile"])
        try checkUser(spec, pod, own, shared, security, inputs.image)
        // The group cannot be set without the user: the runtime refuses it.
        if security.runAsGroup != nil && security.runAsUser == nil { security.runAsUser = inputs.image.runAsUser ?? 0 }
        return security
    }

    private static func seccomp(_ profile: JSON?) -> SecurityProfile {
        switch profile?["type"]?.string {
        case "RuntimeDefault": SecurityProfile(.runtimeDefault)
        case "Localhost":
            SecurityProfile(
                .localhost, localhost: "/var/lib/kubelet/seccomp/\(profile?["localhostProfile"]?.string ?? "")")
        default: SecurityProfile(.unconfined)
        }
    }

    private static func checkUser(
        _ spec: ContainerSpec, _ pod: JSON, _ own: JSON?, _ shared: JSON?, _ security: ContainerSecurity, _ image: Image
    ) throws(ConfigurationError) {
        guard own?["runAsNonRoot"]?.bool ?? shared?["runAsNonRoot"]?.bool ?? false else { return }
        let place = "(pod: \"\(PodSpec(pod).fullName)\", container: \(spec.name))"
        if let user = security.runAsUser {
            if user == 0 { throw ConfigurationError("container's runAsUser breaks non-root policy \(place)") }
        } else if !image.username.isEmpty {
            throw ConfigurationError(
                "container has runAsNonRoot and image has non-numeric user (\(image.username)), "
                    + "cannot verify user is non-root \(place)"
            )
        } else if image.runAsUser ?? 0 == 0 {
            throw ConfigurationError("container has runAsNonRoot and image will run as root \(place)")
        }
    }
}
