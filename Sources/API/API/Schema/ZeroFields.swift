// Members that upstream writes although nobody set them: its types print a zero where the field is no optional one
// (`lastProbeTime: null`, `state: {}`). Typed clients read them, send them back and compare, so the same object must
// have them here. Never changes a value that is there.

enum ZeroFields {
    /// Adds what upstream always prints for this kind.
    static func fill(_ object: inout JSON, _ kind: GroupVersionKind) {
        switch (kind.group, kind.kind) {
        case ("", "Pod"): pod(&object)
        case ("", "Node"): conditions(&object, ["lastHeartbeatTime", "lastTransitionTime"])
        case ("", "Namespace"), ("", "ReplicationController"), ("apps", "ReplicaSet"), ("apps", "DaemonSet"):
            conditions(&object, ["lastTransitionTime"])
        case ("apps", "Deployment"): conditions(&object, ["lastUpdateTime", "lastTransitionTime"])
        case ("", "Event"):
            object.zero("source", [:])
            for name in ["firstTimestamp", "lastTimestamp", "eventTime"] { object.zero(name, .null) }
            for name in ["reportingComponent", "reportingInstance"] { object.zero(name, "") }
        case ("events.k8s.io", "Event"):
            object.zero("deprecatedSource", [:])
            for name in ["eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"] {
                object.zero(name, .null)
            }
        case ("rbac.authorization.k8s.io", "Role"), ("rbac.authorization.k8s.io", "ClusterRole"):
            object.zero("rules", .null)
        default: break
        }
    }

    private static func pod(_ object: inout JSON) {
        object.inside("status") { status in
            status.each("conditions") { condition in
                for name in ["lastProbeTime", "lastTransitionTime"] { condition.zero(name, .null) }
            }
            for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
                status.each(list) { container in
                    for name in ["state", "lastState"] { container.zero(name, [:]) }
                }
            }
        }
    }

    private static func conditions(_ object: inout JSON, _ times: [String]) {
        object.inside("status") { status in
            status.each("conditions") { condition in
                for name in times { condition.zero(name, .null) }
            }
        }
    }
}

extension JSON {
    /// Adds a member that is absent.
    fileprivate mutating func zero(_ key: String, _ value: JSON) {
        guard case .object(let object) = self, object[key] == nil else { return }
        self[key] = value
    }
}
