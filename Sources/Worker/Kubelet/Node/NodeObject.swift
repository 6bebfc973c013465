// The Node object that follows from what this machine is and how it fares. Pure; texts are upstream's.
import API

/// Everything that a report of the node is made of.
package struct NodeReport: Sendable {
    package var facts = MachineFacts()
    package var runtime = RuntimeVersion()
    package var images: [Image] = []
    /// Why the node is not ready; nil when it is.
    package var problem: String?
    package var hasMemoryPressure = false
    package var hasDiskPressure = false
    package var hasPIDPressure = false
    package init() {}
}

package enum NodeObject {
    static let ownConditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
    static let imagesMax = 50
    /// Memory that is not handed out, as upstream's hard eviction threshold.
    static let reservedMemoryBytes: Int64 = 100 << 20

    /// The labels that every kubelet sets, and the configured ones.
    package static func labels(_ configuration: KubeletConfiguration, _ facts: MachineFacts) -> [String: String] {
        configuration.labels.merging([
            "kubernetes.io/hostname": configuration.hostname, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": facts.architecture,
            "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": facts.architecture
        ]) { $1 }
    }

    /// The object to be created, without status.
    package static func new(_ configuration: KubeletConfiguration, _ facts: MachineFacts) -> JSON {
        var node: JSON = [
            "apiVersion": "v1", "kind": "Node",
            "metadata": [
                "name": .string(configuration.nodeName), "labels": JSON(labels(configuration, facts)),
                "annotations": ["volumes.kubernetes.io/controller-managed-attach-detach": "true"]
            ],
            "spec": [:]
        ]
        if !configuration.taints.isEmpty {
            node["spec", "taints"] = .array(
                configuration.taints.map {
                    ["key": .string($0.key), "value": .string($0.value), "effect": .string($0.effect)]
                })
        }
        return node
    }

    /// The whole status; heartbeats say `now`, transitions keep their time while nothing changes.
    package static func status(
        _ report: NodeReport, _ configuration: KubeletConfiguration, old: JSON, now: Nanoseconds
    )
        -> JSON
    {
        let foreign = (old["conditions"]?.elements ?? []).filter { !ownConditions.contains($0["type"]?.string ?? "") }
        var status: JSON = [
            "capacity": capacity(report.facts, configuration, reserved: false),
            "allocatable": capacity(report.facts, configuration, reserved: true),
            "conditions": .array(foreign + conditions(report, old: old, now: now)),
            "addresses": .array(
                configuration.nodeIPs.map { ["type": "InternalIP", "address": .string($0)] }
                    + [["type": "Hostname", "address": .string(configuration.hostname)]]),
            "daemonEndpoints": ["kubeletEndpoint": ["Port": .int(Int64(configuration.port))]],
            "nodeInfo": info(report, configuration),
            "images": .array(images(report.images))
        ]
        status["runtimeHandlers"] = [
            ["name": "", "features": ["recursiveReadOnlyMounts": false, "userNamespaces": false]]
        ]
        return status
    }

    private static func capacity(_ facts: MachineFacts, _ configuration: KubeletConfiguration, reserved: Bool) -> JSON {
        let memory = reserved ? max(0, facts.memoryBytes - reservedMemoryBytes) : facts.memoryBytes
        let disk = reserved ? facts.diskBytes / 10 * 9 : facts.diskBytes
        let cpu = facts.milliCPU % 1000 == 0 ? String(facts.milliCPU / 1000) : "\(facts.milliCPU)m"
        return [
            "cpu": .string(cpu), "ephemeral-storage": .string(reserved ? String(disk) : "\(disk / 1024)Ki"),
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0", "memory": .string("\(memory / 1024)Ki"),
            "pods": .string(String(configuration.podsMax))
        ]
    }

    private static func info(_ report: NodeReport, _ configuration: KubeletConfiguration) -> JSON {
        [
            "machineID": .string(report.facts.machineID), "systemUUID": .string(report.facts.systemUUID),
            "bootID": .string(report.facts.bootID), "kernelVersion": .string(report.facts.kernelVersion),
            "osImage": .string(report.facts.osImage),
            "containerRuntimeVersion": .string("\(report.runtime.name)://\(report.runtime.version)"),
            "kubeletVersion": .string(configuration.version), "kubeProxyVersion": "", "operatingSystem": "linux",
            "architecture": .string(report.facts.architecture)
        ]
    }

    private static func images(_ images: [Image]) -> [JSON] {
        images.sorted { ($0.sizeBytes, $0.id) > ($1.sizeBytes, $1.id) }.prefix(imagesMax).map { image in
            [
                "names": .array((image.digests + image.tags).prefix(5).map(JSON.string)),
                "sizeBytes": .int(Int64(clamping: image.sizeBytes))
            ]
        }
    }

    private static func conditions(_ report: NodeReport, old: JSON, now: Nanoseconds) -> [JSON] {
        func pressure(_ type: String, _ isTrue: Bool, _ reasons: (String, String), _ texts: (String, String)) -> JSON {
            condition(type, isTrue, isTrue ? reasons.0 : reasons.1, isTrue ? texts.0 : texts.1, old, now)
        }
        return [
            pressure(
                "MemoryPressure", report.hasMemoryPressure,
                ("KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
                ("kubelet has insufficient memory available", "kubelet has sufficient memory available")),
            pressure(
                "DiskPressure", report.hasDiskPressure, ("KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
                ("kubelet has disk pressure", "kubelet has no disk pressure")),
            pressure(
                "PIDPressure", report.hasPIDPressure, ("KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
                ("kubelet has insufficient PID available", "kubelet has sufficient PID available")),
            condition(
                "Ready", report.problem == nil, report.problem == nil ? "KubeletReady" : "KubeletNotReady",
                report.problem ?? "kubelet is posting ready status", old, now)
        ]
    }

    private static func condition(
        _ type: String, _ isTrue: Bool, _ reason: String, _ message: String, _ old: JSON, _ now: Nanoseconds
    ) -> JSON {
        let before = (old["conditions"]?.elements ?? []).first { $0["type"]?.string == type }
        let status = isTrue ? "True" : "False"
        let kept = before?["status"]?.string == status ? before?["lastTransitionTime"] : nil
        return [
            "type": .string(type), "status": .string(status), "lastHeartbeatTime": .string(TimeText.text(now)),
            "lastTransitionTime": kept ?? .string(TimeText.text(now)), "reason": .string(reason),
            "message": .string(message)
        ]
    }

    /// Whether two statuses differ in more than their heartbeats.
    package static func differs(_ left: JSON, _ right: JSON) -> Bool { still(left) != still(right) }

    private static func still(_ status: JSON) -> JSON {
        var result = status
        result["conditions"] = .array(
            (status["conditions"]?.elements ?? []).map { condition in
                var bare = condition
                bare["lastHeartbeatTime"] = nil
                return bare
            })
        return result
    }
}
