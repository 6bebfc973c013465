// DaemonSets, and the ControllerRevisions that their history is kept in.
import API

package struct DaemonSetKind: StoredKind {
    package init() {}
    package var hasStatus: Bool { true }
    package var hasGeneration: Bool { true }
    private static let generation = "deprecated.daemonset.template.generation"
    private static let counts = [
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"
    ]

    package func fill(_ write: inout WriteRequest) {
        write.object["metadata", "annotations", Self.generation] = "1"
        for count in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
            write.object["status", count] = 0
        }
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        let before = old.annotations[Self.generation].flatMap { Int64($0) } ?? 1
        let isChanged = write.object["spec", "template"] != old["spec", "template"]
        write.object["metadata", "annotations", Self.generation] = .string(String(isChanged ? before &+ 1 : before))
    }

    package func warnings(_ write: WriteRequest) -> [String] { PodWarnings.ofTemplate(write) }

    package func check(_ object: JSON, _ issues: inout Issues) { spec(object["spec"] ?? [:], isCreate: true, &issues) }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource == "status" {
            for member in Self.counts { issues.nonNegative(FieldPath("status")[member], new["status", member]) }
            return
        }
        spec(new["spec"] ?? [:], isCreate: false, &issues)
        issues.immutable("spec.selector", new["spec", "selector"], old["spec", "selector"])
    }

    private func spec(_ spec: JSON, isCreate: Bool, _ issues: inout Issues) {
        let selector = spec["selector"]
        Selectors.check(selector, at: "spec.selector", &issues)
        if selector == nil || selector?.isNull == true {
            issues.required("spec.selector")
        } else if Selectors.isEmpty(selector) {
            issues.invalid("spec.selector", selector, "empty selector is invalid for daemonset")
        }
        let labels = spec["template", "metadata", "labels"]
        if Selectors.isWellFormed(selector), !MatchSelector(selector).matches(labels?.stringMap ?? [:]) {
            issues.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        }
        WorkloadValidation.template(spec, owner: "DaemonSet", isCreate: isCreate, &issues)
        issues.nonNegative("spec.minReadySeconds", spec["minReadySeconds"])
        strategy(spec["updateStrategy"] ?? [:], &issues)
        issues.nonNegative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"])
    }

    private func strategy(_ strategy: JSON, _ issues: inout Issues) {
        switch strategy["type"]?.string ?? "" {
        case "OnDelete": break
        case "RollingUpdate": rolling(strategy["rollingUpdate"], &issues)
        case let other: issues.unsupported("spec.updateStrategy.type", .string(other), ["RollingUpdate", "OnDelete"])
        }
    }

    private func rolling(_ rolling: JSON?, _ issues: inout Issues) {
        let path: FieldPath = "spec.updateStrategy.rollingUpdate"
        guard let rolling, !rolling.isNull else { return issues.required(path, "") }
        for member in ["maxUnavailable", "maxSurge"] {
            WorkloadValidation.numberOrPercent(rolling[member], at: path[member], &issues)
            WorkloadValidation.notAbove100Percent(rolling[member], at: path[member], &issues)
        }
        let noUnavailable = WorkloadValidation.isZero(rolling["maxUnavailable"])
        let noSurge = WorkloadValidation.isZero(rolling["maxSurge"])
        if noUnavailable && noSurge { issues.required(path["maxUnavailable"], "cannot be 0 when maxSurge is 0") }
        if !noUnavailable && !noSurge {
            issues.invalid(path["maxSurge"], rolling["maxSurge"], "may not be set when maxUnavailable is non-zero")
        }
    }
}

package struct ControllerRevisionKind: StoredKind {
    package init() {}
    package func check(_ object: JSON, _ issues: inout Issues) {
        if object["data"] == nil || object["data"]?.isNull == true { issues.required("data", "data is mandatory") }
        issues.nonNegative("revision", object["revision"])
    }
    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        check(new, &issues)
        issues.immutable("data", new["data"], old["data"])
    }
}
