// Checks of names, labels, keys and ports, with upstream's messages. Pure; written without regular expressions, since
// they run on every write. They never change a name.

/// Each check returns upstream's messages; none when the name is good.
package enum Names {
    package static let subdomainLengthMax = 253
    package static let labelLengthMax = 63

    package static func dnsSubdomain(_ name: String) -> [String] {
        var problems: [String] = []
        if name.utf8.count > subdomainLengthMax { problems.append(tooLong(subdomainLengthMax)) }
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if !labels.allSatisfy({ isLabel($0) }) { problems.append(subdomainMessage) }
        return problems
    }

    package static func dnsLabel(_ name: String) -> [String] {
        var problems: [String] = []
        if name.utf8.count > labelLengthMax { problems.append(tooLong(labelLengthMax)) }
        if !isLabel(name.utf8[...]) {
            let message =
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
                + "start and end with an "
                + "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            problems.append(message)
        }
        return problems
    }

    /// DNS-1035: begins with a letter.
    package static func dns1035Label(_ name: String) -> [String] {
        var problems: [String] = []
        if name.utf8.count > labelLengthMax { problems.append(tooLong(labelLengthMax)) }
        if !isLabel(name.utf8[...]) || name.utf8.first?.isLowercase != true {
            let message =
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                + "alphabetic character, and end "
                + "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
                + "'[a-z]([-a-z0-9]*[a-z0-9])?')"
            problems.append(message)
        }
        return problems
    }

    /// A label or annotation key: `name` or `prefix/name`.
    package static func qualifiedName(_ text: String) -> [String] {
        var problems: [String] = []
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let name: String
        switch parts.count {
        case 1: name = parts[0]
        case 2:
            name = parts[1]
            if parts[0].isEmpty {
                problems.append("prefix part must be non-empty")
            } else {
                problems += dnsSubdomain(parts[0]).map { "prefix part \($0)" }
            }
        default:
            let message =
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                + "with an alphanumeric "
                + "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                + "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
                + "'example.com/MyName')"
            return [message]
        }
        if name.isEmpty {
            problems.append("name part must be non-empty")
        } else if name.utf8.count > labelLengthMax {
            problems.append("name part \(tooLong(labelLengthMax, "bytes"))")
        }
        if !isQualifiedPart(name) {
            let message =
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                + "alphanumeric character "
                + "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                + "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            problems.append(message)
        }
        return problems
    }

    package static func labelValue(_ value: String) -> [String] {
        var problems: [String] = []
        if value.utf8.count > labelLengthMax { problems.append(tooLong(labelLengthMax, "bytes")) }
        if !value.isEmpty && !isQualifiedPart(value) {
            let message =
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                + "must start and end with an "
                + "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                + "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            problems.append(message)
        }
        return problems
    }

    /// Names that only must fit a URL path (RBAC objects and others).
    package static func pathSegment(_ name: String) -> [String] {
        if name == "." || name == ".." { return ["may not be '\(name)'"] }
        return ["/", "%"].filter { name.contains($0) }.map { "may not contain '\($0)'" }
    }

    /// Keys of ConfigMaps and Secrets.
    package static func configMapKey(_ key: String) -> [String] {
        var problems: [String] = []
        if key.utf8.count > subdomainLengthMax { problems.append(tooLong(subdomainLengthMax)) }
        let isGood = !key.isEmpty && key.utf8.allSatisfy { $0.isAlphanumeric || "-_.".utf8.contains($0) }
        if !isGood {
            let message =
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                + "'KEY_NAME',  or "
                + "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            problems.append(message)
        }
        if key == "." || key == ".." {
            problems.append("must not be '\(key)'")
        } else if key.hasPrefix("..") {
            problems.append("must not start with '..'")
        }
        return problems
    }

    package static func environmentVariable(_ name: String) -> [String] {
        let isGood = !name.isEmpty && name.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "=") }
        return isGood
            ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    }

    /// Port names (IANA service names).
    package static func portName(_ name: String) -> [String] {
        var problems: [String] = []
        if name.utf8.count > 15 { problems.append(tooLong(15)) }
        if !name.utf8.allSatisfy({ $0.isDigit || $0.isLowercase || $0 == UInt8(ascii: "-") }) {
            problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
        }
        if !name.utf8.contains(where: \.isLowercase) { problems.append("must contain at least one letter (a-z)") }
        if name.contains("--") { problems.append("must not contain consecutive hyphens") }
        if name.hasPrefix("-") || name.hasSuffix("-") { problems.append("must not begin or end with a hyphen") }
        return problems
    }

    package static func portNumber(_ port: Int64) -> [String] {
        (1...65535).contains(port) ? [] : ["must be between 1 and 65535, inclusive"]
    }

    private static let subdomainMessage =
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
        + "start and end with an "
        + "alphanumeric character (e.g. 'example.com', regex used for validation is "
        + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

    private static func tooLong(_ limit: Int, _ unit: String = "characters") -> String {
        "must be no more than \(limit) \(unit)"
    }

    private static func isLabel(_ bytes: Substring.UTF8View) -> Bool {
        guard let first = bytes.first, let last = bytes.last else { return false }
        let isEdge = { (byte: UInt8) in byte.isDigit || byte.isLowercase }
        return isEdge(first) && isEdge(last) && bytes.allSatisfy { isEdge($0) || $0 == UInt8(ascii: "-") }
    }

    private static func isQualifiedPart(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        return first.isAlphanumeric && last.isAlphanumeric
            && text.utf8.allSatisfy { $0.isAlphanumeric || "-_.".utf8.contains($0) }
    }
}
