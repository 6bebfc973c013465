// What the workload kinds share: a selector that must match the template's labels, replicas, rolling updates, counts
// in the status.
import API

enum WorkloadValidation {
    /// `spec.selector` and `spec.template`; `kind` stands in upstream's text about an empty selector.
    static func selectorAndTemplate(_ spec: JSON, kind: String, isCreate: Bool, _ issues: inout Issues) {
        let path: FieldPath = "spec.selector"
        let selector = spec["selector"]
        if selector == nil || selector?.isNull == true {
            issues.required(path)
        } else {
            Selectors.check(selector, at: path, &issues)
            if Selectors.isEmpty(selector) { issues.invalid(path, selector, "empty selector is invalid for \(kind)") }
        }
        if selector != nil && !Selectors.isWellFormed(selector) {
            return issues.invalid(path, selector, "invalid label selector")
        }
        let labels = spec["template", "metadata", "labels"]
        if !Selectors.isEmpty(selector) || selector == nil, !MatchSelector(selector).matches(labels?.stringMap ?? [:]) {
            issues.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        }
        template(spec, owner: "ReplicaSet", isCreate: isCreate, &issues)
    }

    static func template(_ spec: JSON, owner: String, isCreate: Bool, _ issues: inout Issues) {
        PodSpecValidation.template(spec["template"], at: "spec.template", isCreate: isCreate, &issues)
        let policy = spec["template", "spec", "restartPolicy"]
        if let text = policy?.string, ["OnFailure", "Never"].contains(text) {
            issues.unsupported("spec.template.spec.restartPolicy", policy, ["Always"])
        }
        if spec["template", "spec", "activeDeadlineSeconds"]?.int != nil {
            issues.forbidden(
                "spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in \(owner) is not Supported")
        }
    }

    /// A whole number at or above zero, or a percentage.
    static func numberOrPercent(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        if let text = value?.string {
            if percent(text) == nil {
                let detail =
                    "a valid percent string must be a numeric string followed by an ending '%' "
                    + "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
                issues.invalid(path, .string(text), detail)
            }
        } else {
            issues.nonNegative(path, value)
        }
    }

    static func notAbove100Percent(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        if let text = value?.string, let number = percent(text), number > 100 {
            issues.invalid(path, .string(text), "must not be greater than 100%")
        }
    }

    static func percent(_ text: String) -> Int? {
        guard text.hasSuffix("%"), !text.dropLast().isEmpty, text.dropLast().utf8.allSatisfy(Names.isDigit) else {
            return nil
        }
        return Int(text.dropLast())
    }

    static func isZero(_ value: JSON?) -> Bool {
        if let text = value?.string { percent(text) == 0 } else { (value?.int ?? 0) == 0 }
    }

    /// Counts of a status: none negative, none above `status.replicas`.
    static func counts(_ status: JSON?, all: [String], bounded: [String], _ issues: inout Issues) {
        let path: FieldPath = "status"
        for member in all { issues.nonNegative(path[member], status?[member]) }
        let replicas = status?["replicas"]?.int ?? 0
        for member in bounded {
            if let count = status?[member]?.int, count > replicas {
                issues.invalid(path[member], .int(count), "cannot be greater than status.replicas")
            }
        }
        if let available = status?["availableReplicas"]?.int, available > status?["readyReplicas"]?.int ?? 0 {
            issues.invalid(path["availableReplicas"], .int(available), "cannot be greater than readyReplicas")
        }
    }
}
