// Node affinity, pod affinity and anti-affinity, topology spread.
import API

enum AffinityValidation {
    static func check(_ affinity: JSON?, at path: FieldPath, _ issues: inout Issues) {
        node(affinity?["nodeAffinity"], at: path["nodeAffinity"], &issues)
        for member in ["podAffinity", "podAntiAffinity"] { pod(affinity?[member], at: path[member], &issues) }
    }

    private static func node(_ affinity: JSON?, at path: FieldPath, _ issues: inout Issues) {
        if let required = affinity?["requiredDuringSchedulingIgnoredDuringExecution"], !required.isNull {
            let terms = path["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            let list = required["nodeSelectorTerms"]?.elements ?? []
            if list.isEmpty { issues.required(terms, "must have at least one node selector term") }
            for (i, term) in list.enumerated() { nodeTerm(term, at: terms[i], &issues) }
        }
        let preferred = path["preferredDuringSchedulingIgnoredDuringExecution"]
        for (i, weighted) in (affinity?["preferredDuringSchedulingIgnoredDuringExecution"]?.elements ?? []).enumerated()
        {
            weight(weighted, at: preferred[i], &issues)
            nodeTerm(weighted["preference"] ?? [:], at: preferred[i]["preference"], &issues)
        }
    }

    static func nodeTerm(_ term: JSON, at path: FieldPath, _ issues: inout Issues) {
        for (i, requirement) in (term["matchExpressions"]?.elements ?? []).enumerated() {
            Selectors.checkRequirement(requirement, at: path["matchExpressions"][i], isOrdered: true, &issues)
        }
        for (i, requirement) in (term["matchFields"]?.elements ?? []).enumerated() {
            let key = requirement["key"]?.string ?? ""
            if key != "metadata.name" {
                issues.invalid(path["matchFields"][i]["key"], .string(key), "not a valid field selector key")
            }
        }
    }

    private static func weight(_ weighted: JSON, at path: FieldPath, _ issues: inout Issues) {
        let weight = weighted["weight"]?.int ?? 0
        if weight < 1 || weight > 100 { issues.invalid(path["weight"], .int(weight), "must be in the range 1-100") }
    }

    private static func pod(_ affinity: JSON?, at path: FieldPath, _ issues: inout Issues) {
        let required = "requiredDuringSchedulingIgnoredDuringExecution"
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution"
        for (i, term) in (affinity?[required]?.elements ?? []).enumerated() {
            podTerm(term, at: path[required][i], &issues)
        }
        for (i, weighted) in (affinity?[preferred]?.elements ?? []).enumerated() {
            weight(weighted, at: path[preferred][i], &issues)
            podTerm(weighted["podAffinityTerm"] ?? [:], at: path[preferred][i]["podAffinityTerm"], &issues)
        }
    }

    private static func podTerm(_ term: JSON, at path: FieldPath, _ issues: inout Issues) {
        for member in ["labelSelector", "namespaceSelector"] {
            Selectors.check(term[member], at: path[member], &issues)
        }
        for name in (term["namespaces"]?.elements ?? []) {
            issues.invalid(path["namespace"], name, Names.label(name.string ?? ""))
        }
        let key = term["topologyKey"]?.string ?? ""
        if key.isEmpty { issues.required(path["topologyKey"], "can not be empty") }
        issues.invalid(path["topologyKey"], .string(key), Names.qualifiedName(key))
    }

    static func spread(_ constraints: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for (i, constraint) in (constraints?.elements ?? []).enumerated() {
            let skew = constraint["maxSkew"]?.int ?? 0
            if skew <= 0 { issues.invalid(path[i]["maxSkew"], .int(skew), "must be greater than zero") }
            let key = constraint["topologyKey"]?.string ?? ""
            if key.isEmpty {
                issues.required(path[i]["topologyKey"], "can not be empty")
            } else {
                issues.invalid(path[i]["topologyKey"], .string(key), Names.qualifiedName(key))
            }
            issues.oneOf(
                path[i]["whenUnsatisfiable"], constraint["whenUnsatisfiable"] ?? "",
                ["DoNotSchedule", "ScheduleAnyway"])
            if let domains = constraint["minDomains"]?.int, domains <= 0 {
                issues.invalid(path[i]["minDomains"], .int(domains), "must be greater than 0")
            }
            Selectors.check(constraint["labelSelector"], at: path[i]["labelSelector"], &issues)
        }
    }
}
