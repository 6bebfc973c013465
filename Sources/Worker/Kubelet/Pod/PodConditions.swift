// The five conditions that the kubelet owns, and the ones of others that stay as they are.
// Times of transition are kept while a status stays the same. It must never drop a condition that it does not own.
import API

extension PodLife {
    static let ownConditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]

    func conditions(phase: String, previous: JSON, now: Nanoseconds) -> [JSON] {
        let old = previous["conditions"]?.elements ?? []
        let current = pod["status", "conditions"]?.elements ?? []
        var list: [JSON] = []
        for condition in [sandboxCondition, initialized(phase), ready(phase), containersReady(phase), scheduled] {
            list.append(Self.timed(condition, old: old + current, now: now))
        }
        for other in current where !Self.ownConditions.contains(other["type"]?.string ?? "") { list.append(other) }
        return list
    }

    /// The condition with the time at which its status last changed.
    private static func timed(_ condition: JSON, old: [JSON], now: Nanoseconds) -> JSON {
        var result = condition
        let before = old.first { $0["type"] == condition["type"] }
        result["lastProbeTime"] = .null
        let isSame = before?["status"] == condition["status"]
        result["lastTransitionTime"] =
            isSame ? before?["lastTransitionTime"] ?? .string(TimeText.text(now)) : .string(TimeText.text(now))
        return result
    }

    private func condition(_ type: String, _ isTrue: Bool, _ reason: String = "", _ message: String = "") -> JSON {
        var json: JSON = ["type": .string(type), "status": isTrue ? "True" : "False"]
        if !reason.isEmpty { json["reason"] = .string(reason) }
        if !message.isEmpty { json["message"] = .string(message) }
        if let generation = pod["metadata", "generation"]?.int { json["observedGeneration"] = .int(generation) }
        return json
    }

    private var scheduled: JSON { condition("PodScheduled", true) }
    private var sandboxCondition: JSON {
        condition("PodReadyToStartContainers", readySandbox != nil && (spec.isHostNetwork || !ips.isEmpty))
    }

    private func names(_ list: [ContainerLife]) -> String { "[" + list.map(\.spec.name).joined(separator: " ") + "]" }

    private func initialized(_ phase: String) -> JSON {
        if phase == "Succeeded" { return condition("Initialized", true, "PodCompleted") }
        let appsBegan = containers.contains { $0.spec.kind == .app && $0.current != nil }
        let unfinished = containers.filter {
            ($0.spec.kind == .initial && $0.exitCode != 0) || ($0.spec.kind == .sidecar && !$0.isStarted)
        }
        if unfinished.isEmpty || appsBegan { return condition("Initialized", true) }
        return condition(
            "Initialized", false, "ContainersNotInitialized", "containers with incomplete status: \(names(unfinished))")
    }

    private var unready: [ContainerLife] {
        containers.filter { ($0.spec.kind == .app || $0.spec.kind == .sidecar) && !$0.isReady }
    }

    private func containersReady(_ phase: String) -> JSON { readiness("ContainersReady", phase) }

    private func ready(_ phase: String) -> JSON {
        let json = readiness("Ready", phase)
        guard json["status"]?.string == "True" else { return json }
        let missing = spec.readinessGates.filter { gate in
            !(pod["status", "conditions"]?.elements ?? []).contains {
                $0["type"]?.string == gate && $0["status"]?.string == "True"
            }
        }
        guard let first = missing.first else { return json }
        let text = missing.map { "corresponding condition of pod readiness gate \"\($0)\" does not exist." }.joined(
            separator: ", ")
        let exists = (pod["status", "conditions"]?.elements ?? []).contains { $0["type"]?.string == first }
        let message = exists ? "the status of pod readiness gate \"\(first)\" is not \"True\", but False" : text
        return condition("Ready", false, "ReadinessGatesNotReady", message)
    }

    private func readiness(_ type: String, _ phase: String) -> JSON {
        if phase == "Succeeded" { return condition(type, false, "PodCompleted") }
        if phase == "Failed" { return condition(type, false, "PodFailed") }
        let unready = unready
        if unready.isEmpty { return condition(type, true) }
        return condition(type, false, "ContainersNotReady", "containers with unready status: \(names(unready))")
    }
}
