// What an update of a pod may change: images, the deadline, more tolerations, fewer scheduling gates; a resize:
// resources.
import API

enum PodUpdateValidation {
    private static let text =
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        + "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        + "`spec.terminationGracePeriodSeconds` "
        + "(allow it to be set to 1 if it was previously negative)"

    static func check(_ new: JSON, _ old: JSON, _ issues: inout Issues) {
        let spec = new["spec"] ?? [:]
        let before = old["spec"] ?? [:]
        if spec == before { return }
        var stop = false
        for member in ["containers", "initContainers"] {
            let path = FieldPath("spec")[member]
            let wanted = spec[member]?.elements ?? []
            let had = before[member]?.elements ?? []
            if wanted.count != had.count {
                issues.forbidden(path, "pod updates may not add or remove containers")
                stop = true
            }
            for (i, container) in wanted.enumerated() { image(container, at: path[i], &issues) }
        }
        if stop { return }
        deadline(spec["activeDeadlineSeconds"]?.int, before["activeDeadlineSeconds"]?.int, &issues)
        tolerations(spec["tolerations"], before["tolerations"], &issues)
        gates(spec["schedulingGates"], before["schedulingGates"], &issues)
        if masked(spec, from: before) != before { issues.forbidden("spec", text + "\n") }
    }

    private static func image(_ container: JSON, at path: FieldPath, _ issues: inout Issues) {
        let image = container["image"]?.string ?? ""
        if image.isEmpty {
            issues.required(path["image"])
        } else if image.first?.isWhitespace == true || image.last?.isWhitespace == true {
            issues.invalid(path["image"], .string(image), "must not have leading or trailing whitespace")
        }
    }

    private static func deadline(_ new: Int64?, _ old: Int64?, _ issues: inout Issues) {
        let path: FieldPath = "spec.activeDeadlineSeconds"
        if let new, new < 0 || new > 2_147_483_647 {
            issues.invalid(path, .int(new), "must be between 0 and 2147483647, inclusive")
        } else if let new, let old, new > old {
            issues.invalid(path, .int(new), "must be less than or equal to previous value")
        } else if new == nil, old != nil {
            issues.invalid(path, .null, "must not update from a positive integer to nil value")
        }
    }

    private static func tolerations(_ new: JSON?, _ old: JSON?, _ issues: inout Issues) {
        func bare(_ toleration: JSON) -> JSON {
            var copy = toleration
            copy["tolerationSeconds"] = nil
            return copy
        }
        let wanted = (new?.elements ?? []).map(bare)
        for toleration in old?.elements ?? [] where !wanted.contains(bare(toleration)) {
            issues.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
            return
        }
        TolerationValidation.check(new, at: "spec.tolerations", &issues)
    }

    private static func gates(_ new: JSON?, _ old: JSON?, _ issues: inout Issues) {
        let had = Set((old?.elements ?? []).compactMap { $0["name"]?.string })
        let added = (new?.elements ?? []).compactMap { $0["name"]?.string }.filter { !had.contains($0) }
        if !added.isEmpty {
            let names = "[\(added.joined(separator: " "))]"
            issues.forbidden(
                "spec.schedulingGates", "only deletion is allowed, but found new scheduling gates '\(names)'")
        }
    }

    /// The new spec with everything that may change put back.
    private static func masked(_ new: JSON, from old: JSON) -> JSON {
        var spec = new
        for member in ["containers", "initContainers"] {
            guard var containers = spec[member]?.array, let had = old[member]?.array, containers.count == had.count
            else { continue }
            for i in containers.indices { containers[i]["image"] = had[i]["image"] }
            spec[member] = .array(containers)
        }
        for member in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] { spec[member] = old[member] }
        if let period = old["terminationGracePeriodSeconds"]?.int, period < 0,
            spec["terminationGracePeriodSeconds"]?.int == 1
        {
            spec["terminationGracePeriodSeconds"] = .int(period)
        }
        if !(old["schedulingGates"]?.elements ?? []).isEmpty {
            for member in ["nodeSelector", "affinity"] { spec[member] = old[member] }
        }
        return spec
    }

    static func resize(_ new: JSON, _ old: JSON, _ issues: inout Issues) {
        let before = QualityOfService.of(old["spec"])
        for (i, container) in (new["spec", "containers"]?.elements ?? []).enumerated() {
            ResourceValidation.check(container["resources"], at: FieldPath("spec.containers")[i]["resources"], &issues)
        }
        if QualityOfService.of(new["spec"]) != before {
            issues.invalid("spec", .string(before.rawValue), "Pod QOS Class may not change as a result of resizing")
        }
    }
}
