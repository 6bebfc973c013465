// Reading and writing the names in certificates: subject (CN, O) and alternative names (DNS, IP, URI).
// It exists so that CA, request and verdict agree on them. It must never guess: what is no IP address is an error.
import Glibc
import SwiftASN1
import X509

/// Common name and organizations of a distinguished name.
struct SubjectNames {
    var commonName = ""
    var organizations: [String] = []

    init(commonName: String, organizations: [String]) {
        self.commonName = commonName
        self.organizations = organizations
    }

    init(_ name: DistinguishedName) {
        for part in name {
            for attribute in part {
                let text = String(attribute.value) ?? ""
                if attribute.type == .RDNAttributeType.commonName { commonName = text }
                if attribute.type == .RDNAttributeType.organizationName { organizations.append(text) }
            }
        }
    }

    var distinguishedName: DistinguishedName {
        var parts = organizations.map {
            RelativeDistinguishedName(.init(type: .RDNAttributeType.organizationName, value: .init(utf8String: $0)))
        }
        parts.append(
            RelativeDistinguishedName(.init(type: .RDNAttributeType.commonName, value: .init(utf8String: commonName))))
        return DistinguishedName(parts)
    }
}

/// The subjectAltName extension.
struct AlternativeNames {
    var dnsNames: [String] = []
    var ipAddresses: [String] = []
    var uris: [String] = []

    init(dnsNames: [String], ipAddresses: [String], uris: [String] = []) {
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
        self.uris = uris
    }

    init(_ extensions: Certificate.Extensions) {
        guard let names = readExtension({ try extensions.subjectAlternativeNames }) else { return }
        for name in names {
            switch name {
            case .dnsName(let text): dnsNames.append(text)
            case .uniformResourceIdentifier(let text): uris.append(text)
            case .ipAddress(let octets): if let text = addressText(Array(octets.bytes)) { ipAddresses.append(text) }
            default: break
            }
        }
    }

    func general() throws(PKIError) -> SubjectAlternativeNames? {
        var names: [GeneralName] = dnsNames.map { .dnsName($0) }
        for address in ipAddresses {
            guard let bytes = addressBytes(address) else { throw .malformed("not an IP address: \(address)") }
            names.append(.ipAddress(ASN1OctetString(contentBytes: bytes[...])))
        }
        names += uris.map { .uniformResourceIdentifier($0) }
        return names.isEmpty ? nil : SubjectAlternativeNames(names)
    }
}

/// Network-order bytes of an IPv4 or IPv6 address, nil when the text is neither.
package func addressBytes(_ text: String) -> [UInt8]? {
    var four = in_addr()
    if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: &four) { Array($0) } }
    var six = in6_addr()
    if inet_pton(AF_INET6, text, &six) == 1 { return withUnsafeBytes(of: &six) { Array($0) } }
    return nil
}

/// Text of an IPv4 (4 bytes) or IPv6 (16 bytes) address.
package func addressText(_ bytes: [UInt8]) -> String? {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
