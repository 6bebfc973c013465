// Services: what follows from the type, which of the old allocations a new version keeps, and the addresses and node
// ports that are allocated in the same transaction (ServiceAllocation.swift). Validation stands in
// ServiceValidation.swift.
import API
import KVCore

/// Where service addresses and node ports come from.
package struct ServiceNetwork: Sendable, Hashable {
    package var cidr: String
    package var nodePorts: ClosedRange<Int64>
    package init(cidr: String = "10.96.0.0/16", nodePorts: ClosedRange<Int64> = 30000...32767) {
        self.cidr = cidr
        self.nodePorts = nodePorts
    }
}

package struct ServiceKind: StoredKind {
    package var network: ServiceNetwork
    package init(network: ServiceNetwork) { self.network = network }
    package var names: NameRule { .label }
    package var hasStatus: Bool { true }
    package var deleteReturnsObject: Bool { true }

    package func fill(_ write: inout WriteRequest) {
        write.object["status"] = ["loadBalancer": [:]]
        normalize(&write.object, old: nil)
        families(&write.object)
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        guard subresource.isEmpty else { return }
        dropDependent(&write.object, old)
        normalize(&write.object, old: old)
        keepAllocations(&write.object, old)
        families(&write.object)
    }

    static func needsAddress(_ service: JSON) -> Bool { service["spec", "type"]?.string != "ExternalName" }
    static func needsNodePort(_ service: JSON) -> Bool {
        switch service["spec", "type"]?.string {
        case "NodePort": true
        case "LoadBalancer": service["spec", "allocateLoadBalancerNodePorts"]?.bool ?? true
        default: false
        }
    }
    static func needsHealthPort(_ service: JSON) -> Bool {
        service["spec", "type"]?.string == "LoadBalancer" && service["spec", "externalTrafficPolicy"]?.string == "Local"
    }
    static func isHeadless(_ service: JSON) -> Bool { service["spec", "clusterIP"]?.string == "None" }

    /// `clusterIP` and the first of `clusterIPs` are one and the same.
    private func normalize(_ service: inout JSON, old: JSON?) {
        let address = service["spec", "clusterIP"]?.string ?? ""
        let list = service["spec", "clusterIPs"]?.elements ?? []
        if let old {
            let had = old["spec", "clusterIP"]?.string ?? ""
            let hadList = old["spec", "clusterIPs"]?.elements ?? []
            if address.isEmpty && !had.isEmpty && list == hadList {
                service["spec", "clusterIPs"] = nil
            } else if address != had && !address.isEmpty && list == hadList {
                service["spec", "clusterIPs"] = [.string(address)]
            } else if address.isEmpty, had.isEmpty, let first = list.first {
                service["spec", "clusterIP"] = first
            } else if !address.isEmpty && list.isEmpty {
                service["spec", "clusterIPs"] = [.string(address)]
            }
            return
        }
        if !address.isEmpty && list.isEmpty { service["spec", "clusterIPs"] = [.string(address)] }
        if address.isEmpty, let first = list.first { service["spec", "clusterIP"] = first }
    }

    /// What only the old type had, and the client left as it was.
    private func dropDependent(_ service: inout JSON, _ old: JSON) {
        if Self.needsAddress(old) && !Self.needsAddress(service) {
            if service["spec", "clusterIPs"] == old["spec", "clusterIPs"]
                || service["spec", "clusterIP"] == old["spec", "clusterIP"]
            {
                for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
                    service.setValue(nil, at: ["spec", member])
                }
            }
        }
        if Self.needsNodePort(old) && !Self.needsNodePort(service) && service["spec", "ports"] == old["spec", "ports"],
            var ports = service["spec", "ports"]?.array
        {
            for i in ports.indices { ports[i]["nodePort"] = nil }
            service["spec", "ports"] = .array(ports)
        }
        let isExternal = ["NodePort", "LoadBalancer"].contains(service["spec", "type"]?.string ?? "")
        for (member, isNeeded) in [
            ("healthCheckNodePort", Self.needsHealthPort(service)), ("externalTrafficPolicy", isExternal),
            ("allocateLoadBalancerNodePorts", service["spec", "type"]?.string == "LoadBalancer"),
            ("loadBalancerClass", service["spec", "type"]?.string == "LoadBalancer")
        ]
        where !isNeeded && service["spec", member] == old["spec", member]
            && (service["spec", "externalIPs"]?.elements ?? []).isEmpty
        {
            service.setValue(nil, at: ["spec", member])
        }
    }

    /// What the client left out stays as it was allocated.
    private func keepAllocations(_ service: inout JSON, _ old: JSON) {
        if Self.needsAddress(old) && Self.needsAddress(service) {
            if (service["spec", "clusterIP"]?.string ?? "").isEmpty {
                service["spec", "clusterIP"] = old["spec", "clusterIP"]
                service["spec", "clusterIPs"] = old["spec", "clusterIPs"]
            }
        }
        if Self.needsNodePort(old), Self.needsNodePort(service), var ports = service["spec", "ports"]?.array {
            let had = old["spec", "ports"]?.elements ?? []
            for i in ports.indices where (ports[i]["nodePort"]?.int ?? 0) == 0 {
                guard
                    let same = had.first(where: {
                        $0["port"] == ports[i]["port"] && $0["protocol"] == ports[i]["protocol"]
                    }),
                    let number = same["nodePort"],
                    !ports.contains(where: { $0["nodePort"] == number && $0["protocol"] == same["protocol"] })
                else { continue }
                ports[i]["nodePort"] = number
            }
            service["spec", "ports"] = .array(ports)
        }
        if Self.needsHealthPort(old), Self.needsHealthPort(service),
            (service["spec", "healthCheckNodePort"]?.int ?? 0) == 0
        {
            service["spec", "healthCheckNodePort"] = old["spec", "healthCheckNodePort"]
        }
    }

    /// A cluster of one family: what the client left out is the cluster's.
    private func families(_ service: inout JSON) {
        guard Self.needsAddress(service) else { return }
        if (service["spec", "ipFamilies"]?.elements ?? []).isEmpty { service["spec", "ipFamilies"] = ["IPv4"] }
        if (service["spec", "ipFamilyPolicy"]?.string ?? "").isEmpty {
            service["spec", "ipFamilyPolicy"] = "SingleStack"
        }
        let isExternal = ["NodePort", "LoadBalancer"].contains(service["spec", "type"]?.string ?? "")
        if isExternal && service["spec", "externalTrafficPolicy"] == nil {
            service["spec", "externalTrafficPolicy"] = "Cluster"
        }
        if service["spec", "internalTrafficPolicy"] == nil { service["spec", "internalTrafficPolicy"] = "Cluster" }
    }

    package func check(_ object: JSON, _ issues: inout Issues) { ServiceValidation(service: object).check(&issues) }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        guard subresource.isEmpty else { return }
        let before = old["spec", "clusterIPs"]?.elements ?? []
        if Self.needsAddress(old) && Self.needsAddress(new), let first = before.first,
            new["spec", "clusterIPs"]?.elements.first != first
        {
            issues.invalid("spec.clusterIPs[0]", new["spec", "clusterIPs"], "may not change once set")
        }
        if Self.needsHealthPort(old) && Self.needsHealthPort(new)
            && old["spec", "healthCheckNodePort"] != new["spec", "healthCheckNodePort"]
        {
            issues.forbidden("spec.healthCheckNodePort", "field is immutable")
        }
        check(new, &issues)
    }

    package func allocate(_ write: inout WriteRequest, reader: any ObjectReader, view: KVView) throws(StatusError) {
        if write.old != nil && !write.attributes.subresource.isEmpty { return }
        var allocation = ServiceAllocation(network: network, service: write.object, old: write.old, view: view)
        try allocation.run()
        write.object = allocation.service
        write.guards += allocation.guards
        write.effects += allocation.effects
    }

    package func warnings(_ write: WriteRequest) -> [String] {
        let spec = write.object["spec"]
        if spec?["type"] == "ExternalName" || (spec?["externalName"]?.string ?? "").isEmpty { return [] }
        return ["spec.externalName is ignored when spec.type is not \"ExternalName\""]
    }

    package func release(_ object: JSON, view: KVView) -> [Op] {
        ServiceAllocation.keys(of: object).sorted().filter { view.get($0) != nil }.map { .delete($0) }
    }
}
