// Label selectors inside objects (`matchLabels`, `matchExpressions`): validation.
import API

enum Selectors {
    static func check(_ selector: JSON?, at path: FieldPath, _ issues: inout Issues) {
        Metadata.labels(selector?["matchLabels"], at: path["matchLabels"], &issues)
        for (i, requirement) in (selector?["matchExpressions"]?.elements ?? []).enumerated() {
            let here = path["matchExpressions"][i]
            checkRequirement(requirement, at: here, isOrdered: false, &issues)
            for (j, value) in (requirement["values"]?.elements ?? []).enumerated() {
                issues.invalid(here["values"][j], value, Names.labelValue(value.string ?? ""))
            }
        }
    }

    /// One requirement of a label selector or, with the operators `Gt` and `Lt`, of a node selector.
    static func checkRequirement(
        _ requirement: JSON, at path: FieldPath, isOrdered: Bool, _ issues: inout Issues
    ) {
        let values = requirement["values"]?.elements ?? []
        switch requirement["operator"]?.string ?? "" {
        case "In", "NotIn":
            if values.isEmpty {
                issues.required(path["values"], "must be specified when `operator` is 'In' or 'NotIn'")
            }
        case "Exists", "DoesNotExist":
            if !values.isEmpty {
                issues.forbidden(path["values"], "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            }
        case "Gt" where isOrdered, "Lt" where isOrdered:
            if values.count != 1 {
                issues.required(path["values"], "must be specified single value when `operator` is 'Lt' or 'Gt'")
            }
        case let other:
            issues.invalid(path["operator"], .string(other), "not a valid selector operator")
        }
        let key = requirement["key"]?.string ?? ""
        issues.invalid(path["key"], .string(key), Names.qualifiedName(key))
    }

    static func isWellFormed(_ selector: JSON?) -> Bool {
        var issues = Issues()
        check(selector, at: .root, &issues)
        return issues.isEmpty
    }

    static func isEmpty(_ selector: JSON?) -> Bool {
        (selector?["matchLabels"]?.object?.isEmpty ?? true) && (selector?["matchExpressions"]?.elements.isEmpty ?? true)
    }
}
