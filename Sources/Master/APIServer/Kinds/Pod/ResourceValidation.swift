// Requests and limits: names, signs, whole numbers where they must be, requests not above limits.
import API

enum ResourceValidation {
    private static let standard: Set<String> = ["cpu", "memory", "ephemeral-storage", "storage"]

    static func check(_ resources: JSON?, at path: FieldPath, _ issues: inout Issues) {
        let limits = resources?["limits"]
        let requests = resources?["requests"]
        for (name, value) in sorted(limits) { quantity(name, value, at: path["limits"].key(name), &issues) }
        for (name, value) in sorted(requests) {
            quantity(name, value, at: path["requests"].key(name), &issues)
            compare(name, value, limit: limits?[name], at: path, &issues)
        }
    }

    private static func sorted(_ list: JSON?) -> [(String, JSON)] {
        (list?.object?.members ?? []).map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
    }

    static func isOvercommitable(_ name: String) -> Bool {
        !name.hasPrefix("hugepages-") && (!name.contains("/") || name.hasPrefix("kubernetes.io/"))
    }

    private static func quantity(_ name: String, _ value: JSON, at path: FieldPath, _ issues: inout Issues) {
        let problems = Names.qualifiedName(name)
        issues.invalid(path, .string(name), problems)
        if problems.isEmpty && !name.contains("/") && !standard.contains(name) && !name.hasPrefix("hugepages-") {
            issues.invalid(path, .string(name), "must be a standard resource for containers")
            issues.invalid(path, .string(name), "must be a standard resource type or fully qualified")
        }
        guard let quantity = Quantity(value) else { return }
        if quantity.isNegative { issues.invalid(path, value, "must be greater than or equal to 0") }
        if !isOvercommitable(name) && !quantity.isWhole { issues.invalid(path, value, "must be an integer") }
    }

    private static func compare(
        _ name: String, _ request: JSON, limit: JSON?, at path: FieldPath, _ issues: inout Issues
    ) {
        guard let limit else {
            if !isOvercommitable(name) {
                issues.required(path["limits"], "Limit must be set for non overcommitable resources")
            }
            return
        }
        guard let wanted = Quantity(request), let most = Quantity(limit) else { return }
        if !isOvercommitable(name) && wanted != most {
            issues.invalid(path["requests"], request, "must be equal to \(name) limit of \(limit.string ?? "")")
        } else if most < wanted {
            issues.invalid(
                path["requests"], request, "must be less than or equal to \(name) limit of \(limit.string ?? "")")
        }
    }
}
