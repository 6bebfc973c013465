// Endpoints and EndpointSlices.
import API

package struct EndpointsKind: StoredKind {
    package init() {}
    package var createsOnUpdate: Bool { true }

    package func check(_ object: JSON, _ issues: inout Issues) {
        for (i, subset) in (object["subsets"]?.elements ?? []).enumerated() {
            let path = FieldPath("subsets")[i]
            let ready = subset["addresses"]?.elements ?? []
            let notReady = subset["notReadyAddresses"]?.elements ?? []
            if ready.isEmpty && notReady.isEmpty {
                issues.required(path, "must specify `addresses` or `notReadyAddresses`")
            }
            for (j, address) in ready.enumerated() {
                self.address(address["ip"], at: path["addresses"][j]["ip"], &issues)
            }
            for (j, address) in notReady.enumerated() {
                self.address(address["ip"], at: path["notReadyAddresses"][j]["ip"], &issues)
            }
            let ports = subset["ports"]?.elements ?? []
            for (j, port) in ports.enumerated() {
                self.port(port, isOnly: ports.count == 1, at: path["ports"][j], &issues)
            }
        }
    }

    private func address(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        let text = value?.string ?? ""
        if !Names.isAddress(text) {
            issues.invalid(path, .string(text), Names.addressText)
        } else {
            EndpointAddress.special(text, at: path, &issues)
        }
    }

    private func port(_ port: JSON, isOnly: Bool, at path: FieldPath, _ issues: inout Issues) {
        let name = port["name"]?.string ?? ""
        if name.isEmpty {
            if !isOnly { issues.required(path["name"]) }
        } else {
            issues.invalid(path["name"], .string(name), Names.label(name))
        }
        issues.port(path["port"], port["port"])
        if (port["protocol"]?.string ?? "").isEmpty {
            issues.required(path["protocol"])
        } else {
            issues.oneOf(path["protocol"], port["protocol"], ["SCTP", "TCP", "UDP"])
        }
    }
}

package struct EndpointSliceKind: StoredKind {
    package init() {}
    package var hasGeneration: Bool { true }
    static let endpointsMax = 1000, portsMax = 20000, addressesMax = 100

    package func check(_ object: JSON, _ issues: inout Issues) {
        let type = object["addressType"]?.string ?? ""
        if type.isEmpty {
            issues.required("addressType")
        } else {
            issues.oneOf("addressType", .string(type), ["FQDN", "IPv4", "IPv6"])
        }
        let endpoints = object["endpoints"]?.elements ?? []
        if endpoints.count > Self.endpointsMax {
            return issues.tooMany("endpoints", count: endpoints.count, max: Self.endpointsMax)
        }
        for (i, endpoint) in endpoints.enumerated() {
            self.endpoint(endpoint, type, at: FieldPath("endpoints")[i], &issues)
        }
        ports(object["ports"]?.elements ?? [], &issues)
    }

    private func endpoint(_ endpoint: JSON, _ type: String, at path: FieldPath, _ issues: inout Issues) {
        let addresses = endpoint["addresses"]?.elements ?? []
        if addresses.isEmpty { issues.required(path["addresses"], "must contain at least 1 address") }
        if addresses.count > Self.addressesMax {
            issues.tooMany(path["addresses"], count: addresses.count, max: Self.addressesMax)
        }
        for (i, address) in addresses.enumerated() {
            let text = address.string ?? ""
            let here = path["addresses"][i]
            switch type {
            case "IPv4" where !Names.isIPv4(text):
                issues.invalid(here, address, Names.isIPv6(text) ? "must be an IPv4 address" : Names.addressText)
            case "IPv6" where !Names.isIPv6(text):
                issues.invalid(here, address, Names.isIPv4(text) ? "must be an IPv6 address" : Names.addressText)
            case "IPv4", "IPv6": EndpointAddress.special(text, at: here, &issues)
            case "FQDN": issues.invalid(here, address, Names.dnsSubdomain(text))
            default: break
            }
        }
        if let name = endpoint["nodeName"]?.string {
            issues.invalid(path["nodeName"], .string(name), Names.dnsSubdomain(name))
        }
        if let name = endpoint["hostname"]?.string {
            issues.invalid(path["hostname"], .string(name), Names.label(name))
        }
    }

    private func ports(_ ports: [JSON], _ issues: inout Issues) {
        if ports.count > Self.portsMax { return issues.tooMany("ports", count: ports.count, max: Self.portsMax) }
        var names = Set<String>()
        for (i, port) in ports.enumerated() {
            let path = FieldPath("ports")[i]
            let name = port["name"]?.string ?? ""
            if !name.isEmpty { issues.invalid(path["name"], .string(name), Names.label(name)) }
            if !names.insert(name).inserted { issues.duplicate(path["name"], .string(name)) }
            if (port["protocol"]?.string ?? "").isEmpty {
                issues.required(path["protocol"])
            } else {
                issues.oneOf(path["protocol"], port["protocol"], ["SCTP", "TCP", "UDP"])
            }
        }
    }

    /// Labels say which service it belongs to: they count too.
    package func changesGeneration(_ new: JSON, _ old: JSON) -> Bool {
        let members = ["addressType", "endpoints", "ports"]
        return members.contains { new[$0] != old[$0] } || new.labels != old.labels
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        check(new, &issues)
        issues.immutable("addressType", new["addressType"], old["addressType"])
    }
}

enum EndpointAddress {
    /// Addresses that no endpoint may have.
    static func special(_ text: String, at path: FieldPath, _ issues: inout Issues) {
        if text == "0.0.0.0" || text == "::" { issues.invalid(path, .string(text), "may not be unspecified (\(text))") }
        if text.hasPrefix("127.") || text == "::1" {
            issues.invalid(path, .string(text), "may not be in the loopback range (127.0.0.0/8, ::1/128)")
        }
        if text.hasPrefix("169.254.") || text.lowercased().hasPrefix("fe80:") {
            issues.invalid(path, .string(text), "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
        }
        if text.hasPrefix("224.0.0.") || text.lowercased().hasPrefix("ff02:") {
            issues.invalid(
                path, .string(text), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
        }
    }
}
