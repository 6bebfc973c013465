// Security contexts of pods and containers.
import API

enum SecurityValidation {
    private static let idMax: Int64 = 2_147_483_647

    static func pod(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        let context = spec["securityContext"]
        let here = path["securityContext"]
        for member in ["fsGroup", "runAsUser", "runAsGroup"] { id(context?[member], at: here[member], &issues) }
        for (i, group) in (context?["supplementalGroups"]?.elements ?? []).enumerated() {
            id(group, at: here["supplementalGroups"][i], &issues)
        }
        if spec["shareProcessNamespace"]?.bool == true && spec["hostPID"]?.bool == true {
            issues.invalid(
                here["shareProcessNamespace"], .bool(true), "ShareProcessNamespace and HostPID cannot both be enabled")
        }
        sysctls(context?["sysctls"], at: here["sysctls"], &issues)
        issues.oneOf(here["fsGroupChangePolicy"], context?["fsGroupChangePolicy"], ["Always", "OnRootMismatch"])
        seccomp(context?["seccompProfile"], at: here["seccompProfile"], &issues)
    }

    private static func id(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        guard let number = value?.int, number < 0 || number > idMax else { return }
        issues.invalid(path, .int(number), "must be between 0 and \(idMax), inclusive")
    }

    private static func sysctls(_ list: JSON?, at path: FieldPath, _ issues: inout Issues) {
        var seen = Set<String>()
        let pattern = #"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#
        for (i, sysctl) in (list?.elements ?? []).enumerated() {
            let name = sysctl["name"]?.string ?? ""
            if name.isEmpty {
                issues.required(path[i]["name"])
            } else if !isSysctl(name) {
                issues.invalid(
                    path[i]["name"], .string(name), "must have at most 253 characters and match regex \(pattern)")
            } else if !seen.insert(name).inserted {
                issues.duplicate(path[i]["name"], .string(name))
            }
        }
    }

    private static func isSysctl(_ name: String) -> Bool {
        guard name.utf8.count <= 253 else { return false }
        return name.split(omittingEmptySubsequences: false) { $0 == "." || $0 == "/" }.allSatisfy { part in
            guard let first = part.utf8.first, let last = part.utf8.last else { return false }
            let isLetter: (UInt8) -> Bool = { ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) }
            return isLetter(first) && isLetter(last) && part.utf8.allSatisfy { isLetter($0) || $0 == 45 || $0 == 95 }
        }
    }

    private static func seccomp(_ profile: JSON?, at path: FieldPath, _ issues: inout Issues) {
        guard let profile, !profile.isNull else { return }
        let type = profile["type"]?.string ?? ""
        if type.isEmpty { return issues.required(path["type"], "type is required when seccompProfile is set") }
        issues.oneOf(path["type"], profile["type"], ["Localhost", "RuntimeDefault", "Unconfined"])
        let file = profile["localhostProfile"]?.string ?? ""
        if type == "Localhost" && file.isEmpty {
            issues.required(path["localhostProfile"], "must be set when seccomp type is Localhost")
        }
        if type != "Localhost" && !file.isEmpty {
            issues.invalid(path["localhostProfile"], .string(file), "can only be set when seccomp type is Localhost")
        }
    }

    static func container(_ context: JSON?, at path: FieldPath, _ issues: inout Issues) {
        guard let context, !context.isNull else { return }
        for member in ["runAsUser", "runAsGroup"] { id(context[member], at: path[member], &issues) }
        issues.oneOf(path["procMount"], context["procMount"], ["Default", "Unmasked"])
        seccomp(context["seccompProfile"], at: path["seccompProfile"], &issues)
        guard context["allowPrivilegeEscalation"]?.bool == false else { return }
        if context["privileged"]?.bool == true {
            issues.invalid(
                path, printed(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        }
        let added = context["capabilities", "add"]?.elements.compactMap(\.string) ?? []
        if added.contains("CAP_SYS_ADMIN") {
            let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            issues.invalid(path, printed(context), text)
        }
    }

    /// The context as upstream prints it: every member, with the names of its Go structure.
    private static func printed(_ context: JSON) -> JSON {
        let members = [
            "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
            "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile"
        ]
        return .object(
            JSONObject(
                uniqueMembers: members.map { name in
                    let shown =
                        name == "seLinuxOptions" ? "SELinuxOptions" : name.prefix(1).uppercased() + name.dropFirst()
                    return .init(key: shown, value: context[name] ?? .null)
                }))
    }
}
