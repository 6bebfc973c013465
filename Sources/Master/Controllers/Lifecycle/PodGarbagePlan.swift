// Removes pods that nobody else will: on nodes that are gone, never scheduled and being deleted, too many finished
// ones, and those ending on nodes that an administrator has declared out of service. Pure.

import API

package struct PodGarbagePlan: Sendable {
    /// `--terminated-pod-gc-threshold`.
    package var finishedMax = 12_500
    /// How long a node must be missing.
    package static let quarantineMilliseconds: Int64 = 40_000

    package init() {}

    /// `missingSince`: nodes that pods name and that do not exist, with the time at which that was first seen.
    package func changes(_ pods: [PodView], nodes: [NodeView], missingSince: [String: Int64], now: Int64) -> [[Change]]
    {
        var changes: [[Change]] = []
        let outOfService = Set(
            nodes.filter { node in
                node.ready != "True" && node.taints.contains { $0.taint.key == "node.kubernetes.io/out-of-service" }
            }.map(\.name))
        let excess = pods.count(where: \.isFinished) - finishedMax
        if excess > 0 {
            let oldest = pods.filter(\.isFinished).sorted { ($0.createdAt, $0.key) < ($1.createdAt, $1.key) }.prefix(
                excess)
            changes += oldest.map { [remove($0)] }
        }
        for pod in pods {
            if let since = missingSince[pod.nodeName], since &+ Self.quarantineMilliseconds <= now {
                changes.append(fail(pod, now) + [remove(pod)])
            } else if pod.nodeName.isEmpty && pod.isBeingDeleted {
                changes.append([remove(pod)])
            } else if pod.isBeingDeleted && outOfService.contains(pod.nodeName) {
                changes.append(fail(pod, now) + [remove(pod)])
            }
        }
        return changes
    }

    private func remove(_ pod: PodView) -> Change {
        .delete(.pods, Target(pod), DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid))
    }

    private func fail(_ pod: PodView, _ now: Int64) -> [Change] {
        guard !pod.isFinished else { return [] }
        let condition = Conditions.make(
            "DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists", now: now)
        let patch: JSON = ["status": ["phase": "Failed", "conditions": [condition]]]
        return [.patch(.pods, Target(pod), subresource: "status", .strategic, patch)]
    }
}

/// Since when the nodes that pods name have been missing. Pure.
package struct MissingNodes: Sendable {
    package private(set) var since: [String: Int64] = [:]

    package init() {}

    package mutating func update(named: Set<String>, existing: Set<String>, now: Int64) {
        let missing = named.subtracting(existing).subtracting([""])
        since = since.filter { missing.contains($0.key) }
        for node in missing where since[node] == nil { since[node] = now }
    }
}
