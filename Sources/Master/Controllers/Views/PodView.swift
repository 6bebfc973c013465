// What the control loops keep of a pod: one immutable record, shared by reference by all of them; this is why it is a
// class. Whole pod trees never stay in a controller's memory.

import API

/// The owner reference with `controller: true`.
package struct Owner: Sendable, Hashable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String

    package init(apiVersion: String, kind: String, name: String, uid: String) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
    }

    package init?(_ reference: JSON?) {
        guard let reference else { return nil }
        apiVersion = reference["apiVersion"]?.string ?? ""
        kind = reference["kind"]?.string ?? ""
        name = reference["name"]?.string ?? ""
        uid = reference["uid"]?.string ?? ""
    }
}

/// A named port of a container.
package struct ContainerPort: Sendable, Hashable {
    package var name: String
    package var number: Int64
    package var transport: String
}

/// A pod as the controllers see it.
package final class PodView: Sendable {
    package let namespace: String
    package let name: String
    package let uid: String
    package let resourceVersion: String
    package let labels: [String: String]
    package let owner: Owner?
    package let phase: String
    package let reason: String
    package let isReady: Bool
    /// Whether it has a condition Ready at all, of whatever status.
    package let readyStatus: String
    package let readySince: Int64
    package let nodeName: String
    /// The node that a daemon pod's affinity names.
    package let affinityNode: String
    package let isBeingDeleted: Bool
    package let deletionTime: Int64
    package let finalizers: [String]
    package let createdAt: Int64
    package let restarts: Int64
    package let addresses: [String]
    package let hostname: String
    package let subdomain: String
    package let deletionCost: Int64
    package let ports: [ContainerPort]
    /// Those that can answer a NoExecute taint.
    package let tolerations: [Toleration]
    package let tolerationSeconds: [Int64?]

    package init(_ tree: JSON) {
        let spec = tree["spec"] ?? .null
        let status = tree["status"] ?? .null
        namespace = tree.namespace
        name = tree.name
        uid = tree.uid
        resourceVersion = tree.resourceVersion
        labels = tree.labels
        owner = Owner(tree.controllerReference)
        phase = status["phase"]?.string ?? "Pending"
        reason = status["reason"]?.string ?? ""
        let ready = status["conditions"]?.elements.first { $0["type"]?.string == "Ready" }
        readyStatus = ready?["status"]?.string ?? ""
        isReady = readyStatus == "True"
        readySince = Timestamp.milliseconds(ready?["lastTransitionTime"]?.string ?? "") ?? 0
        nodeName = spec["nodeName"]?.string ?? ""
        affinityNode = Self.affinityNode(spec)
        isBeingDeleted = tree.isBeingDeleted
        deletionTime = Timestamp.milliseconds(tree["metadata", "deletionTimestamp"]?.string ?? "") ?? 0
        finalizers = tree.finalizers
        createdAt = Timestamp.milliseconds(tree["metadata", "creationTimestamp"]?.string ?? "") ?? 0
        restarts = (status["containerStatuses"]?.elements ?? []).reduce(0) { max($0, $1["restartCount"]?.int ?? 0) }
        addresses = Self.addresses(status)
        hostname = spec["hostname"]?.string ?? ""
        subdomain = spec["subdomain"]?.string ?? ""
        deletionCost = Int64(tree.annotations["controller.kubernetes.io/pod-deletion-cost"] ?? "") ?? 0
        ports = Self.ports(spec)
        let answering = (spec["tolerations"]?.elements ?? []).filter {
            ($0["effect"]?.string ?? "NoExecute") == "NoExecute"
        }
        tolerations = answering.map(Toleration.init)
        tolerationSeconds = answering.map { $0["tolerationSeconds"]?.int }
    }

    package var key: String { "\(namespace)/\(name)" }

    package var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }

    /// Neither finished nor on its way out.
    package var isActive: Bool { !isFinished && !isBeingDeleted }

    /// Ready for at least `minReadySeconds`.
    package func isAvailable(_ minReadySeconds: Int64, now: Int64) -> Bool {
        isReady && (minReadySeconds == 0 || readySince &+ minReadySeconds &* 1000 <= now)
    }

    private static func affinityNode(_ spec: JSON) -> String {
        let terms =
            spec["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"]?
            .elements ?? []
        let fields = terms.first?["matchFields"]?.elements ?? []
        let name = fields.first { $0["key"]?.string == "metadata.name" && $0["operator"]?.string == "In" }
        return name?["values"]?.elements.first?.string ?? ""
    }

    private static func addresses(_ status: JSON) -> [String] {
        let all = (status["podIPs"]?.elements ?? []).compactMap { $0["ip"]?.string }
        return all.isEmpty ? [status["podIP"]?.string].compactMap { $0 }.filter { !$0.isEmpty } : all
    }

    private static func ports(_ spec: JSON) -> [ContainerPort] {
        let sidecars = (spec["initContainers"]?.elements ?? []).filter { $0["restartPolicy"]?.string == "Always" }
        return ((spec["containers"]?.elements ?? []) + sidecars).flatMap { $0["ports"]?.elements ?? [] }.compactMap {
            port in
            guard let name = port["name"]?.string, !name.isEmpty, let number = port["containerPort"]?.int else {
                return nil
            }
            return ContainerPort(name: name, number: number, transport: port["protocol"]?.string ?? "TCP")
        }
    }
}
