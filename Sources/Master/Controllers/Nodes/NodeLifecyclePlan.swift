// The life of nodes: silent ones become Unknown, conditions become taints, pods on unready nodes stop being ready.
// Plans for all nodes at once, since nothing is evicted when every node seems dead: then it is the master that is cut
// off. Pure: nodes, their silence and the time in, changes out.

import API

/// Upstream's settings, with Tern's defaults.
package struct NodeLifecycleOptions: Sendable, Hashable {
    /// `--node-monitor-period`.
    package var monitorPeriodMilliseconds: Int64 = 1_000
    /// `--node-monitor-grace-period`.
    package var gracePeriodMilliseconds: Int64 = 8_000
    /// `--node-startup-grace-period`: for nodes that have never posted a status.
    package var startupGracePeriodMilliseconds: Int64 = 60_000

    package init() {}
}

package struct NodeLifecyclePlan: Sendable {
    let options: NodeLifecycleOptions
    let now: Int64

    package init(_ options: NodeLifecycleOptions, now: Int64) {
        self.options = options
        self.now = now
    }

    static let notReady = "node.kubernetes.io/not-ready"
    static let unreachable = "node.kubernetes.io/unreachable"
    private static let conditionTaints = [
        ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable")
    ]
    private static let managed: Set<String> = Set(conditionTaints.map(\.2)).union([
        notReady, unreachable, "node.kubernetes.io/unschedulable"
    ])

    /// `silence`: milliseconds since a node's last sign of life; `pods`: those on a node.
    package func changes(_ nodes: [NodeView], silence: (String) -> Int64, pods: (String) -> [PodView]) -> [[Change]] {
        let silent = Set(nodes.filter { isSilent($0, silence($0.name)) }.map(\.name))
        let evicts = nodes.isEmpty || silent.count < nodes.count
        return nodes.compactMap { node in
            let isSilent = silent.contains(node.name)
            let ready = isSilent ? "Unknown" : node.ready
            // Taints first: their lock is the version that the cache shows, and the status patch moves it on.
            var changes = taint(node, ready: ready, isSilent: isSilent, evicts: evicts)
            if isSilent { changes += markUnknown(node) }
            if ready != "True" { changes += markPods(pods(node.name)) }
            return changes.isEmpty ? nil : changes
        }
    }

    private func isSilent(_ node: NodeView, _ silence: Int64) -> Bool {
        silence
            > (node.conditions["Ready"] == nil
                ? options.startupGracePeriodMilliseconds : options.gracePeriodMilliseconds)
    }

    private func markUnknown(_ node: NodeView) -> [Change] {
        let stale = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].filter {
            node.conditions[$0]?.status != "Unknown"
        }
        guard !stale.isEmpty else { return [] }
        let list = stale.map { type -> JSON in
            let known = node.conditions[type] != nil
            var condition = Conditions.make(
                type, "Unknown", known ? "NodeStatusUnknown" : "NodeStatusNeverUpdated",
                known ? "Kubelet stopped posting node status." : "Kubelet never posted node status.", now: now)
            if !known { condition["lastHeartbeatTime"] = .string(Timestamp.seconds(node.createdAt)) }
            return condition
        }
        let target = Target(namespace: "", name: node.name, uid: node.uid)
        var changes: [Change] = [
            .patch(.nodes, target, subresource: "status", .strategic, ["status": ["conditions": .array(list)]])
        ]
        if node.ready == "True" {
            changes.append(.note(Note(node.reference, "NodeNotReady", "Node \(node.name) status is now: NodeNotReady")))
        }
        return changes
    }

    /// Taints that conditions ask for; what others have set stays.
    private func taint(_ node: NodeView, ready: String, isSilent: Bool, evicts: Bool) -> [Change] {
        var wanted: [Taint] = []
        if ready == "False" { wanted.append(Taint(key: Self.notReady, effect: "NoSchedule")) }
        if ready == "Unknown" { wanted.append(Taint(key: Self.unreachable, effect: "NoSchedule")) }
        if ready == "False" { wanted.append(Taint(key: Self.notReady, effect: "NoExecute")) }
        if ready == "Unknown" && isSilent && evicts { wanted.append(Taint(key: Self.unreachable, effect: "NoExecute")) }
        for (condition, status, key) in Self.conditionTaints where node.conditions[condition]?.status == status {
            wanted.append(Taint(key: key, effect: "NoSchedule"))
        }
        if node.unschedulable { wanted.append(Taint(key: "node.kubernetes.io/unschedulable", effect: "NoSchedule")) }
        let kept = node.taints.filter { old in
            guard Self.managed.contains(old.taint.key), old.taint.effect != "PreferNoSchedule" else { return true }
            return wanted.contains { $0.key == old.taint.key && $0.effect == old.taint.effect }
        }
        let added = wanted.filter { new in !kept.contains { $0.taint.key == new.key && $0.taint.effect == new.effect } }
        guard !added.isEmpty || kept.count != node.taints.count else { return [] }
        let list = kept + added.map { TimedTaint($0, since: now) }
        let patch: JSON = [
            "metadata": ["resourceVersion": .string(node.resourceVersion)],
            "spec": ["taints": list.isEmpty ? .null : .array(list.map(\.tree))]
        ]
        return [.patch(.nodes, Target(namespace: "", name: node.name, uid: node.uid), .merge, patch)]
    }

    private func markPods(_ pods: [PodView]) -> [Change] {
        pods.filter { $0.readyStatus == "True" }.flatMap { pod -> [Change] in
            let condition: JSON = [
                "type": "Ready", "status": "False", "lastTransitionTime": .string(Timestamp.seconds(now))
            ]
            return [
                .patch(.pods, Target(pod), subresource: "status", .strategic, ["status": ["conditions": [condition]]]),
                .note(pod, warning: true, "NodeNotReady", "Node is not ready")
            ]
        }
    }
}
