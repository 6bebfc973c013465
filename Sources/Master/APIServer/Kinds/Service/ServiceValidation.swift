// The validation of Services, in upstream's order.
import API

struct ServiceValidation {
    let service: JSON
    private var spec: JSON { service["spec"] ?? [:] }
    private var type: String { spec["type"]?.string ?? "" }
    private var isExternal: Bool {
        type == "NodePort" || type == "LoadBalancer" || !(spec["externalIPs"]?.elements ?? []).isEmpty
    }
    private static let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]

    init(service: JSON) { self.service = service }

    func check(_ issues: inout Issues) {
        if ServiceKind.needsAddress(service) && !ServiceKind.isHeadless(service)
            && (spec["ports"]?.elements ?? []).isEmpty
        {
            issues.required("spec.ports")
        }
        byType(&issues)
        ports(&issues)
        Metadata.labels(spec["selector"], at: "spec.selector", &issues)
        affinity(&issues)
        issues.oneOf("spec.type", spec["type"], Self.types)
        addresses(&issues)
        traffic(&issues)
        sourceRanges(&issues)
    }

    private func byType(_ issues: inout Issues) {
        switch type {
        case "LoadBalancer", "NodePort":
            if ServiceKind.isHeadless(service) {
                issues.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for \(type) services")
            }
        case "ExternalName":
            if !(spec["clusterIPs"]?.elements ?? []).isEmpty {
                issues.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
            }
            let name = spec["externalName"]?.string ?? ""
            if name.isEmpty {
                issues.required("spec.externalName")
            } else {
                let text = name.hasSuffix(".") ? String(name.dropLast()) : name
                issues.invalid("spec.externalName", .string(name), Names.dnsSubdomain(text))
            }
        default: break
        }
    }

    private func ports(_ issues: inout Issues) {
        let ports = spec["ports"]?.elements ?? []
        var names = Set<String>()
        var numbers = Set<String>()
        var nodePorts = Set<String>()
        for (i, port) in ports.enumerated() {
            let path = FieldPath("spec.ports")[i]
            self.port(port, isOnly: ports.count == 1, at: path, names: &names, &issues)
            let transport = port["protocol"]?.string ?? ""
            if !numbers.insert("\(port["port"]?.int ?? 0)/\(transport)").inserted {
                issues.duplicate(path, ["port": port["port"] ?? 0, "protocol": .string(transport)])
            }
            guard let node = port["nodePort"]?.int, node > 0 else { continue }
            if type == "ClusterIP" { issues.forbidden(path["nodePort"], "may not be used when `type` is 'ClusterIP'") }
            if type == "ExternalName" {
                issues.forbidden(path["nodePort"], "may not be used when `type` is 'ExternalName'")
            }
            if !nodePorts.insert("\(node)/\(transport)").inserted { issues.duplicate(path["nodePort"], .int(node)) }
        }
    }

    private func port(_ port: JSON, isOnly: Bool, at path: FieldPath, names: inout Set<String>, _ issues: inout Issues)
    {
        let name = port["name"]?.string ?? ""
        if name.isEmpty {
            if !isOnly { issues.required(path["name"]) }
        } else {
            let problems = Names.label(name)
            issues.invalid(path["name"], .string(name), problems)
            if problems.isEmpty && !names.insert(name).inserted { issues.duplicate(path["name"], .string(name)) }
        }
        issues.port(path["port"], port["port"])
        if (port["protocol"]?.string ?? "").isEmpty {
            issues.required(path["protocol"])
        } else {
            issues.oneOf(path["protocol"], port["protocol"], ["SCTP", "TCP", "UDP"])
        }
        HandlerValidation.portOrName(port["targetPort"] ?? port["port"], at: path["targetPort"], &issues)
        if let application = port["appProtocol"]?.string {
            issues.invalid(path["appProtocol"], .string(application), Names.qualifiedName(application))
        }
    }

    private func affinity(_ issues: inout Issues) {
        let affinity = spec["sessionAffinity"]?.string ?? ""
        if affinity.isEmpty {
            issues.required("spec.sessionAffinity")
        } else {
            issues.oneOf("spec.sessionAffinity", .string(affinity), ["ClientIP", "None"])
        }
        if affinity == "ClientIP" {
            let seconds = spec["sessionAffinityConfig", "clientIP", "timeoutSeconds"]?.int ?? 0
            if seconds <= 0 || seconds > 86400 {
                issues.invalid(
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds", .int(seconds),
                    "must be greater than 0 and less than 86400")
            }
        } else if affinity == "None", let config = spec["sessionAffinityConfig"], !config.isNull {
            issues.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")
        }
    }

    private func addresses(_ issues: inout Issues) {
        for (i, address) in (spec["externalIPs"]?.elements ?? []).enumerated()
        where !Names.isAddress(address.string ?? "") {
            issues.invalid(FieldPath("spec.externalIPs")[i], address, Names.addressText)
        }
        guard ServiceKind.needsAddress(service) else { return }
        let policy = spec["ipFamilyPolicy"]?.string ?? ""
        issues.oneOf(
            "spec.ipFamilyPolicy", spec["ipFamilyPolicy"], ["SingleStack", "PreferDualStack", "RequireDualStack"])
        if policy == "RequireDualStack" {
            issues.invalid(
                "spec.ipFamilyPolicy", .string(policy), "this cluster is not configured for dual-stack services")
        }
        for (i, family) in (spec["ipFamilies"]?.elements ?? []).enumerated() {
            let path = FieldPath("spec.ipFamilies")[i]
            switch family.string {
            case "IPv4": break
            case "IPv6": issues.invalid(path, family, "not configured on this cluster")
            default: issues.unsupported(path, family, ["IPv4", "IPv6"])
            }
        }
        clusterAddresses(&issues)
    }

    private func clusterAddresses(_ issues: inout Issues) {
        let list = spec["clusterIPs"]?.elements ?? []
        let first = spec["clusterIP"]?.string ?? ""
        if list.count > 2 { issues.invalid("spec.clusterIPs", spec["clusterIPs"], "may only hold up to 2 values") }
        if let head = list.first?.string, head != first {
            issues.invalid("spec.clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`")
        }
        for (i, address) in list.enumerated() {
            let text = address.string ?? ""
            let path = FieldPath("spec.clusterIPs")[i]
            if text == "None" {
                if i > 0 { issues.invalid(path, address, "must be empty or a valid IP address") }
            } else if !Names.isAddress(text) {
                issues.invalid(path, address, Names.addressText)
            } else if !Names.isIPv4(text) {
                issues.invalid(path, address, "IPv6 is not configured on this cluster")
            }
        }
    }

    private func traffic(_ issues: inout Issues) {
        if let policy = spec["externalTrafficPolicy"]?.string, !policy.isEmpty {
            if !isExternal {
                issues.invalid(
                    "spec.externalTrafficPolicy", .string(policy), "may only be set for externally-accessible services")
            } else {
                issues.oneOf("spec.externalTrafficPolicy", .string(policy), ["Cluster", "Local"])
            }
        } else if isExternal {
            issues.required("spec.externalTrafficPolicy", "")
        }
        if let health = spec["healthCheckNodePort"]?.int, health != 0, !ServiceKind.needsHealthPort(service) {
            let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            issues.invalid("spec.healthCheckNodePort", .int(health), text)
        }
        issues.oneOf("spec.internalTrafficPolicy", spec["internalTrafficPolicy"], ["Cluster", "Local"])
        if spec["allocateLoadBalancerNodePorts"]?.bool != nil && type != "LoadBalancer" {
            issues.forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")
        }
        if let name = spec["loadBalancerClass"]?.string {
            if type != "LoadBalancer" {
                issues.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
            }
            issues.invalid("spec.loadBalancerClass", .string(name), Names.qualifiedName(name))
        }
    }

    /// Upstream's path begins with a capital letter here.
    private func sourceRanges(_ issues: inout Issues) {
        let ranges = spec["loadBalancerSourceRanges"]?.elements ?? []
        if !ranges.isEmpty && type != "LoadBalancer" {
            issues.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
        }
        for (i, range) in ranges.enumerated() where !Names.isCIDR(range.string ?? "") {
            issues.invalid(FieldPath("spec.LoadBalancerSourceRanges")[i], range, Names.cidrText)
        }
    }
}
