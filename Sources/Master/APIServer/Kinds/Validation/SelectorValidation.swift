// Label selectors inside objects (`matchLabels`, `matchExpressions`): validation, and whether a set of labels matches.
import API

enum Selectors {
    static func check(_ selector: JSON?, at path: FieldPath, _ issues: inout Issues) {
        Metadata.labels(selector?["matchLabels"], at: path["matchLabels"], &issues)
        for (i, requirement) in (selector?["matchExpressions"]?.elements ?? []).enumerated() {
            checkRequirement(requirement, at: path["matchExpressions"][i], &issues)
        }
    }

    private static func checkRequirement(_ requirement: JSON, at path: FieldPath, _ issues: inout Issues) {
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
        case let other:
            issues.invalid(path["operator"], .string(other), "not a valid selector operator")
        }
        let key = requirement["key"]?.string ?? ""
        issues.invalid(path["key"], .string(key), Names.qualifiedName(key))
        for (i, value) in values.enumerated() {
            issues.invalid(path["values"][i], value, Names.labelValue(value.string ?? ""))
        }
    }

    static func isWellFormed(_ selector: JSON?) -> Bool {
        var issues = Issues()
        check(selector, at: .root, &issues)
        return issues.isEmpty
    }

    static func isEmpty(_ selector: JSON?) -> Bool {
        (selector?["matchLabels"]?.object?.isEmpty ?? true) && (selector?["matchExpressions"]?.elements.isEmpty ?? true)
    }

    /// Whether `labels` match; an absent selector matches nothing, an empty one everything.
    static func matches(_ selector: JSON?, _ labels: [String: String]) -> Bool {
        guard let selector, !selector.isNull else { return false }
        let wanted = selector["matchLabels"]?.stringMap ?? [:]
        guard wanted.allSatisfy({ labels[$0.key] == $0.value }) else { return false }
        return (selector["matchExpressions"]?.elements ?? []).allSatisfy { requirement in
            let value = labels[requirement["key"]?.string ?? ""]
            let values = requirement["values"]?.elements.compactMap(\.string) ?? []
            return switch requirement["operator"]?.string {
            case "In": value.map(values.contains) ?? false
            case "NotIn": value.map { !values.contains($0) } ?? true
            case "Exists": value != nil
            case "DoesNotExist": value == nil
            default: false
            }
        }
    }
}
