// Does what a pod's life asks for: each action becomes calls of the runtime, the file system and the API, and ends in
// one outcome. It decides nothing and keeps nothing but the paths of volumes that it made.
import API
import Logging
import Synchronization

package final class PodExecutor: Sendable {
    let configuration: KubeletConfiguration
    let node: NodeSettings
    let runtime: any ContainerRuntime
    let client: any ObjectClient
    let observer: RuntimeObserver
    let volumes: PodVolumes
    let objects: ObjectCache
    let services: ServiceSource
    let tokens: TokenSource
    let images: ImageSource
    let cgroups: Cgroups
    let prober: ProbeExecutor
    let messages: TerminationMessages
    let events: EventRecorder
    let logger: Logger
    let machine: MachineFacts
    private let volumePaths = Mutex<[String: [String: String]]>([:])

    package init(
        configuration: KubeletConfiguration, machine: MachineFacts, runtime: any ContainerRuntime,
        client: any ObjectClient,
        prober: ProbeExecutor, logger: Logger
    ) {
        self.configuration = configuration
        self.machine = machine
        self.runtime = runtime
        self.client = client
        self.prober = prober
        self.logger = logger
        node = Self.settings(configuration, machine, logger)
        messages = TerminationMessages(rootDirectory: configuration.rootDirectory)
        observer = RuntimeObserver(runtime: runtime, nodeName: configuration.nodeName, messages: messages)
        objects = ObjectCache(client: client)
        tokens = TokenSource(client: client)
        services = ServiceSource(client: client)
        images = ImageSource(
            runtime: runtime, objects: objects, pulled: PulledImages(rootDirectory: configuration.rootDirectory),
            logger: logger)
        volumes = PodVolumes(
            rootDirectory: configuration.rootDirectory, client: client,
            files: VolumeFiles(objects: objects, tokens: tokens))
        cgroups = Cgroups(mount: configuration.cgroupMount)
        events = EventRecorder(component: "kubelet", host: configuration.nodeName) { Clock.now() / 1_000_000 }
    }

    private static func settings(
        _ configuration: KubeletConfiguration, _ machine: MachineFacts, _ logger: Logger
    )
        -> NodeSettings
    {
        var node = NodeSettings()
        node.nodeName = configuration.nodeName
        node.clusterDNS = configuration.clusterDNS
        node.clusterDomain = configuration.clusterDomain
        node.podLogsDirectory = configuration.podLogsDirectory
        node.cgroupRoot = configuration.cgroupRoot
        node.memoryBytes = machine.memoryBytes
        do throws(FileError) {
            node.hostDNS = DNSSettings(resolvConf: try Files.text(configuration.resolvConf))
        } catch {
            logger.warning("no resolver configuration of the host", metadata: ["error": "\(error)"])
        }
        return node
    }

    /// Runs one action to its end.
    package func run(_ action: PodAction, _ context: PodContext) async -> PodOutcome {
        switch action {
        case .prepare: return await prepare(context)
        case .refreshVolumes: return await refresh(context)
        case .runSandbox(let attempt): return await runSandbox(attempt, context)
        case .stopSandbox(let id): return await stopSandbox(id)
        case .removeSandbox(let id): return await removeSandbox(id)
        case .startContainer(let name, let attempt, let sandboxID):
            return await start(name, attempt, sandboxID, context)
        case .killContainer(let name, let id, let grace, let reason):
            return await kill(name, id, grace, reason, context)
        case .removeContainer(let name, let id): return await removeContainer(name, id)
        case .probe(let name, let id, let kind, let ip): return await probe(name, id, kind, ip, context)
        case .cleanUp: return await cleanUp(context)
        case .deleteFromAPI: return await deleteFromAPI(context)
        case .event(let isWarning, let reason, let message, let container):
            tell(context, container, isWarning, reason, message)
            return .none
        case .cancelStart: return .none
        }
    }

    /// Records an event about a pod or one of its containers.
    func tell(_ context: PodContext, _ container: String?, _ isWarning: Bool, _ reason: String, _ message: String) {
        guard context.pod["status"] != nil || !context.pod.resourceVersion.isEmpty else { return }
        var path = ""
        if let container {
            let kind = context.spec.containers.first { $0.name == container }?.kind
            let field = kind == .app ? "containers" : (kind == .ephemeral ? "ephemeralContainers" : "initContainers")
            path = "spec.\(field){\(container)}"
        }
        events.record(
            ObjectReference(context.pod, fieldPath: path), warning: isWarning, reason: reason, message: message,
            through: client)
    }

    // MARK: preparation

    func facts(_ context: PodContext) -> PodFacts {
        var facts = PodFacts()
        facts.nodeName = configuration.nodeName
        facts.hostIPs = configuration.nodeIPs
        facts.podIPs = context.ips
        facts.allocatableMilliCPU = machine.milliCPU
        facts.allocatableMemoryBytes = machine.memoryBytes
        facts.allocatableEphemeralBytes = machine.diskBytes
        return facts
    }

    private func prepare(_ context: PodContext) async -> PodOutcome {
        if configuration.makesPodCgroups {
            let group = Resources.cgroup(context.pod, root: configuration.cgroupRoot)
            for problem in cgroups.make(group, Resources.pod(context.pod)) {
                logger.debug("pod cgroup", metadata: ["pod": "\(context.spec.fullName)", "error": "\(problem)"])
            }
        }
        do throws(VolumeError) {
            let paths = try await volumes.prepare(context.pod, facts(context))
            volumePaths.withLock { $0[context.spec.uid] = paths }
            return .prepared
        } catch {
            return .prepareFailed(message: error.message)
        }
    }

    func paths(of uid: String) -> [String: String] { volumePaths.withLock { $0[uid] ?? [:] } }

    private func refresh(_ context: PodContext) async -> PodOutcome {
        for problem in await volumes.refresh(context.pod, facts(context)) {
            logger.warning(
                "a volume is not up to date",
                metadata: ["pod": "\(context.spec.fullName)", "error": "\(problem.message)"])
        }
        return .refreshed
    }

    // MARK: sandbox

    private func runSandbox(_ attempt: UInt32, _ context: PodContext) async -> PodOutcome {
        let config = SandboxSettings.sandbox(context.pod, attempt: attempt, node)
        do {
            try Files.makeDirectory(config.logDirectory)
            let id = try await runtime.runSandbox(config, handler: try await handler(of: context.pod))
            let status = try await runtime.sandboxStatus(id)
            var sandbox = Sandbox()
            sandbox.id = id
            sandbox.metadata = config.metadata
            sandbox.createdAt = status.createdAt
            sandbox.isReady = status.isReady
            return .sandboxRuns(sandbox, ips: status.ips)
        } catch let error as RuntimeError {
            return .sandboxFailed(message: error.rpcDescription)
        } catch {
            return .sandboxFailed(message: "\(error)")
        }
    }

    private func handler(of pod: JSON) async throws(StatusError) -> String {
        guard let name = pod["spec", "runtimeClassName"]?.string?.nonEmpty else { return "" }
        return try await client.get(
            GroupVersionResource("node.k8s.io", "v1", "runtimeclasses"), namespace: nil, name: name)["handler"]?.string
            ?? ""
    }

    private func stopSandbox(_ id: String) async -> PodOutcome {
        do throws(RuntimeError) {
            try await runtime.stopSandbox(id)
            return .sandboxStopped(id: id)
        } catch {
            return error.isNotFound
                ? .sandboxStopped(id: id) : .sandboxStopFailed(id: id, message: error.rpcDescription)
        }
    }

    private func removeSandbox(_ id: String) async -> PodOutcome {
        do throws(RuntimeError) {
            try await runtime.removeSandbox(id)
        } catch {
            logger.debug("a dead sandbox stays", metadata: ["id": "\(id)", "error": "\(error)"])
        }
        return .sandboxRemoved(id: id)
    }

    private func removeContainer(_ name: String, _ id: String) async -> PodOutcome {
        do throws(RuntimeError) {
            try await runtime.removeContainer(id)
        } catch {
            logger.debug("a dead container stays", metadata: ["id": "\(id)", "error": "\(error)"])
        }
        return .containerRemoved(name: name, id: id)
    }

    // MARK: the end

    private func cleanUp(_ context: PodContext) async -> PodOutcome {
        let uid = context.spec.uid
        do {
            for sandbox in try await runtime.sandboxes()
            where sandbox.metadata.uid == uid && sandbox.annotations[PodLabels.node] == node.nodeName {
                try await runtime.stopSandbox(sandbox.id)
                try await runtime.removeSandbox(sandbox.id)
            }
            try volumes.tearDown(uid: uid)
            try removeLogs(context)
        } catch {
            logger.warning(
                "a pod is not cleaned up yet", metadata: ["pod": "\(context.spec.fullName)", "error": "\(error)"])
            return .cleanFailed(message: "\(error)")
        }
        for problem in configuration.makesPodCgroups
            ? cgroups.remove(Resources.cgroup(context.pod, root: configuration.cgroupRoot)) : []
        {
            logger.debug("pod cgroup stays", metadata: ["error": "\(problem)"])
        }
        volumePaths.withLock { $0[uid] = nil }
        tokens.forget(podUID: uid)
        return .cleaned
    }

    private func removeLogs(_ context: PodContext) throws(FileError) {
        let directory = SandboxSettings.logDirectory(context.pod, node)
        guard Files.isDirectory(directory) else { return }
        try Files.removeTree(directory)
        guard Files.isDirectory(configuration.containerLogsDirectory) else { return }
        for name in try Files.list(configuration.containerLogsDirectory) {
            let link = configuration.containerLogsDirectory + "/" + name
            if Files.readLink(link)?.hasPrefix(directory + "/") == true { try Files.remove(link) }
        }
    }

    private func deleteFromAPI(_ context: PodContext) async -> PodOutcome {
        let spec = context.spec
        do throws(StatusError) {
            _ = try await PodStatusWriter(client: client).write(context.pod, known: .null, context.status)
            try await client.delete(
                .pods, namespace: spec.namespace, name: spec.name, DeleteOptions(gracePeriodSeconds: 0, uid: spec.uid))
            return .deleted
        } catch {
            let isOtherPod = error.code == 409 && error.message.contains("UID")
            return error.isNotFound || isOtherPod ? .deleted : .deleteFailed(message: error.description)
        }
    }
}
