// Starting and stopping one container: image, configuration, creation, hooks. Event texts are upstream's.
// Each start or kill is one straight line from top to bottom. It must never start a container whose configuration is
// not complete.
import API
import Logging

extension PodExecutor {
    // MARK: start

    func start(_ name: String, _ attempt: UInt32, _ sandboxID: String, _ context: PodContext) async -> PodOutcome {
        guard let spec = context.spec.containers.first(where: { $0.name == name }) else {
            return .startCancelled(name: name)
        }
        let sandbox = SandboxSettings.sandbox(context.pod, attempt: context.sandbox?.metadata.attempt ?? 0, node)
        let image: Image
        do throws(ImageError) {
            image = try await images.ensure(spec.json, context.pod, sandbox: sandbox) {
                self.tell(context, name, $0, $1, $2)
            }
        } catch {
            if Task.isCancelled { return .startCancelled(name: name) }
            return .containerFailed(name: name, reason: error.reason, message: error.message, nil)
        }
        if Task.isCancelled { return .startCancelled(name: name) }
        let config: ContainerConfig
        do {
            config = try await configure(spec, attempt, image, context)
        } catch {
            let message = (error as? ConfigurationError)?.message ?? "\(error)"
            tell(context, name, true, "Failed", "Error: \(message)")
            return .containerFailed(name: name, reason: "CreateContainerConfigError", message: message, nil)
        }
        return await create(spec, config, sandboxID, sandbox, context)
    }

    private func configure(
        _ spec: ContainerSpec, _ attempt: UInt32, _ image: Image, _ context: PodContext
    ) async throws
        -> ContainerConfig
    {
        var facts = facts(context)
        for reference in Environment.references(spec.json, namespace: context.spec.namespace) {
            facts.objects[reference] = .some(try await objects.get(reference))
        }
        facts.services = try await services.variables(for: context.pod)
        let environment = try Environment.variables(spec.json, context.pod, facts)
        var mounts = try VolumeMounts(podDirectory: volumes.podDirectory(context.spec.uid)).mounts(
            spec.json, paths: paths(of: context.spec.uid), environment: environment)
        try addOwnMounts(spec, attempt, context, &mounts)
        let target = spec.json["targetContainerName"]?.string.flatMap { context.containerIDs[$0] }
        var config = try ContainerSettings.container(
            spec, context.pod,
            .init(
                attempt: attempt, image: image, imageName: spec.image, environment: environment, mounts: mounts,
                targetID: target), node)
        config.devices = []
        return config
    }

    /// /etc/hosts and the file for the termination message.
    private func addOwnMounts(
        _ spec: ContainerSpec, _ attempt: UInt32, _ context: PodContext, _ mounts: inout [ContainerMount]
    ) throws(FileError) {
        let directory = volumes.podDirectory(context.spec.uid)
        try Files.makeDirectory(directory)
        if !mounts.contains(where: { $0.containerPath == "/etc/hosts" }) {
            let host = context.spec.isHostNetwork ? try Files.text(configuration.hostsFile) : ""
            let text = HostsFile.text(
                context.pod, podIPs: context.ips, hostFile: host, domain: configuration.clusterDomain)
            try Files.write(text, to: directory + "/etc-hosts")
            mounts.append(ContainerMount(containerPath: "/etc/hosts", hostPath: directory + "/etc-hosts"))
        }
        let message = messages.path(podUID: context.spec.uid, container: spec.name, attempt: attempt)
        try Files.makeDirectory(Files.parent(of: message))
        try Files.write("", to: message, mode: 0o666)
        let path = spec.json["terminationMessagePath"]?.string?.nonEmpty ?? ContainerSettings.terminationPathDefault
        mounts.append(ContainerMount(containerPath: path, hostPath: message))
    }

    private func create(
        _ spec: ContainerSpec, _ config: ContainerConfig, _ sandboxID: String, _ sandbox: SandboxConfig,
        _ context: PodContext
    ) async -> PodOutcome {
        let name = spec.name
        let id: String
        do {
            try Files.makeDirectory(sandbox.logDirectory + "/" + name)
            id = try await runtime.createContainer(config, sandboxID: sandboxID, sandbox: sandbox)
        } catch {
            let message = (error as? RuntimeError)?.message ?? "\(error)"
            tell(context, name, true, "Failed", "Error: \(message)")
            return .containerFailed(name: name, reason: "CreateContainerError", message: message, nil)
        }
        tell(context, name, false, "Created", "Created container: \(name)")
        do throws(RuntimeError) {
            try await runtime.startContainer(id)
        } catch {
            tell(context, name, true, "Failed", "Error: \(error.message)")
            return .containerFailed(
                name: name, reason: "RunContainerError", message: error.message, await seen(id, sandboxID))
        }
        tell(context, name, false, "Started", "Started container \(name)")
        linkLog(id, config, sandbox, context)
        if let hook = spec.json["lifecycle", "postStart"].flatMap(ProbeAction.init),
            let problem = await run(hook, spec, id, context)
        {
            return await postStartFailed(problem, spec, id, sandboxID, context)
        }
        guard let seen = await seen(id, sandboxID) else {
            return .containerFailed(
                name: name, reason: "RunContainerError", message: "the container is gone right after its start", nil)
        }
        return .containerStarted(name: name, seen)
    }

