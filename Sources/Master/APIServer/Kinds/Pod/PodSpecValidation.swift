// The validation of a pod's spec, as it stands in a Pod or in a template: the order of the checks is upstream's, so
// that a refusal lists the same causes in the same order. Containers, volumes, probes, affinity and security stand in
// files of their own. Pure; it sees defaulted objects and never changes them.
import API

struct PodSpecValidation {
    /// A template is checked a little less strictly than a pod: there is no node and no status yet.
    var isTemplate = false
    /// Only new pods are held to what upstream ratchets.
    var isCreate = true

    func check(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        let volumes = VolumeValidation().check(spec["volumes"], at: path["volumes"], &issues)
        let containers = ContainerValidation(volumes: volumes, spec: spec)
        containers.checkAll(at: path, &issues)
        lifetime(spec, at: path, &issues)
        Metadata.labels(spec["nodeSelector"], at: path["nodeSelector"], &issues)
        SecurityValidation.pod(spec, at: path, &issues)
        pullSecrets(spec, at: path, &issues)
        AffinityValidation.check(spec["affinity"], at: path["affinity"], &issues)
        dns(spec, at: path, &issues)
        gates(spec, at: path, &issues)
        TolerationValidation.check(spec["tolerations"], at: path["tolerations"], &issues)
        hostAliases(spec, at: path, &issues)
        names(spec, at: path, &issues)
        AffinityValidation.spread(spec["topologySpreadConstraints"], at: path["topologySpreadConstraints"], &issues)
    }

    private func lifetime(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        policies(spec, at: path, &issues)
        if let seconds = spec["activeDeadlineSeconds"]?.int, seconds < 1 || seconds > 2_147_483_647 {
            issues.invalid(path["activeDeadlineSeconds"], .int(seconds), "must be between 1 and 2147483647, inclusive")
        }
        if !isTemplate || isCreate {
            issues.nonNegative(path["terminationGracePeriodSeconds"], spec["terminationGracePeriodSeconds"])
        }
        issues.oneOf(path["preemptionPolicy"], spec["preemptionPolicy"], ["PreemptLowerPriority", "Never"])
    }

