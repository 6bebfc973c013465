// The TLS side of a listener: TLS 1.2 or newer, ALPN, client certificates wanted or required, all replaceable
// while connections run (new handshakes take the new one). A client certificate is verified by `TrustBundle`, not
// by BoringSSL, so that an expired or foreign one can be answered with 401 instead of a broken handshake.
// It must never report an unverified certificate as the client's.
import NIOCore
import NIOSSL
import Synchronization

/// Whether a listener asks its clients for certificates, and what happens to bad ones.
package enum ClientCertificatePolicy: Sendable {
    /// Not asked for.
    case none
    /// A client may show one; a bad one leaves the client without identity and `PeerVerdict.failure` says why.
    case optional
    /// A client must show a good one, else the handshake fails.
    case required
}

/// What is known about the peer of one connection once its handshake is done.
package final class PeerVerdict: Sendable {
    private struct Facts { var certificate: ClientCertificate?; var failure: String?; var isJudged = false }
    private let facts = Mutex(Facts())

    /// The verified leaf; nil when none was shown or it was bad.
    package var certificate: ClientCertificate? { facts.withLock { $0.certificate } }
    /// Why the shown certificate was refused.
    package var failure: String? { facts.withLock { $0.failure } }
    /// A resumed session skips the verification callback; then the listener judges the remembered certificate itself.
    package var isJudged: Bool { facts.withLock { $0.isJudged } }

    package init() {}

    /// Verifies a chain (DER, leaf first) and remembers the outcome. True when it is good.
    @discardableResult
    package func judge(_ chain: [[UInt8]], by trust: TrustBundle?) -> Bool {
        var outcome = Facts(certificate: nil, failure: nil, isJudged: true)
        do throws(PKIError) {
            guard let trust else { throw .untrusted("x509: certificate signed by unknown authority") }
            outcome.certificate = try trust.verifyClient(chain)
        } catch {
            outcome.failure = error.description
        }
        facts.withLock { $0 = outcome }
        return outcome.failure == nil
    }
}

/// A listener's certificate, key and client policy; `replace` changes them for new connections.
package final class ServerTLS: Sendable {
    private struct Current {
        var identity: TLSIdentity
        var clientCAPEM: String?
        var context: NIOSSLContext
        var trust: TrustBundle?
    }

    package let policy: ClientCertificatePolicy
    package let alpn: [String]
    private let rules: TLSRules
    private let current: Mutex<Current>

    /// `alpn` is the list offered, best first: `["h2", "http/1.1"]`, `["h2"]`, or empty.
    package init(
        identity: TLSIdentity, clientCAPEM: String? = nil, policy: ClientCertificatePolicy? = nil,
        alpn: [String] = ["h2", "http/1.1"], rules: TLSRules = TLSRules()
    ) throws(PKIError) {
        self.policy = policy ?? (clientCAPEM == nil ? .none : .optional)
        self.alpn = alpn
        self.rules = rules
        current = Mutex(try Self.make(identity, clientCAPEM, self.policy, alpn, rules))
    }

    /// The same from PEM texts.
    package convenience init(
        certificatePEM: String, keyPEM: String, clientCAPEM: String? = nil, policy: ClientCertificatePolicy? = nil,
        alpn: [String] = ["h2", "http/1.1"]
    ) throws(PKIError) {
        let identity = try TLSIdentity(certificatePEM: certificatePEM, keyPEM: keyPEM)
        try self.init(identity: identity, clientCAPEM: clientCAPEM, policy: policy, alpn: alpn)
    }

    /// New connections show this identity and, when `clientCAPEM` is given, trust this bundle.
    package func replace(identity: TLSIdentity, clientCAPEM: String? = nil) throws(PKIError) {
        let bundle = clientCAPEM ?? current.withLock { $0.clientCAPEM }
        let made = try Self.make(identity, bundle, policy, alpn, rules)
        current.withLock { $0 = made }
    }

    /// The handler for a new connection and the verdict it will fill in. The handler comes first in the pipeline.
    package func makeHandler() -> (handler: NIOSSLServerHandler, verdict: PeerVerdict) {
        let (context, trust) = current.withLock { ($0.context, $0.trust) }
        let verdict = PeerVerdict()
        guard policy != .none else { return (NIOSSLServerHandler(context: context), verdict) }
        let mustBeGood = policy == .required
        let handler = NIOSSLServerHandler(
            context: context,
            customVerificationCallback: { chain, promise in
                let good = verdict.judge(chain.compactMap { derBytes($0) }, by: trust)
                promise.succeed(good || !mustBeGood ? .certificateVerified : .failed)
            })
        return (handler, verdict)
    }

    /// Judges the certificate of a resumed session, once the handshake is complete.
    package func completeVerdict(_ verdict: PeerVerdict, _ handler: NIOSSLServerHandler) {
        guard policy != .none, !verdict.isJudged, let leaf = handler.peerCertificate, let der = derBytes(leaf) else {
            return
        }
        verdict.judge([der], by: current.withLock { $0.trust })
    }

    private static func make(
        _ identity: TLSIdentity, _ clientCAPEM: String?, _ policy: ClientCertificatePolicy, _ alpn: [String],
        _ rules: TLSRules
    ) throws(PKIError) -> Current {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: identity.chain, privateKey: identity.key)
        rules.apply(to: &configuration)
        configuration.applicationProtocols = alpn
        configuration.shutdownTimeout = .seconds(1)
        var trust: TrustBundle?
        if policy != .none {
            guard let clientCAPEM else { throw .malformed("client certificates are asked for without a CA bundle") }
            trust = try TrustBundle(pem: clientCAPEM)
            configuration.trustRoots = .certificates(try readTrustRoots(clientCAPEM))
            configuration.certificateVerification =
                policy == .required ? .noHostnameVerification : .optionalVerification
        }
        do {
            return Current(
                identity: identity, clientCAPEM: clientCAPEM, context: try NIOSSLContext(configuration: configuration),
                trust: trust)
        } catch {
            throw .malformed("TLS configuration: \(error)")
        }
    }
}

func derBytes(_ certificate: NIOSSLCertificate) -> [UInt8]? {
    readExtension { try certificate.toDERBytes() }
}
