// Nodes.
import API

package struct NodeKind: StoredKind {
    package init() {}
    package var isNamespaced: Bool { false }
    package var hasStatus: Bool { true }

    /// A kubelet registers itself together with its first status.
    package func prepareForCreate(_ write: inout WriteRequest) {
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            write.object.setValue(nil, at: ["metadata", member])
        }
        syncPodCIDR(&write.object)
        fillStatus(&write.object)
    }

    /// Members that upstream always prints.
    private func fillStatus(_ node: inout JSON) {
        let texts = [
            "architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion",
            "machineID", "operatingSystem", "osImage", "systemUUID"
        ]
        for text in texts where node["status", "nodeInfo", text] == nil { node["status", "nodeInfo", text] = "" }
        if node["status", "daemonEndpoints", "kubeletEndpoint", "Port"] == nil {
            node["status", "daemonEndpoints", "kubeletEndpoint", "Port"] = 0
        }
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        if subresource.isEmpty { syncPodCIDR(&write.object) }
    }

    private func syncPodCIDR(_ node: inout JSON) {
        let ranges = node["spec", "podCIDRs"]?.elements ?? []
        if let range = node["spec", "podCIDR"]?.string, !range.isEmpty, ranges.isEmpty {
            node["spec", "podCIDRs"] = [.string(range)]
        }
        if node["spec", "podCIDR"] == nil, let first = ranges.first { node["spec", "podCIDR"] = first }
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        taints(object["spec", "taints"], &issues)
        for (i, range) in (object["spec", "podCIDRs"]?.elements ?? []).enumerated()
        where !Names.isCIDR(range.string ?? "") {
            issues.invalid(FieldPath("spec.podCIDRs")[i], range, Names.cidrText)
        }
    }

    /// Upstream's path of taints says `metadata`.
    private func taints(_ taints: JSON?, _ issues: inout Issues) {
        let path: FieldPath = "metadata.taints"
        var seen = Set<String>()
        for (i, taint) in (taints?.elements ?? []).enumerated() {
            let key = taint["key"]?.string ?? ""
            let value = taint["value"]?.string ?? ""
            let effect = taint["effect"]?.string ?? ""
            issues.invalid(path[i]["key"], .string(key), Names.qualifiedName(key))
            issues.invalid(path[i]["value"], .string(value), Names.labelValue(value))
            if effect.isEmpty {
                issues.required(path[i]["effect"])
            } else {
                issues.oneOf(path[i]["effect"], .string(effect), ["NoSchedule", "PreferNoSchedule", "NoExecute"])
            }
            if !seen.insert("\(key)/\(effect)").inserted { issues.duplicate(path[i], taint) }
        }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        check(new, &issues)
        let before = old["spec", "podCIDRs"]?.elements ?? []
        if !before.isEmpty && before != new["spec", "podCIDRs"]?.elements ?? [] {
            issues.forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid")
        }
        if let provider = old["spec", "providerID"]?.string, !provider.isEmpty,
            new["spec", "providerID"]?.string != provider
        {
            issues.forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid")
        }
    }
}
