// Roles, ClusterRoles and their bindings. Whether the author may grant what they grant is decided in
// Authorization/Escalation.swift.
import API

package struct RoleKind: StoredKind {
    package var isNamespaced: Bool
    package init(isNamespaced: Bool) { self.isNamespaced = isNamespaced }
    package var names: NameRule { .pathSegment }
    package var createsOnUpdate: Bool { true }

    package func check(_ object: JSON, _ issues: inout Issues) {
        for (i, rule) in (object["rules"]?.elements ?? []).enumerated() {
            self.rule(rule, at: FieldPath("rules")[i], &issues)
        }
        let selectors = object["aggregationRule", "clusterRoleSelectors"]
        guard !isNamespaced, let rule = object["aggregationRule"], !rule.isNull else { return }
        let path: FieldPath = "aggregationRule.clusterRoleSelectors"
        if (selectors?.elements ?? []).isEmpty {
            issues.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        }
        for (i, selector) in (selectors?.elements ?? []).enumerated() {
            Selectors.check(selector, at: path[i], &issues)
        }
    }

    private func rule(_ rule: JSON, at path: FieldPath, _ issues: inout Issues) {
        func isEmpty(_ member: String) -> Bool { (rule[member]?.elements ?? []).isEmpty }
        if isEmpty("verbs") { issues.required(path["verbs"], "verbs must contain at least one value") }
        if !isEmpty("nonResourceURLs") {
            if isNamespaced {
                issues.invalid(
                    path["nonResourceURLs"], rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs")
            }
            if !isEmpty("apiGroups") || !isEmpty("resources") || !isEmpty("resourceNames") {
                issues.invalid(
                    path["nonResourceURLs"], rule["nonResourceURLs"],
                    "rules cannot apply to both regular resources and non-resource URLs")
            }
            return
        }
        if isEmpty("apiGroups") {
            issues.required(path["apiGroups"], "resource rules must supply at least one api group")
        }
        if isEmpty("resources") {
            issues.required(path["resources"], "resource rules must supply at least one resource")
        }
    }
}

package struct RoleBindingKind: StoredKind {
    package var isNamespaced: Bool
    package init(isNamespaced: Bool) { self.isNamespaced = isNamespaced }
    package var names: NameRule { .pathSegment }
    package var createsOnUpdate: Bool { true }
    private static let group = "rbac.authorization.k8s.io"

    package func prepareForCreate(_ write: inout WriteRequest) { defaults(&write.object) }
    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) { defaults(&write.object) }

    private func defaults(_ object: inout JSON) {
        if (object["roleRef", "apiGroup"]?.string ?? "").isEmpty, object["roleRef"] != nil {
            object["roleRef", "apiGroup"] = .string(Self.group)
        }
        guard var subjects = object["subjects"]?.array else { return }
        for i in subjects.indices
        where (subjects[i]["apiGroup"]?.string ?? "").isEmpty && ["User", "Group"].contains(subjects[i].kind) {
            subjects[i]["apiGroup"] = .string(Self.group)
        }
        object["subjects"] = .array(subjects)
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let reference = object["roleRef"] ?? [:]
        let path: FieldPath = "roleRef"
        let group = reference["apiGroup"]?.string ?? ""
        if group != Self.group { issues.unsupported(path["apiGroup"], .string(group), [Self.group]) }
        let kinds = isNamespaced ? ["Role", "ClusterRole"] : ["ClusterRole"]
        if !kinds.contains(reference.kind) { issues.unsupported(path["kind"], .string(reference.kind), kinds) }
        let name = reference["name"]?.string ?? ""
        if name.isEmpty {
            issues.required(path["name"])
        } else {
            issues.invalid(path["name"], .string(name), Names.pathSegment(name))
        }
        for (i, subject) in (object["subjects"]?.elements ?? []).enumerated() {
            self.subject(subject, at: FieldPath("subjects")[i], &issues)
        }
    }

    private func subject(_ subject: JSON, at path: FieldPath, _ issues: inout Issues) {
        let name = subject["name"]?.string ?? ""
        let group = subject["apiGroup"]?.string ?? ""
        if name.isEmpty { issues.required(path["name"]) }
        switch subject.kind {
        case "ServiceAccount":
            if !name.isEmpty { issues.invalid(path["name"], .string(name), Names.dnsSubdomain(name)) }
            if !group.isEmpty { issues.unsupported(path["apiGroup"], .string(group), [""]) }
            if !isNamespaced && (subject["namespace"]?.string ?? "").isEmpty { issues.required(path["namespace"]) }
        case "User", "Group":
            if group != Self.group { issues.unsupported(path["apiGroup"], .string(group), [Self.group]) }
        default: issues.unsupported(path["kind"], .string(subject.kind), ["ServiceAccount", "User", "Group"])
        }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        check(new, &issues)
        guard new["roleRef"] != old["roleRef"] else { return }
        let reference = new["roleRef"]
        let shown: JSON = [
            "APIGroup": reference?["apiGroup"] ?? "", "Kind": reference?["kind"] ?? "",
            "Name": reference?["name"] ?? ""
        ]
        issues.invalid("roleRef", shown, "cannot change roleRef")
    }
}