    private func postStartFailed(
        _ problem: String, _ spec: ContainerSpec, _ id: String, _ sandboxID: String, _ context: PodContext
    ) async -> PodOutcome {
        tell(context, spec.name, true, "FailedPostStartHook", "PostStartHook failed")
        tell(context, spec.name, false, "Killing", "FailedPostStartHook")
        await stop(id, graceSeconds: context.spec.graceSeconds)
        return .containerFailed(
            name: spec.name, reason: "PostStartHookError", message: problem, await seen(id, sandboxID))
    }

    private func linkLog(_ id: String, _ config: ContainerConfig, _ sandbox: SandboxConfig, _ context: PodContext) {
        let directory = configuration.containerLogsDirectory
        let link = "\(directory)/\(context.spec.name)_\(context.spec.namespace)_\(config.name)-\(id).log"
        do throws(FileError) {
            try Files.makeDirectory(directory)
            try Files.link("\(sandbox.logDirectory)/\(config.logPath)", at: link)
        } catch {
            logger.warning("no link to a container's log", metadata: ["error": "\(error)"])
        }
    }

    /// The newest status of a container; nil when the runtime does not say.
    func seen(_ id: String, _ sandboxID: String) async -> SeenContainer? {
        do throws(RuntimeError) { return try await observer.status(id, sandboxID: sandboxID) } catch {
            logger.debug("no status of a container", metadata: ["id": "\(id)", "error": "\(error)"])
            return nil
        }
    }

    // MARK: stop

    func kill(
        _ name: String, _ id: String, _ graceSeconds: Int64, _ reason: KillReason, _ context: PodContext
    ) async
        -> PodOutcome
    {
        tell(context, name, false, "Killing", Self.text(reason, name))
        let began = Clock.now()
        let spec = context.spec.containers.first { $0.name == name }
        if let spec, graceSeconds > 0, let hook = spec.json["lifecycle", "preStop"].flatMap(ProbeAction.init) {
            if let problem = await within(seconds: graceSeconds, { await self.run(hook, spec, id, context) }) {
                tell(context, name, true, "FailedPreStopHook", "PreStopHook failed")
                logger.debug("preStop", metadata: ["pod": "\(context.spec.fullName)", "error": "\(problem)"])
            }
        }
        let used = (Clock.now() &- began) / .second
        await stop(id, graceSeconds: graceSeconds == 0 ? 0 : max(2, graceSeconds - used))
        return .containerKilled(name: name, id: id, await seen(id, context.sandbox?.id ?? ""))
    }

    private static func text(_ reason: KillReason, _ name: String) -> String {
        switch reason {
        case .podEnds, .sandboxChanged: "Stopping container \(name)"
        case .unhealthy(let kind): "Container \(name) failed \(kind.rawValue.lowercased()) probe, will be restarted"
        case .definitionChanged: "Container \(name) definition changed, will be restarted"
        }
    }

    private func stop(_ id: String, graceSeconds: Int64) async {
        do throws(RuntimeError) {
            try await runtime.stopContainer(id, timeoutSeconds: graceSeconds)
        } catch  where error.isNotFound {
            return
        } catch {
            logger.warning("a container does not stop", metadata: ["id": "\(id)", "error": "\(error)"])
        }
    }

    /// The result of `body`, or a message when it takes longer.
    private func within(seconds: Int64, _ body: @escaping @Sendable () async -> String?) async -> String? {
        await withTaskGroup(of: String??.self) { group in
            group.addTask { .some(await body()) }
            group.addTask {
                do { try await Task.sleep(for: .seconds(seconds)) } catch { return .some(nil) }
                return .some("the hook took longer than the grace period")
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? nil
        }
    }

    // MARK: hooks and probes

    /// Runs a hook; nil when it succeeded.
    private func run(_ hook: ProbeAction, _ spec: ContainerSpec, _ id: String, _ context: PodContext) async -> String? {
        let ip = context.ips.first ?? configuration.nodeIPs.first ?? "127.0.0.1"
        let result = await prober.run(hook, container: spec.json, id: id, ip: ip, timeoutSeconds: 0)
        return result.isSuccess ? nil : result.message
    }

    func probe(_ name: String, _ id: String, _ kind: ProbeKind, _ ip: String, _ context: PodContext) async -> PodOutcome
    {
        guard let spec = context.spec.containers.first(where: { $0.name == name }), let probe = spec.probe(kind) else {
            return .probed(name: name, id: id, kind: kind, isSuccess: true, message: "")
        }
        let result = await prober.run(
            probe.action, container: spec.json, id: id, ip: ip, timeoutSeconds: probe.timeoutSeconds)
        return .probed(name: name, id: id, kind: kind, isSuccess: result.isSuccess, message: result.message)
    }
}

extension ContainerSpec {
    func probe(_ kind: ProbeKind) -> ProbeSpec? {
        switch kind {
        case .startup: startup
        case .liveness: liveness
        case .readiness: readiness
        }
    }
}
