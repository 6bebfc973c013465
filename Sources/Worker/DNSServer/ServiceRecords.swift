// What the zone knows of the cluster: services and their endpoints in a compact form, read from Service and EndpointSlice trees.
import API

/// One address behind a service.
package struct EndpointRecord: Hashable, Sendable {
    package var address: [UInt8]
    /// The pod's hostname when it has one with this service as its subdomain; else the address with dashes.
    package var hostname: String
    package var isReady: Bool
    package var node: String
}

/// A service port by its name.
package struct PortRecord: Hashable, Sendable {
    package var name: String
    package var proto: String
    package var port: UInt16
}

/// A Service as DNS sees it.
package struct ServiceRecord: Hashable, Sendable {
    package var namespace: String
    package var name: String
    /// Empty for headless services.
    package var clusterAddresses: [[UInt8]]
    package var isHeadless: Bool
    package var externalName: String?
    package var publishesNotReady: Bool
    package var ports: [PortRecord]

    /// Nil when the tree is no usable Service.
    package init?(_ service: JSON) {
        guard !service.name.isEmpty, let spec = service["spec"] else { return nil }
        namespace = service.namespace
        name = service.name
        let address = spec["clusterIP"]?.string ?? ""
        isHeadless = address == "None"
        clusterAddresses = (spec["clusterIPs"]?.elements.compactMap(\.string) ?? [address]).compactMap(ipv4Bytes)
        externalName = spec["type"]?.string == "ExternalName" ? spec["externalName"]?.string : nil
        publishesNotReady = spec["publishNotReadyAddresses"]?.bool ?? false
        ports = (spec["ports"]?.elements ?? []).map {
            PortRecord(
                name: $0["name"]?.string ?? "", proto: ($0["protocol"]?.string ?? "TCP").lowercased(),
                port: UInt16(clamping: $0["port"]?.int ?? 0))
        }
    }
}

/// An EndpointSlice as DNS sees it.
package struct SliceRecord: Hashable, Sendable {
    package var namespace: String
    package var service: String
    package var endpoints: [EndpointRecord]
    package var ports: [PortRecord]

    package init?(_ slice: JSON) {
        guard let service = slice.labels["kubernetes.io/service-name"], slice["addressType"]?.string == "IPv4" else {
            return nil
        }
        namespace = slice.namespace
        self.service = service
        endpoints = (slice["endpoints"]?.elements ?? []).flatMap { endpoint in
            (endpoint["addresses"]?.elements ?? []).compactMap(\.string).compactMap { text in
                ipv4Bytes(text).map {
                    EndpointRecord(
                        address: $0,
                        hostname: endpoint["hostname"]?.string ?? text.split(separator: ".").joined(separator: "-"),
                        isReady: endpoint["conditions", "ready"]?.bool ?? true, node: endpoint["nodeName"]?.string ?? ""
                    )
                }
            }
        }
        ports = (slice["ports"]?.elements ?? []).map {
            PortRecord(
                name: $0["name"]?.string ?? "", proto: ($0["protocol"]?.string ?? "TCP").lowercased(),
                port: UInt16(clamping: $0["port"]?.int ?? 0))
        }
    }
}

/// The four bytes of a dotted address; nil for anything else.
package func ipv4Bytes(_ text: String) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { UInt8($0) }
    return parts.count == 4 && bytes.count == 4 ? bytes : nil
}
