// The status that follows from a pod's life: phase, conditions, container statuses, addresses.
// Pure. Reasons and messages are upstream's, since clients match them. Conditions that others own are kept.
import API

extension PodLife {
    /// The whole `status` object. `previous` is the status last written: its times of transition are kept.
    package func status(previous: JSON, now: Nanoseconds) -> JSON {
        var status: JSON = [:]
        let phase = phase
        if let generation = pod["metadata", "generation"]?.int { status["observedGeneration"] = .int(generation) }
        status["phase"] = .string(phase)
        status["conditions"] = .array(conditions(phase: phase, previous: previous, now: now))
        if let verdict {
            status["reason"] = .string(verdict.reason)
            status["message"] = .string(verdict.message)
        }
        addAddresses(&status, previous)
        status["startTime"] = .string(TimeText.text(acceptedAt))
        addContainers(&status, previous)
        for kept in ["qosClass", "nominatedNodeName", "resize", "resourceClaimStatuses"] {
            if let value = pod["status"]?[kept] { status[kept] = value }
        }
        return status
    }

    private func addAddresses(_ status: inout JSON, _ previous: JSON) {
        if let hostIP = hostIPs.first {
            status["hostIP"] = .string(hostIP)
            status["hostIPs"] = .array(hostIPs.map { ["ip": .string($0)] })
        }
        let known = (previous["podIPs"]?.elements ?? []).compactMap { $0["ip"]?.string }
        let own = spec.isHostNetwork ? (newestSandbox == nil ? [] : hostIPs) : (ips.isEmpty && isFinished ? known : ips)
        guard let first = own.first else { return }
        status["podIP"] = .string(first)
        status["podIPs"] = .array(own.map { ["ip": .string($0)] })
    }

    private func addContainers(_ status: inout JSON, _ previous: JSON) {
        let groups: [(String, [ContainerKind])] = [
            ("initContainerStatuses", [.initial, .sidecar]), ("containerStatuses", [.app]),
            ("ephemeralContainerStatuses", [.ephemeral])
        ]
        for (field, kinds) in groups {
            let list = containers.filter { kinds.contains($0.spec.kind) }
            guard !list.isEmpty else { continue }
            let known = previous[field]?.elements ?? []
            status[field] = .array(
                list.map { life in containerStatus(life, known.first { $0["name"]?.string == life.spec.name }) })
        }
    }

    // MARK: phase

    /// Everything was killed on the way out, and nothing lives.
    var isStopped: Bool {
        isEnding && !containers.contains { $0.mayLive || $0.inFlight != .nothing }
    }

    package var phase: String {
        if let finishedPhase { return finishedPhase }
        if verdict != nil && isStopped { return "Failed" }
        let initial = containers.filter { $0.spec.kind == .initial }
        let failedInit = initial.contains { $0.isExited && $0.exitCode != 0 }
        if failedInit && spec.restartPolicy == .never { return "Failed" }
        let apps = containers.filter { $0.spec.kind == .app }
        let began = apps.contains { $0.current != nil }
        if isStopped { return apps.allSatisfy { $0.exitCode == 0 } && began ? "Succeeded" : "Failed" }
        guard began || initial.allSatisfy({ $0.exitCode == 0 }) else { return "Pending" }
        return phase(of: apps)
    }

    private func phase(of apps: [ContainerLife]) -> String {
        let running = apps.filter(\.isRunning).count
        let exited = apps.filter { $0.shown?.status.state == .exited }
        if apps.contains(where: { $0.shown == nil || $0.shown?.status.state == .created }) { return "Pending" }
        if running > 0 || exited.count < apps.count { return "Running" }
        if spec.restartPolicy == .always { return "Running" }
        if exited.allSatisfy({ $0.shown?.status.exitCode == 0 }) { return "Succeeded" }
        return spec.restartPolicy == .never ? "Failed" : "Running"
    }

    // MARK: container statuses

