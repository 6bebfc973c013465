// Kinds with little behaviour: ServiceAccount, Lease, PriorityClass, Event in both versions.
import API

package struct ServiceAccountKind: StoredKind {
    package init() {}
    package var deleteReturnsObject: Bool { true }
}

package struct LeaseKind: StoredKind {
    package init() {}
    package var createsOnUpdate: Bool { true }
    package var allowsUnconditionalUpdate: Bool { true }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let path: FieldPath = "spec"
        if let seconds = object["spec", "leaseDurationSeconds"]?.int, seconds <= 0 {
            issues.invalid(path["leaseDurationSeconds"], .int(seconds), "must be greater than 0")
        }
        if let count = object["spec", "leaseTransitions"]?.int, count < 0 {
            issues.invalid(path["leaseTransitions"], .int(count), "must be greater than or equal to 0")
        }
    }
}

package struct PriorityClassKind: StoredKind {
    package init() {}
    package var isNamespaced: Bool { false }
    package var hasGeneration: Bool { true }
    package static let userMax: Int64 = 1_000_000_000
    package static let system: [String: Int64] = [
        "system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000
    ]

    package func check(_ object: JSON, _ issues: inout Issues) {
        let value = object["value"]?.int ?? 0
        if object.name.hasPrefix("system-") {
            if Self.system[object.name] != value {
                let text =
                    "priority class names with 'system-' prefix are reserved for system use only. error: "
                    + "only system priority classes are allowed to have the prefix"
                issues.forbidden("metadata.name", text)
            }
        } else if value > Self.userMax {
            issues.forbidden("value", "maximum allowed value of a user defined priority is \(Self.userMax)")
        }
        issues.oneOf("preemptionPolicy", object["preemptionPolicy"], ["PreemptLowerPriority", "Never"])
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if new["value"]?.int ?? 0 != old["value"]?.int ?? 0 {
            issues.forbidden("value", "may not be changed in an update.")
        }
        if new["preemptionPolicy"] != old["preemptionPolicy"] {
            issues.forbidden("preemptionPolicy", "may not be changed in an update.")
        }
    }
}

/// Events of `v1` and `events.k8s.io/v1` are one and the same object.
package struct EventKind: StoredKind {
    package init() {}
    package var createsOnUpdate: Bool { true }

    /// Members that upstream always prints in the core version.
    package func fill(_ write: inout WriteRequest) {
        guard write.object.apiVersion == "v1" else { return }
        for member in ["reportingComponent", "reportingInstance"] where write.object[member] == nil {
            write.object[member] = ""
        }
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let isNew = object.apiVersion.hasPrefix("events.k8s.io/")
        let subject = object["involvedObject"] ?? object["regarding"] ?? [:]
        let member = object["involvedObject"] != nil || !isNew ? "involvedObject" : "regarding"
        let namespace = subject["namespace"]?.string ?? ""
        if namespace.isEmpty {
            if object.namespace != "default" && object.namespace != "kube-system" {
                issues.invalid(FieldPath(member)["namespace"], .string(namespace), "does not match event.namespace")
            }
        } else if namespace != object.namespace {
            issues.invalid(FieldPath(member)["namespace"], .string(namespace), "does not match event.namespace")
        }
        if isNew { checkNew(object, &issues) }
    }

    private func checkNew(_ object: JSON, _ issues: inout Issues) {
        if (object["eventTime"]?.string ?? "").isEmpty { issues.required("eventTime") }
        let type = object["type"]?.string ?? ""
        if type != "Normal" && type != "Warning" { issues.invalid("type", .string(type), "has invalid value: \(type)") }
        guard object["eventTime"]?.string != nil else { return }
        for member in ["reportingController", "reportingInstance", "action", "reason"]
        where (object[member]?.string ?? "").isEmpty {
            let shown = member == "reportingController" ? "reportingController" : member
            issues.required(FieldPath(shown))
        }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        guard new.apiVersion.hasPrefix("events.k8s.io/") else { return check(new, &issues) }
        for member in [
            "eventTime", "reportingController", "reportingInstance", "action", "reason", "regarding", "related", "note",
            "type"
        ] {
            issues.immutable(FieldPath(member), new[member], old[member])
        }
    }
}
