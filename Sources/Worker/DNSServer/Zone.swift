// The cluster's DNS zone as a value: services and endpoints in, answers out (the Kubernetes DNS specification, schema version 1.1.0).
// Pure: no sockets, no clock. It must never answer for names outside the zone and its reverse addresses.
import NetDNS

/// What the zone says to a question.
package enum ZoneAnswer: Hashable, Sendable {
    case answer(DNSResponse)
    /// Not ours: ask the upstream servers.
    case notInZone
}

package struct Zone: Sendable {
    package static let secondsToLive: UInt32 = 5

    private let origin: DNSName
    private var services: [String: ServiceRecord] = [:]
    private var slices: [String: [String: SliceRecord]] = [:]
    private var serviceOfAddress: [[UInt8]: String] = [:]
    private var namespaces: [String: Int] = [:]
    private var serial: UInt32 = 1

    /// `domain` such as "cluster.local"; nil when it is no domain name.
    package init?(domain: String) {
        guard let origin = DNSName(domain) else { return nil }
        self.origin = origin
    }

    package mutating func set(_ service: ServiceRecord) {
        remove(service: service.name, namespace: service.namespace)
        let key = "\(service.namespace)/\(service.name)"
        services[key] = service
        namespaces[service.namespace, default: 0] += 1
        for address in service.clusterAddresses { serviceOfAddress[address] = key }
        serial &+= 1
    }

    package mutating func remove(service name: String, namespace: String) {
        guard let old = services.removeValue(forKey: "\(namespace)/\(name)") else { return }
        for address in old.clusterAddresses { serviceOfAddress[address] = nil }
        namespaces[namespace] = namespaces[namespace].flatMap { $0 > 1 ? $0 - 1 : nil }
        serial &+= 1
    }

    /// `key` names the slice itself, `namespace/name`.
    package mutating func set(slice: SliceRecord, key: String) {
        slices["\(slice.namespace)/\(slice.service)", default: [:]][key] = slice
        serial &+= 1
    }

    package mutating func remove(sliceKey key: String, service: String, namespace: String) {
        slices["\(namespace)/\(service)"]?[key] = nil
        serial &+= 1
    }

    /// Answers a question about the zone. `pick` orders equal answers (round robin).
    package func answer(_ question: DNSQuestion, rotateBy pick: Int = 0) -> ZoneAnswer {
        if let address = reverseAddress(question.name) { return reverse(question, address) }
        guard let labels = question.name.labels(below: origin) else { return .notInZone }
        guard let found = lookup(labels) else { return .answer(negative(DNSCode.nameError)) }
        let records = found.filter {
            $0.type == question.type || question.type == DNSType.any || $0.type == DNSType.cname
        }
        if records.isEmpty { return .answer(negative(DNSCode.noError)) }
        let start = pick % records.count
        let rotated = records[start...] + records[..<start]
        return .answer(
            DNSResponse(
                answers: rotated.map { DNSRecord(name: question.name, secondsToLive: Self.secondsToLive, data: $0) }))
    }

    // MARK: - Private

    /// Everything that stands at a name; nil when the name does not exist.
    private func lookup(_ labels: [String]) -> [DNSData]? {
        switch labels.last {
        case nil: return []
        case "dns-version": return labels.count == 1 ? [.txt("1.1.0")] : nil
        case "svc": return lookupService(Array(labels.dropLast()))
        case "pod": return lookupPod(Array(labels.dropLast()))
        default: return nil
        }
    }

    private func lookupService(_ labels: [String]) -> [DNSData]? {
        guard let namespace = labels.last else { return [] }
        guard labels.count > 1 else { return namespaces[namespace] == nil ? nil : [] }
        guard let service = services["\(namespace)/\(labels[labels.count - 2])"] else { return nil }
        if let external = service.externalName {
            return labels.count == 2 ? DNSName(external).map { [.cname($0)] } : nil
        }
        switch labels.count {
        case 2: return addresses(of: service)
        case 3: return service.isHeadless ? hostAddresses(labels[0], of: service) : nil
        case 4: return portRecords(labels[0], labels[1], of: service)
        default: return nil
        }
    }

    private func endpoints(of service: ServiceRecord) -> [(endpoint: EndpointRecord, ports: [PortRecord])] {
        let own = slices["\(service.namespace)/\(service.name)"] ?? [:]
        return own.sorted { $0.key < $1.key }.flatMap { slice in
            slice.value.endpoints.filter { $0.isReady || service.publishesNotReady }.map { ($0, slice.value.ports) }
        }
    }

    private func addresses(of service: ServiceRecord) -> [DNSData]? {
        if !service.isHeadless { return service.clusterAddresses.map { .a($0) } }
        let found = endpoints(of: service)
        return found.isEmpty ? nil : Self.unique(found.map { .a($0.endpoint.address) })
    }

    private func hostAddresses(_ hostname: String, of service: ServiceRecord) -> [DNSData]? {
        let found = endpoints(of: service).filter { $0.endpoint.hostname == hostname }
        return found.isEmpty ? nil : Self.unique(found.map { .a($0.endpoint.address) })
    }

    /// `_http._tcp.web.default.svc`: SRV records.
    private func portRecords(_ port: String, _ proto: String, of service: ServiceRecord) -> [DNSData]? {
        guard port.hasPrefix("_"), proto.hasPrefix("_") else { return nil }
        let wanted = (String(port.dropFirst()), String(proto.dropFirst()))
        let base = [service.name, service.namespace, "svc"] + origin.labels
        let records: [DNSData]
        if service.isHeadless {
            records = endpoints(of: service).flatMap { found in
                found.ports.filter { ($0.name, $0.proto) == wanted }.compactMap { port in
                    DNSName(labels: [found.endpoint.hostname] + base).map {
                        .srv(priority: 0, weight: 100, port: port.port, target: $0)
                    }
                }
            }
        } else {
            records = service.ports.filter { ($0.name, $0.proto) == wanted }.compactMap { port in
                DNSName(labels: base).map { .srv(priority: 0, weight: 100, port: port.port, target: $0) }
            }
        }
        return records.isEmpty ? nil : Self.unique(records)
    }

    /// `10-244-1-5.default.pod`.
    private func lookupPod(_ labels: [String]) -> [DNSData]? {
        guard labels.count == 2, let address = ipv4Bytes(labels[0].split(separator: "-").joined(separator: ".")) else {
            return nil
        }
        return [.a(address)]
    }

    private func reverseAddress(_ name: DNSName) -> [UInt8]? {
        guard let zone = DNSName("in-addr.arpa"), let labels = name.labels(below: zone), labels.count == 4 else {
            return nil
        }
        return ipv4Bytes(labels.reversed().joined(separator: "."))
    }

    private func reverse(_ question: DNSQuestion, _ address: [UInt8]) -> ZoneAnswer {
        guard let key = serviceOfAddress[address], let service = services[key],
            let target = DNSName(labels: [service.name, service.namespace, "svc"] + origin.labels)
        else { return .notInZone }
        guard question.type == DNSType.ptr else { return .answer(negative(DNSCode.noError)) }
        return .answer(
            DNSResponse(answers: [DNSRecord(name: question.name, secondsToLive: Self.secondsToLive, data: .ptr(target))]
            ))
    }

    private func negative(_ code: UInt8) -> DNSResponse {
        let primary = DNSName(labels: ["ns", "dns"] + origin.labels) ?? origin
        let mailbox = DNSName(labels: ["hostmaster"] + origin.labels) ?? origin
        let data = DNSData.soa(primary: primary, mailbox: mailbox, serial: serial, minimumSeconds: Self.secondsToLive)
        return DNSResponse(
            code: code, authority: [DNSRecord(name: origin, secondsToLive: Self.secondsToLive, data: data)])
    }

    private static func unique(_ records: [DNSData]) -> [DNSData] {
        var seen: Set<DNSData> = []
        return records.filter { seen.insert($0).inserted }
    }
}
