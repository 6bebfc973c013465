// What the scheduler keeps of a pod. It is immutable and shared by reference, since one pod stands in the cache, in the
// queue and in a node's list at once, and a cycle walks over thousands of them; this is why it is a class. Rarely used
// constraints stand apart, so that a plain pod stays small.

import API

/// A port of the node that a pod occupies.
package struct HostPort: Sendable, Hashable {
    package var address: String
    package var transport: String
    package var port: Int64

    /// Whether both cannot live on one node.
    package func collides(with other: HostPort) -> Bool {
        guard port == other.port && transport == other.transport else { return false }
        return address == other.address || address == "0.0.0.0" || other.address == "0.0.0.0"
    }
}

/// A pod as scheduling sees it.
package final class SchedulingPod: Sendable {
    package let namespace: String
    package let name: String
    package let uid: String
    package let labels: [String: String]
    /// The node that the API server knows; empty while it waits.
    package let nodeName: String
    package let nominatedNodeName: String
    package let schedulerName: String
    package let priority: Int64
    package let mayPreempt: Bool
    package let requests: Resources
    package let ports: [HostPort]
    package let tolerations: [Toleration]
    /// nil for a pod without selectors, affinity and spread constraints.
    package let constraints: Constraints?
    package let controllerUID: String
    package let images: [String]
    package let createdAt: String
    package let isFinished: Bool
    package let isBeingDeleted: Bool
    package let isGated: Bool
    package let claims: Bool
    /// The message of `PodScheduled=False`, "" without one.
    package let lastMessage: String

    package init(_ tree: JSON) {
        let spec = tree["spec"] ?? .null
        namespace = tree.namespace
        name = tree.name
        uid = tree.uid
        labels = tree.labels
        nodeName = spec["nodeName"]?.string ?? ""
        nominatedNodeName = tree["status", "nominatedNodeName"]?.string ?? ""
        schedulerName = spec["schedulerName"]?.string ?? "default-scheduler"
        priority = spec["priority"]?.int ?? 0
        mayPreempt = spec["preemptionPolicy"]?.string != "Never"
        requests = Self.requests(of: spec)
        ports = Self.ports(of: spec)
        tolerations = (spec["tolerations"]?.elements ?? []).map(Toleration.init)
        constraints = Constraints(spec, namespace: tree.namespace, labels: tree.labels)
        controllerUID = tree.controllerReference?["uid"]?.string ?? ""
        images = (spec["containers"]?.elements ?? []).compactMap { $0["image"]?.string }
        createdAt = tree["metadata", "creationTimestamp"]?.string ?? ""
        let phase = tree["status", "phase"]?.string
        isFinished = phase == "Succeeded" || phase == "Failed"
        isBeingDeleted = tree.isBeingDeleted
        isGated = !(spec["schedulingGates"]?.elements.isEmpty ?? true)
        claims = (spec["volumes"]?.elements ?? []).contains { $0["persistentVolumeClaim"] != nil }
        let condition = tree["status", "conditions"]?.elements.first { $0["type"]?.string == "PodScheduled" }
        lastMessage = condition?["status"]?.string == "False" ? condition?["message"]?.string ?? "" : ""
    }

    package var key: String { "\(namespace)/\(name)" }

    /// Whether it holds resources of a node.
    package var occupies: Bool { !nodeName.isEmpty && !isFinished }

    /// Whether `name` should find a node for it.
    package func waits(for scheduler: String) -> Bool {
        nodeName.isEmpty && !isFinished && !isBeingDeleted && !isGated && schedulerName == scheduler
    }

    package func tolerates(_ taint: Taint) -> Bool { tolerations.contains { $0.tolerates(taint) } }

    /// The sum over containers, or what the init containers need at their peak, and the overhead.
    static func requests(of spec: JSON) -> Resources {
        var sidecars = Resources()
        var peak = Resources()
        for container in spec["initContainers"]?.elements ?? [] {
            var need = Resources(container["resources", "requests"])
            need.add(sidecars)
            peak.raise(to: need)
            if container["restartPolicy"]?.string == "Always" {
                sidecars.add(Resources(container["resources", "requests"]))
            }
        }
        var total = sidecars
        for container in spec["containers"]?.elements ?? [] { total.add(Resources(container["resources", "requests"])) }
        total.raise(to: peak)
        if let whole = spec["resources", "requests"] { total.raise(to: Resources(whole)) }
        total.add(Resources(spec["overhead"]))
        total.pods = 1
        return total
    }

    static func ports(of spec: JSON) -> [HostPort] {
        let sidecars = (spec["initContainers"]?.elements ?? []).filter { $0["restartPolicy"]?.string == "Always" }
        return ((spec["containers"]?.elements ?? []) + sidecars).flatMap { $0["ports"]?.elements ?? [] }.compactMap {
            port in
            guard let number = port["hostPort"]?.int, number > 0 else { return nil }
            let address = port["hostIP"]?.string ?? ""
            return HostPort(
                address: address.isEmpty ? "0.0.0.0" : address, transport: port["protocol"]?.string ?? "TCP",
                port: number)
        }
    }
}