    /// Both are defaulted; a spec without containers was none to default, and one error says so.
    private func policies(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        if (spec["containers"]?.elements ?? []).isEmpty { return }
        for (member, supported) in [
            ("restartPolicy", ["Always", "OnFailure", "Never"]),
            ("dnsPolicy", ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])
        ] {
            if (spec[member]?.string ?? "").isEmpty {
                issues.required(path[member])
            } else {
                issues.oneOf(path[member], spec[member], supported)
            }
        }
    }

    private func pullSecrets(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        for (i, reference) in (spec["imagePullSecrets"]?.elements ?? []).enumerated()
        where (reference["name"]?.string ?? "").isEmpty {
            issues.required(path["imagePullSecrets"][i]["name"])
        }
    }

    private func dns(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        let servers = spec["dnsConfig", "nameservers"]?.elements ?? []
        if spec["dnsPolicy"]?.string == "None" && servers.isEmpty {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            let target = spec["dnsConfig"] == nil ? path["dnsConfig"] : path["dnsConfig"]["nameservers"]
            issues.required(target, text)
        }
        if servers.count > 3 {
            issues.invalid(
                path["dnsConfig"]["nameservers"], spec["dnsConfig", "nameservers"],
                "must not have more than 3 nameservers")
        }
        for (i, server) in servers.enumerated() where !Names.isAddress(server.string ?? "") {
            issues.invalid(path["dnsConfig"]["nameservers"][i], server, Names.addressText)
        }
        for (i, search) in (spec["dnsConfig", "searches"]?.elements ?? []).enumerated() {
            let text = search.string ?? ""
            let name = text.hasSuffix(".") ? String(text.dropLast()) : text
            if text != "." { issues.invalid(path["dnsConfig"]["searches"][i], search, Names.dnsSubdomain(name)) }
        }
        for (i, option) in (spec["dnsConfig", "options"]?.elements ?? []).enumerated()
        where (option["name"]?.string ?? "").isEmpty {
            issues.required(path["dnsConfig"]["options"].key("\(i)"), "must not be empty")
        }
    }

    private func gates(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        for (i, gate) in (spec["readinessGates"]?.elements ?? []).enumerated() {
            let name = gate["conditionType"]?.string ?? ""
            issues.invalid(path["readinessGates"][i]["conditionType"], .string(name), Names.qualifiedName(name))
        }
        var seen = Set<String>()
        for (i, gate) in (spec["schedulingGates"]?.elements ?? []).enumerated() {
            let name = gate["name"]?.string ?? ""
            issues.invalid(path["schedulingGates"][i], .string(name), Names.qualifiedName(name))
            if !seen.insert(name).inserted { issues.duplicate(path["schedulingGates"][i], .string(name)) }
        }
        let node = spec["nodeName"]?.string ?? ""
        if isCreate && !node.isEmpty && !(spec["schedulingGates"]?.elements ?? []).isEmpty {
            issues.forbidden(path["nodeName"], "cannot be set until all schedulingGates have been cleared")
        }
    }

    private func hostAliases(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        for (i, alias) in (spec["hostAliases"]?.elements ?? []).enumerated() {
            let address = alias["ip"]?.string ?? ""
            if !Names.isAddress(address) {
                issues.invalid(path["hostAliases"][i]["ip"], .string(address), Names.addressText)
            }
            for (j, name) in (alias["hostnames"]?.elements ?? []).enumerated() {
                issues.invalid(path["hostAliases"][i]["hostnames"][j], name, Names.dnsSubdomain(name.string ?? ""))
            }
        }
    }

    private func names(_ spec: JSON, at path: FieldPath, _ issues: inout Issues) {
        for (member, rule) in [
            ("hostname", NameRule.label), ("subdomain", .label), ("priorityClassName", .subdomain),
            ("runtimeClassName", .subdomain), ("serviceAccountName", .subdomain), ("nodeName", .subdomain)
        ] {
            if let name = spec[member]?.string, !name.isEmpty {
                issues.invalid(path[member], .string(name), rule.problems(name))
            }
        }
    }

    /// The template of a workload: metadata without a name, and the spec.
    static func template(_ template: JSON?, at path: FieldPath, isCreate: Bool, _ issues: inout Issues) {
        Metadata.labels(template?["metadata", "labels"], at: path["metadata"]["labels"], &issues)
        Metadata.annotations(template?["metadata", "annotations"], at: path["metadata"]["annotations"], &issues)
        let spec = template?["spec"] ?? [:]
        PodSpecValidation(isTemplate: true, isCreate: isCreate).check(spec, at: path["spec"], &issues)
        if !(spec["ephemeralContainers"]?.elements ?? []).isEmpty {
            issues.forbidden(path["spec"]["ephemeralContainers"], "ephemeral containers not allowed in pod template")
        }
    }
}

enum TolerationValidation {
    static func check(_ tolerations: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for (i, toleration) in (tolerations?.elements ?? []).enumerated() { one(toleration, at: path[i], &issues) }
    }

    private static func one(_ toleration: JSON, at path: FieldPath, _ issues: inout Issues) {
        let key = toleration["key"]?.string ?? ""
        let value = toleration["value"]?.string ?? ""
        let operation = toleration["operator"]?.string ?? ""
        if !key.isEmpty { issues.invalid(path["key"], .string(key), Names.qualifiedName(key)) }
        if key.isEmpty && operation != "Exists" {
            issues.invalid(
                path["operator"], .string(operation),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
        }
        let effect = toleration["effect"]?.string ?? ""
        if toleration["tolerationSeconds"]?.int != nil && effect != "NoExecute" {
            issues.invalid(
                path["effect"], .string(effect), "effect must be 'NoExecute' when `tolerationSeconds` is set")
        }
        switch operation {
        case "", "Equal": issues.invalid(path["operator"], .string(value), Names.labelValue(value))
        case "Exists":
            if !value.isEmpty {
                issues.invalid(path["operator"], .string(value), "value must be empty when `operator` is 'Exists'")
            }
        default: issues.unsupported(path["operator"], .string(operation), ["Equal", "Exists"])
        }
        if !effect.isEmpty {
            issues.oneOf(path["effect"], .string(effect), ["NoSchedule", "PreferNoSchedule", "NoExecute"])
        }
    }
}
