// Deployments.
import API

package struct DeploymentKind: StoredKind {
    package init() {}
    package var hasStatus: Bool { true }
    package var hasGeneration: Bool { true }

    /// Upstream counts a change of annotations too, since rollouts are recorded in them.
    package func changesGeneration(_ new: JSON, _ old: JSON) -> Bool {
        new["spec"] != old["spec"] || new.annotations != old.annotations
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        if subresource == "status" { write.object["metadata", "labels"] = old["metadata", "labels"] }
    }

    package func warnings(_ write: WriteRequest) -> [String] { PodWarnings.ofTemplate(write) }

    package func check(_ object: JSON, _ issues: inout Issues) { spec(object["spec"] ?? [:], isCreate: true, &issues) }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource == "status" {
            let all = [
                "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                "unavailableReplicas", "collisionCount"
            ]
            return WorkloadValidation.counts(
                new["status"], all: all, bounded: ["updatedReplicas", "readyReplicas", "availableReplicas"], &issues)
        }
        spec(new["spec"] ?? [:], isCreate: false, &issues)
        issues.immutable("spec.selector", new["spec", "selector"], old["spec", "selector"])
    }

    private func spec(_ spec: JSON, isCreate: Bool, _ issues: inout Issues) {
        issues.nonNegative("spec.replicas", spec["replicas"])
        WorkloadValidation.selectorAndTemplate(spec, kind: "deployment", isCreate: isCreate, &issues)
        strategy(spec["strategy"] ?? [:], &issues)
        issues.nonNegative("spec.minReadySeconds", spec["minReadySeconds"])
        issues.nonNegative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"])
        guard let deadline = spec["progressDeadlineSeconds"]?.int else { return }
        issues.nonNegative("spec.progressDeadlineSeconds", .int(deadline))
        if deadline <= spec["minReadySeconds"]?.int ?? 0 {
            issues.invalid("spec.progressDeadlineSeconds", .int(deadline), "must be greater than minReadySeconds")
        }
    }

    private func strategy(_ strategy: JSON, _ issues: inout Issues) {
        let rolling = strategy["rollingUpdate"]
        switch strategy["type"]?.string ?? "" {
        case "Recreate":
            if rolling != nil && rolling?.isNull != true {
                issues.forbidden(
                    "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
            }
        case "RollingUpdate": self.rolling(rolling, &issues)
        case let other:
            let shown: JSON = ["Type": .string(other), "RollingUpdate": rolling ?? .null]
            issues.unsupported("spec.strategy", shown, ["Recreate", "RollingUpdate"])
        }
    }

    private func rolling(_ rolling: JSON?, _ issues: inout Issues) {
        let path: FieldPath = "spec.strategy.rollingUpdate"
        guard let rolling, !rolling.isNull else {
            return issues.required(path, "this should be defaulted and never be nil")
        }
        WorkloadValidation.numberOrPercent(rolling["maxUnavailable"], at: path["maxUnavailable"], &issues)
        WorkloadValidation.numberOrPercent(rolling["maxSurge"], at: path["maxSurge"], &issues)
        if WorkloadValidation.isZero(rolling["maxUnavailable"]) && WorkloadValidation.isZero(rolling["maxSurge"]) {
            issues.invalid(path["maxUnavailable"], rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0")
        }
        WorkloadValidation.notAbove100Percent(rolling["maxUnavailable"], at: path["maxUnavailable"], &issues)
    }
}
