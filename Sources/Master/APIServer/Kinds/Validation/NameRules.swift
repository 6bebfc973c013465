// Which rule `metadata.name` of a kind follows, and the few checks of texts that only validation needs.
// The rules themselves, with upstream's messages, are `Names` of the API module.
import API

/// What a kind demands of `metadata.name`.
package enum NameRule: Sendable {
    case subdomain, label, label1035, pathSegment

    /// What is wrong with `name`; with `isPrefix` a trailing dash is fine (generateName).
    package func problems(_ name: String, isPrefix: Bool = false) -> [String] {
        let isMasked = isPrefix && name.utf8.count > 1 && name.hasSuffix("-")
        let text = isMasked ? String(name.dropLast()) + "a" : name
        return switch self {
        case .subdomain: Names.dnsSubdomain(text)
        case .label: Names.label(text)
        case .label1035: Names.dns1035Label(text)
        case .pathSegment: isPrefix && (text == "." || text == "..") ? [] : Names.pathSegment(text)
        }
    }
}

extension Names {
    static let addressText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    static let cidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

    /// A DNS label; a good subdomain that is no label has only its dots against it.
    static func label(_ name: String) -> [String] {
        let problems = dnsLabel(name)
        guard !problems.isEmpty, name.contains("."), dnsSubdomain(name).isEmpty else { return problems }
        return problems.map { $0.hasPrefix("a lowercase RFC 1123 label") ? "must not contain dots" : $0 }
    }

    static func isAddress(_ text: String) -> Bool { IPAddress(text) != nil }
    static func isIPv4(_ text: String) -> Bool { IPAddress(text)?.isV4 == true }
    static func isIPv6(_ text: String) -> Bool { IPAddress(text)?.isV4 == false }
    static func isCIDR(_ text: String) -> Bool { CIDR(text) != nil }
    static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}

extension Base64 {
    static func decodedCount(_ text: String) -> Int {
        let padding = text.utf8.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
        return max(0, text.utf8.count / 4 * 3 - padding)
    }
}
