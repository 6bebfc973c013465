// Who asks: the subject of a client certificate, a service account's token, a static or a bootstrap token, or nobody
// (anonymous). Credentials that are there and wrong are refused with 401 and never fall back to anonymous. The
// objects that a token is bound to are looked up each time: a deleted account's token ends with the account.
import API

package struct Authenticator: Sendable {
    package enum TokenResult: Sendable {
        case user(UserInfo, audiences: [String])
        /// Not accepted; the texts are for TokenReview.
        case refused([String])
    }

    private let tokens: TokenIssuer
    private let staticTokens: [String: UserInfo]
    private let isAnonymousAllowed: Bool

    package init(tokens: TokenIssuer, staticTokens: [String: UserInfo] = [:], isAnonymousAllowed: Bool = true) {
        self.tokens = tokens
        self.staticTokens = staticTokens
        self.isAnonymousAllowed = isAnonymousAllowed
    }

    package func authenticate(_ credentials: Credentials, reader: any ObjectReader) throws(StatusError) -> UserInfo {
        if let certificate = credentials.certificate, !certificate.commonName.isEmpty {
            return Self.authenticated(UserInfo(name: certificate.commonName, groups: certificate.organizations))
        }
        if let token = credentials.bearerToken {
            guard
                case .user(let user, _) = token.isEmpty
                    ? .refused([]) : authenticate(token: token, audiences: [], now: credentials.now, reader: reader)
            else { throw Status.unauthorized() }
            return user
        }
        if credentials.certificate != nil || !isAnonymousAllowed { throw Status.unauthorized() }
        return .anonymous
    }

    /// Judges a token; `audiences` empty means this API server's own.
    package func authenticate(token: String, audiences: [String], now: Double, reader: any ObjectReader) -> TokenResult
    {
        let accepted = audiences.isEmpty ? tokens.audiences : audiences
        if let user = staticTokens[token] {
            let shared = tokens.audiences.filter(accepted.contains)
            return shared.isEmpty
                ? .refused(["invalid bearer token"]) : .user(Self.authenticated(user), audiences: shared)
        }
        switch tokens.authenticate(token, audiences: accepted, now: now, reader: reader) {
        case .user(let user, let matched): return .user(Self.authenticated(user), audiences: matched)
        case .refused(let texts):
            if let user = BootstrapToken.authenticate(token, now: now, reader: reader) {
                return .user(Self.authenticated(user), audiences: tokens.audiences.filter(accepted.contains))
            }
            return .refused(["invalid bearer token"] + texts)
        }
    }

    static func authenticated(_ user: UserInfo) -> UserInfo {
        var user = user
        if !user.groups.contains("system:authenticated") { user.groups.append("system:authenticated") }
        return user
    }
}

/// Tokens with which new nodes ask for their first certificate: Secrets of type `bootstrap.kubernetes.io/token`.
enum BootstrapToken {
    static func authenticate(_ token: String, now: Double, reader: any ObjectReader) -> UserInfo? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 6, parts[1].utf8.count == 16 else { return nil }
        let id = String(parts[0])
        guard let secret = reader.get(.secrets, namespace: "kube-system", name: "bootstrap-token-\(id)"),
            !secret.isBeingDeleted,
            secret["type"]?.string == "bootstrap.kubernetes.io/token", value(secret, "token-id") == id,
            isSame(value(secret, "token-secret"), String(parts[1])),
            value(secret, "usage-bootstrap-authentication") == "true"
        else { return nil }
        let expiration = value(secret, "expiration")
        if !expiration.isEmpty {
            guard let end = Timestamp.parseSeconds(expiration), now < end else { return nil }
        }
        let extra = value(secret, "auth-extra-groups").split(separator: ",").map { String($0) }.filter {
            $0.hasPrefix("system:bootstrappers:")
        }
        return UserInfo(name: "system:bootstrap:\(id)", groups: ["system:bootstrappers"] + extra)
    }

    private static func value(_ secret: JSON, _ key: String) -> String {
        guard let text = secret["data", key]?.string, let bytes = Base64.bytes(text) else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Takes the same time wherever the texts differ.
    private static func isSame(_ left: String, _ right: String) -> Bool {
        let a = Array(left.utf8)
        let b = Array(right.utf8)
        guard a.count == b.count, !a.isEmpty else { return false }
        return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
