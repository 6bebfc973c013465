// What the control loops keep of a node and of its lease.

import API

/// A condition of a node.
package struct NodeCondition: Sendable, Hashable {
    package var status: String
    package var reason: String
    /// As written by the kubelet; it changes with each heartbeat.
    package var heartbeat: String
}

/// A taint and when it was set.
package struct TimedTaint: Sendable, Hashable {
    package var taint: Taint
    /// nil: not told.
    package var since: Int64?

    package init(_ taint: Taint, since: Int64? = nil) {
        self.taint = taint
        self.since = since
    }

    package init(_ tree: JSON) {
        taint = Taint(tree)
        since = Timestamp.milliseconds(tree["timeAdded"]?.string ?? "")
    }

    package var tree: JSON {
        var tree: JSON = ["key": .string(taint.key), "effect": .string(taint.effect)]
        if !taint.value.isEmpty { tree["value"] = .string(taint.value) }
        if let since { tree["timeAdded"] = .string(Timestamp.seconds(since)) }
        return tree
    }
}

/// A node as the controllers see it.
package final class NodeView: Sendable {
    package let name: String
    package let uid: String
    package let resourceVersion: String
    package let labels: [String: String]
    package let taints: [TimedTaint]
    package let unschedulable: Bool
    package let podCIDRs: [String]
    package let conditions: [String: NodeCondition]
    package let createdAt: Int64

    package init(_ tree: JSON) {
        name = tree.name
        uid = tree.uid
        resourceVersion = tree.resourceVersion
        labels = tree.labels
        taints = (tree["spec", "taints"]?.elements ?? []).map { TimedTaint($0) }
        unschedulable = tree["spec", "unschedulable"]?.bool ?? false
        let ranges = (tree["spec", "podCIDRs"]?.elements ?? []).compactMap(\.string)
        podCIDRs = ranges.isEmpty ? [tree["spec", "podCIDR"]?.string].compactMap { $0 }.filter { !$0.isEmpty } : ranges
        var conditions: [String: NodeCondition] = [:]
        for condition in tree["status", "conditions"]?.elements ?? [] {
            conditions[condition["type"]?.string ?? ""] = NodeCondition(
                status: condition["status"]?.string ?? "Unknown", reason: condition["reason"]?.string ?? "",
                heartbeat: condition["lastHeartbeatTime"]?.string ?? "")
        }
        self.conditions = conditions
        createdAt = tree.createdAt
    }

    /// `True`, `False` or `Unknown`.
    package var ready: String { conditions["Ready"]?.status ?? "Unknown" }

    var reference: ObjectReference {
        ObjectReference(apiVersion: "v1", kind: "Node", namespace: "", name: name, uid: uid, resourceVersion: "")
    }
}

/// The lease by which a kubelet says that it lives.
package struct LeaseView: Sendable, Hashable {
    package var name: String
    package var uid: String
    package var renewTime: String

    package init(_ tree: JSON) {
        name = tree.name
        uid = tree.uid
        renewTime = tree["spec", "renewTime"]?.string ?? ""
    }
}
