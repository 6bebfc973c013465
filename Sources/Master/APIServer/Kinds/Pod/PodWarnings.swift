// Warnings for what a pod or a template asks and probably does not mean: accepted, and said with upstream's words. Pure.
import API

/// Warnings for what is accepted and probably not meant.
enum PodWarnings {
    /// Of a pod, or of a workload's template at `root`.
    static func of(_ pod: JSON, at root: FieldPath) -> [String] {
        let spec = pod["spec"] ?? [:]
        let path = root["spec"]
        var warnings =
            nodeSelector(spec, at: path) + annotations(pod, at: root, ["scheduler.alpha.kubernetes.io/critical-pod"])
        warnings += volumes(spec, at: path) + hostAliases(spec, at: path)
        for member in ["initContainers", "containers"] {
            for (i, container) in (spec[member]?.elements ?? []).enumerated() {
                let here = path[member][i]
                warnings += environment(container, at: here) + ports(container, at: here) + memory(container, at: here)
            }
        }
        return warnings + annotations(pod, at: root, pod.annotations.keys.sorted().filter { $0.contains("seccomp") })
    }

    /// Of a workload whose template is new or changed.
    static func ofTemplate(_ write: WriteRequest) -> [String] {
        let template = write.object["spec", "template"]
        guard let template, template != write.old?["spec", "template"] else { return [] }
        return of(template, at: "spec.template")
    }

    private static let oldLabels: [String: (since: String, instead: String)] = [
        "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
        "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type")
    ]

    private static func nodeSelector(_ spec: JSON, at path: FieldPath) -> [String] {
        (spec["nodeSelector"]?.stringMap.keys.sorted() ?? []).compactMap { label in
            guard let old = oldLabels[label] else { return nil }
            return
                "\(path["nodeSelector"].key(label).text): deprecated since \(old.since); "
                + "use \(Go.quote(old.instead)) instead"
        }
    }

    private static func annotations(_ pod: JSON, at root: FieldPath, _ names: [String]) -> [String] {
        names.filter { pod.annotations[$0] != nil }.compactMap { name in
            let place = root["metadata"]["annotations"].key(name).text
            if name == "scheduler.alpha.kubernetes.io/critical-pod" {
                return "\(place): non-functional in v1.16+; use the \"priorityClassName\" field instead"
            }
            let isPod = name == "seccomp.security.alpha.kubernetes.io/pod"
            guard isPod || name.hasPrefix("container.seccomp.security.alpha.kubernetes.io/") else { return nil }
            return "\(place): non-functional in v1.27+; use the \"seccompProfile\" field instead"
        }
    }

    private static func volumes(_ spec: JSON, at path: FieldPath) -> [String] {
        (spec["volumes"]?.elements ?? []).enumerated().compactMap { i, volume in
            guard volume["gitRepo"] != nil else { return nil }
            return "\(path["volumes"][i]["gitRepo"].text): deprecated in v1.11, and disabled by default in v1.33+"
        }
    }

    private static func hostAliases(_ spec: JSON, at path: FieldPath) -> [String] {
        var seen = Set<String>()
        return (spec["hostAliases"]?.elements ?? []).enumerated().compactMap { i, alias in
            let address = alias["ip"]?.string ?? ""
            if seen.insert(address).inserted { return nil }
            return "\(path["hostAliases"][i]["ip"].text): duplicate ip \(Go.quote(address))"
        }
    }

    private static func environment(_ container: JSON, at path: FieldPath) -> [String] {
        var seen = Set<String>()
        return (container["env"]?.elements ?? []).enumerated().compactMap { i, variable in
            let name = variable["name"]?.string ?? ""
            if seen.insert(name).inserted { return nil }
            return
                "\(path["env"][i].text): hides previous definition of \(Go.quote(name)), "
                + "which may be dropped when using apply"
        }
    }

    private static func ports(_ container: JSON, at path: FieldPath) -> [String] {
        var first: [String: Int] = [:]
        return (container["ports"]?.elements ?? []).enumerated().compactMap { i, port in
            let members = ["containerPort", "protocol", "hostIP", "hostPort"].map { (port[$0] ?? .null).messageText }
            let key = members.joined(separator: "|")
            guard let before = first[key] else {
                first[key] = i
                return nil
            }
            return "\(path["ports"][i].text): duplicate port definition with \(path["ports"][before].text)"
        }
    }

    private static func memory(_ container: JSON, at path: FieldPath) -> [String] {
        ["limits", "requests"].flatMap { list in
            ["ephemeral-storage", "memory"].compactMap { name in
                guard let value = container["resources", list, name], let quantity = Quantity(value), !quantity.isWhole
                else { return nil }
                let place = path["resources"][list].key(name).text
                return "\(place): fractional byte value \(value.messageText) is invalid, must be an integer"
            }
        }
    }
}
