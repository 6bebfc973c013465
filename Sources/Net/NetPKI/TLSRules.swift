// Which TLS a listener or a caller speaks: versions and the suites of TLS 1.2, in the names that etcd and Kubernetes
// take. It must never let in what was not asked for.
import NIOSSL

/// From which version to which, and with which suites.
package struct TLSRules: Hashable, Sendable {
    package enum Version: String, Sendable, CaseIterable, Comparable {
        case v12 = "TLS1.2"
        case v13 = "TLS1.3"

        fileprivate var value: TLSVersion {
            switch self {
            case .v12: .tlsv12
            case .v13: .tlsv13
            }
        }

        package static func < (one: Version, other: Version) -> Bool { one == .v12 && other == .v13 }
    }

    package private(set) var minimum = Version.v12
    package private(set) var maximum = Version.v13
    /// Of TLS 1.2, best first; empty: those that are thought good. TLS 1.3 has its own, which cannot be chosen.
    package private(set) var suites: [String] = []

    /// TLS 1.2 or newer.
    package init() {}

    /// nil or empty: as without it.
    package init(minimum: String?, maximum: String?, suites: String?) throws(PKIError) {
        if let minimum, !minimum.isEmpty { self.minimum = try Self.version(minimum) }
        if let maximum, !maximum.isEmpty { self.maximum = try Self.version(maximum) }
        guard self.minimum <= self.maximum else {
            throw .malformed("the oldest version of TLS, \(self.minimum.rawValue), is newer than the newest")
        }
        let names = (suites ?? "").split(separator: ",").map(String.init)
        for name in names where Self.offered[name] == nil {
            throw .malformed("the cipher suite \(name) is not offered; these are: \(Self.offered.keys.sorted())")
        }
        guard names.isEmpty || self.minimum == .v12 else {
            throw .malformed("cipher suites cannot be chosen for TLS 1.3 alone")
        }
        self.suites = names
    }

    private static func version(_ name: String) throws(PKIError) -> Version {
        guard let version = Version(rawValue: name) else {
            throw .malformed("a version of TLS is \(Version.allCases.map(\.rawValue)), not \(name)")
        }
        return version
    }

    /// With forward secrecy and authenticated encryption; two have an older name too.
    private static let offered: [String: NIOTLSCipher] = [
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    ]

    func apply(to configuration: inout TLSConfiguration) {
        configuration.minimumTLSVersion = minimum.value
        if maximum != .v13 { configuration.maximumTLSVersion = maximum.value }
        let chosen = suites.compactMap { Self.offered[$0] }
        if !chosen.isEmpty { configuration.cipherSuiteValues = chosen }
    }
}
