// Pods: what a new one starts with, what an update may change (nearly nothing), how long a delete waits.
// Binding, which is posted to a subresource, stands in Pod+Binding.swift.
import API
import KVCore

package struct PodKind: StoredKind {
    package init() {}
    package var hasStatus: Bool { true }
    package var hasGeneration: Bool { true }
    package var deleteReturnsObject: Bool { true }

    package func fill(_ write: inout WriteRequest) {
        var status: JSON = [
            "phase": "Pending", "qosClass": .string(QualityOfService.of(write.object["spec"]).rawValue)
        ]
        if !(write.object["spec", "schedulingGates"]?.elements ?? []).isEmpty {
            status["conditions"] = [
                [
                    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                    "lastProbeTime": nil, "lastTransitionTime": .string(Timestamp.text(write.now))
                ]
            ]
        }
        write.object["status"] = status
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        switch subresource {
        case "status":
            if write.object["status", "qosClass"] == nil {
                write.object["status", "qosClass"] = old["status", "qosClass"]
            }
        case "ephemeralcontainers":
            keepSpec(&write.object, old, except: "ephemeralContainers")
        case "resize":
            keepResources(&write.object, old)
        case "":
            write.object["spec", "ephemeralContainers"] = old["spec", "ephemeralContainers"]
        default: break
        }
    }

    private func keepSpec(_ object: inout JSON, _ old: JSON, except member: String) {
        let value = object["spec", member]
        object["spec"] = old["spec"]
        object["spec", member] = value
    }

    /// A resize changes the resources of containers and nothing else.
    private func keepResources(_ object: inout JSON, _ old: JSON) {
        let wanted = object["spec", "containers"]?.elements ?? []
        var containers = old["spec", "containers"]?.elements ?? []
        for i in containers.indices {
            guard let new = wanted.first(where: { $0["name"] == containers[i]["name"] }) else { continue }
            containers[i]["resources"] = new["resources"]
            if let policy = new["resizePolicy"] { containers[i]["resizePolicy"] = policy }
        }
        object["spec"] = old["spec"]
        object["spec", "containers"] = .array(containers)
    }

    /// A binding is no change of the pod's author.
    package func changesGeneration(_ new: JSON, _ old: JSON) -> Bool {
        var before = old["spec"] ?? [:]
        if (before["nodeName"]?.string ?? "").isEmpty { before["nodeName"] = new["spec", "nodeName"] }
        return (new["spec"] ?? [:]) != before
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let spec = object["spec"] ?? [:]
        mirror(object, &issues)
        PodSpecValidation().check(spec, at: "spec", &issues)
        if !(spec["ephemeralContainers"]?.elements ?? []).isEmpty {
            issues.forbidden("spec.ephemeralContainers", "cannot be set on create")
        }
    }

    private func mirror(_ object: JSON, _ issues: inout Issues) {
        guard let mark = object.annotations["kubernetes.io/config.mirror"],
            (object["spec", "nodeName"]?.string ?? "").isEmpty
        else { return }
        let path: FieldPath = "metadata.annotations[kubernetes.io/config.mirror]"
        issues.invalid(path, .string(mark), "must set spec.nodeName if mirror pod annotation is set")
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        switch subresource {
        case "": PodUpdateValidation.check(new, old, &issues)
        case "ephemeralcontainers": ephemeral(new, old, &issues)
        case "resize": PodUpdateValidation.resize(new, old, &issues)
        case "status": status(new, &issues)
        default: break
        }
    }

    private func ephemeral(_ new: JSON, _ old: JSON, _ issues: inout Issues) {
        PodSpecValidation(isCreate: false).check(new["spec"] ?? [:], at: "spec", &issues)
        let wanted = new["spec", "ephemeralContainers"]?.elements ?? []
        for container in old["spec", "ephemeralContainers"]?.elements ?? [] {
            let name = Go.quote(container["name"]?.string ?? "")
            guard let same = wanted.first(where: { $0["name"] == container["name"] }) else {
                issues.forbidden(
                    "spec.ephemeralContainers", "existing ephemeral containers \(name) may not be removed\n")
                continue
            }
            if same != container {
                issues.forbidden(
                    "spec.ephemeralContainers", "existing ephemeral containers \(name) may not be changed\n")
            }
        }
    }

    private func status(_ new: JSON, _ issues: inout Issues) {
        for (i, address) in (new["status", "podIPs"]?.elements ?? []).enumerated() {
            let text = address["ip"]?.string ?? ""
            if !Names.isAddress(text) {
                issues.invalid(FieldPath("status.podIPs")[i], .string(text), Names.addressText)
            }
        }
    }

    package func graceSeconds(_ object: JSON, requested: Int?) -> Int {
        let spec = object["spec"] ?? [:]
        let phase = object["status", "phase"]?.string ?? ""
        if (spec["nodeName"]?.string ?? "").isEmpty || phase == "Succeeded" || phase == "Failed" { return 0 }
        let period = requested ?? Int(clamping: spec["terminationGracePeriodSeconds"]?.int ?? 30)
        return period < 0 ? 1 : period
    }

    package func warnings(_ write: WriteRequest) -> [String] {
        write.old == nil ? PodWarnings.of(write.object, at: .root) : []
    }
}

/// How much of its limits a pod is promised.
package enum QualityOfService: String, Sendable {
    case guaranteed = "Guaranteed"
    case burstable = "Burstable"
    case bestEffort = "BestEffort"

    package static func of(_ spec: JSON?) -> QualityOfService {
        let containers = ["containers", "initContainers"].flatMap { spec?[$0]?.elements ?? [] }
        var isEmpty = true
        var isGuaranteed = true
        for container in containers {
            let requests = values(container["resources", "requests"])
            let limits = values(container["resources", "limits"])
            if !requests.isEmpty || !limits.isEmpty { isEmpty = false }
            for name in ["cpu", "memory"] where limits[name] == nil || (requests[name] ?? limits[name]) != limits[name]
            { isGuaranteed = false }
        }
        return isEmpty ? .bestEffort : isGuaranteed ? .guaranteed : .burstable
    }

    private static func values(_ list: JSON?) -> [String: Quantity] {
        var values: [String: Quantity] = [:]
        for name in ["cpu", "memory"] {
            if let value = list?[name], let quantity = Quantity(value), !quantity.isZero { values[name] = quantity }
        }
        return values
    }
}
