// The TLS side of a caller: which authorities it trusts, which identity it shows, which name it expects.
// One object serves all connections of a client and can be replaced at run time (a rotated certificate).
// It must never connect without verification unless the caller asked for that by name.
import NIOCore
import NIOSSL
import Synchronization

/// A caller's trust roots and identity.
package final class ClientTLS: Sendable {
    private struct Current {
        var identity: TLSIdentity?
        var contexts: [[String]: NIOSSLContext]
    }

    private let current: Mutex<Current>
    private let trustRoots: NIOSSLTrustRoots?
    private let skipsVerification: Bool
    private let rules: TLSRules
    /// The protocols offered by default, best first.
    package let alpn: [String]
    /// The name to verify instead of the host that is dialled.
    package let serverName: String?

    /// `trustRootsPEM` nil trusts the machine's authorities. `skipsVerification` is for probes only (upstream's do
    /// not verify).
    package init(
        trustRootsPEM: String?, identity: TLSIdentity? = nil, serverName: String? = nil,
        alpn: [String] = ["h2", "http/1.1"], skipsVerification: Bool = false, rules: TLSRules = TLSRules()
    ) throws(PKIError) {
        if let trustRootsPEM { trustRoots = .certificates(try readTrustRoots(trustRootsPEM)) } else { trustRoots = nil }
        self.alpn = alpn
        self.serverName = serverName
        self.skipsVerification = skipsVerification
        self.rules = rules
        current = Mutex(Current(identity: identity, contexts: [:]))
        _ = try context(alpn)
    }

    /// New connections show this identity.
    package func replace(identity: TLSIdentity?) throws(PKIError) {
        _ = try make(identity, alpn)
        current.withLock { $0 = Current(identity: identity, contexts: [:]) }
    }

    /// The handler for a new connection to `host`; an address is verified against the certificate's IP names.
    /// `alpn` replaces the default offer (WebSocket and raw upgrades need HTTP/1.1).
    package func makeHandler(host: String, alpn: [String]? = nil) throws(PKIError) -> NIOSSLClientHandler {
        let name = serverName ?? host
        let hostname = addressBytes(name) == nil ? name : nil
        let context = try context(alpn ?? self.alpn)
        do { return try NIOSSLClientHandler(context: context, serverHostname: hostname) } catch {
            throw .malformed("TLS to \(name): \(error)")
        }
    }

    private func context(_ alpn: [String]) throws(PKIError) -> NIOSSLContext {
        let (known, identity) = current.withLock { ($0.contexts[alpn], $0.identity) }
        if let known { return known }
        let made = try make(identity, alpn)
        current.withLock { $0.contexts[alpn] = made }
        return made
    }

    private func make(_ identity: TLSIdentity?, _ alpn: [String]) throws(PKIError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        rules.apply(to: &configuration)
        configuration.applicationProtocols = alpn
        configuration.shutdownTimeout = .seconds(1)
        configuration.certificateVerification = skipsVerification ? .none : .fullVerification
        if let trustRoots { configuration.trustRoots = trustRoots }
        if let identity {
            configuration.certificateChain = identity.chain
            configuration.privateKey = identity.key
        }
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw .malformed("TLS configuration: \(error)")
        }
    }
}
