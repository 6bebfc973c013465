// Which of an authority's certificates are let in: all, or those that bear one of some names. For an authority that issues
// to others than those who belong together. It must never let in on doubt: a certificate without the name is refused.

/// Names of certificates: those of subjects, or those that a certificate stands for.
package struct AllowedNames: Hashable, Sendable {
    /// Common names, as they are.
    package private(set) var commonNames: [String] = []
    /// DNS names and addresses of which a certificate must be good for one; a certificate may have a wildcard.
    package private(set) var hosts: [String] = []

    /// Every certificate of the authority.
    package init() {}

    /// Lists with commas between; nil or empty: not asked for. Both at once are refused, as in etcd.
    package init(commonNames: String?, hosts: String?) throws(PKIError) {
        self.commonNames = Self.list(commonNames)
        self.hosts = Self.list(hosts)
        guard self.commonNames.isEmpty || self.hosts.isEmpty else {
            throw .malformed("allowed common names and allowed hosts exclude each other")
        }
    }

    private static func list(_ text: String?) -> [String] { (text ?? "").split(separator: ",").map(String.init) }

    package var isEmpty: Bool { commonNames.isEmpty && hosts.isEmpty }

    package func admit(_ certificate: ClientCertificate) -> Bool {
        isEmpty || commonNames.contains(certificate.commonName) || hosts.contains { certificate.stands(for: $0) }
    }
}

extension ClientCertificate {
    /// By its alternative names alone. A wildcard is a whole first label, and stands for one label.
    package func stands(for host: String) -> Bool {
        if let address = addressBytes(host) { return ipAddresses.contains { addressBytes($0) == address } }
        let wanted = host.lowercased()
        return dnsNames.contains { name in
            let name = name.lowercased()
            guard name.hasPrefix("*.") else { return name == wanted }
            guard let dot = wanted.firstIndex(of: "."), dot != wanted.startIndex else { return false }
            return wanted[dot...] == name.dropFirst()
        }
    }
}