    func containerStatus(_ life: ContainerLife, _ known: JSON?) -> JSON {
        let states = states(of: life, known)
        let isWaiting = states.state["waiting"] != nil
        var status: JSON = [
            "name": .string(life.spec.name),
            "state": states.state,
            "lastState": states.last,
            "ready": .bool(life.isReady && !(isWaiting && life.spec.kind != .initial)),
            "restartCount": .int(Int64(restartCount(life, known))),
            "image": .string(life.shown?.status.image.nonEmpty ?? life.spec.image),
            "imageID": .string(life.shown?.status.imageReference ?? known?["imageID"]?.string ?? "")
        ]
        if let id = life.shown?.status.id {
            status["containerID"] = .string("containerd://\(id)")
        } else if let id = known?["containerID"]?.string {
            status["containerID"] = .string(id)
        }
        status["started"] = .bool(life.spec.kind == .initial ? false : life.isStarted)
        return status
    }

    private func restartCount(_ life: ContainerLife, _ known: JSON?) -> Int {
        if let attempt = life.shown?.status.attempt { return Int(attempt) }
        return Int(truncatingIfNeeded: known?["restartCount"]?.int ?? 0)
    }

    private func states(of life: ContainerLife, _ known: JSON?) -> (state: JSON, last: JSON) {
        guard let current = life.shown?.status else {
            if let terminated = lostTermination(known) {
                return (["terminated": terminated], known?["lastState"] ?? [:])
            }
            return (["waiting": waiting(life)], known?["lastState"] ?? [:])
        }
        let isSuccessorMade = life.shown?.status.id != life.current?.status.id
        let previous = isSuccessorMade ? nil : life.previous
        let before = previous.map { Self.terminated($0.status) } ?? known?["lastState"] ?? [:]
        switch current.state {
        case .running: return (["running": ["startedAt": .string(TimeText.text(current.startedAt))]], before)
        case .created: return (["waiting": waiting(life)], before)
        case .unknown, .exited:
            if (life.waiting != nil || isBeingMadeAnew(life)) && !isEnding && !isFinished {
                return (["waiting": waiting(life)], Self.terminated(current))
            }
            return (Self.terminated(current), before)
        }
    }

    /// The sandbox died (the node was restarted): the container is made anew in another one, and its end is history.
    private func isBeingMadeAnew(_ life: ContainerLife) -> Bool {
        guard let sandbox = life.current?.sandboxID, sandbox != readySandbox?.id else { return false }
        return [.app, .sidecar].contains(life.spec.kind) && life.shouldRestart(spec.restartPolicy)
    }

    /// What the API knows of a container whose record is gone from the runtime, when the pod is over.
    private func lostTermination(_ known: JSON?) -> JSON? {
        guard let known else { return nil }
        if let terminated = known["state"]?["terminated"], isFinished || isStopped { return terminated }
        guard isStopped, known["state"]?["running"] != nil else { return nil }
        return [
            "exitCode": 137, "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated", "startedAt": .null,
            "finishedAt": .null
        ]
    }

    private func waiting(_ life: ContainerLife) -> JSON {
        guard let waiting = life.waiting else {
            let isBehindInit =
                life.spec.kind == .app && containers.contains { $0.spec.kind == .initial && $0.exitCode != 0 }
            return ["reason": isBehindInit ? "PodInitializing" : "ContainerCreating"]
        }
        var json: JSON = ["reason": .string(waiting.reason)]
        if !waiting.message.isEmpty { json["message"] = .string(waiting.message) }
        return json
    }

    private static func terminated(_ status: ContainerStatus) -> JSON {
        var json: JSON = ["exitCode": .int(Int64(status.exitCode))]
        let reason = status.reason.nonEmpty ?? (status.exitCode == 0 ? "Completed" : "Error")
        json["reason"] = .string(reason)
        if !status.message.isEmpty { json["message"] = .string(status.message) }
        json["startedAt"] =
            status.startedAt > 0 ? .string(TimeText.text(status.startedAt)) : .string("1970-01-01T00:00:00Z")
        json["finishedAt"] = .string(TimeText.text(status.finishedAt))
        json["containerID"] = .string("containerd://\(status.id)")
        return ["terminated": json]
    }
}

extension String {
    /// nil for the empty string.
    package var nonEmpty: String? { isEmpty ? nil : self }
}
