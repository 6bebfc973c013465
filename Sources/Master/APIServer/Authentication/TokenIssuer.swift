// Service-account tokens: JWTs that are bound to an account, and often to a pod, node or secret. Issued for
// `serviceaccounts/token`, verified on every request. Signature and claims are facts of the token and are kept;
// whether the bound objects still exist is asked anew.
import API
import NetPKI
import Synchronization

package struct TokenIssuer: Sendable {
    package let issuer: String
    /// The audiences of this API server.
    package let audiences: [String]
    private let key: ServiceAccountKey
    /// More keys whose tokens are still taken (rotation).
    private let verificationKeys: [ServiceAccountKey]
    private let verified = VerifiedTokens()

    /// What kubelets ask for; such tokens live a year and warn after the hour, as upstream's do.
    static let kubeletSeconds: Int64 = 3607
    static let extendedSeconds: Int64 = 365 * 24 * 3600
    static let leewaySeconds: Double = 60

    package init(
        key: ServiceAccountKey, issuer: String, audiences: [String] = [], verificationKeys: [ServiceAccountKey] = []
    ) {
        self.key = key
        self.issuer = issuer
        self.audiences = audiences.isEmpty ? [issuer] : audiences
        self.verificationKeys = [key] + verificationKeys
    }

    package func authenticate(
        _ token: String, audiences accepted: [String], now: Double, reader: any ObjectReader
    )
        -> Authenticator.TokenResult
    {
        guard let claims = claims(token), claims["iss"]?.string == issuer else { return .refused([]) }
        let given = Self.audiences(claims)
        let matched = given.filter(accepted.contains)
        if matched.isEmpty {
            return .refused([
                "token audiences \(Self.quoted(given)) is invalid for the target audiences \(Self.quoted(accepted))"
            ])
        }
        if let end = claims["exp"]?.double, now > end { return .refused(["service account token has expired"]) }
        if let start = claims["nbf"]?.double, now + Self.leewaySeconds < start {
            return .refused(["service account token is not valid yet"])
        }
        do { return .user(try BoundToken(claims).user(now: now, reader: reader), audiences: matched) } catch {
            return .refused([error.text])
        }
    }

    private static func quoted(_ list: [String]) -> String { "[\(list.map { Go.quote($0) }.joined(separator: " "))]" }

    private static func audiences(_ claims: JSON) -> [String] {
        if let one = claims["aud"]?.string { return [one] }
        return claims["aud"]?.elements.compactMap(\.string) ?? []
    }

    /// The claims of a token with a good signature.
    private func claims(_ token: String) -> JSON? {
        if let known = verified.claims(token) { return known }
        for key in verificationKeys {
            do {
                let claims = try JSON.parse(try key.verify(token))
                verified.keep(token, claims)
                return claims
            } catch { continue }
        }
        return nil
    }

    /// Signs claims; the machinery's own errors become a 500.
    func sign(_ claims: JSON) throws(StatusError) -> String {
        do { return try key.sign(claims: claims.serialized()) } catch {
            throw Status.internalError("signing a service account token: \(error)")
        }
    }

    /// `/.well-known/openid-configuration`
    package func openIDConfiguration() -> JSON {
        [
            "issuer": .string(issuer), "jwks_uri": .string("\(issuer)/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [.string(key.algorithm.rawValue)]
        ]
    }

    /// `/openid/v1/jwks`
    package func openIDKeys() -> JSON {
        do { return try JSON.parse(try key.jwks()) } catch { return ["keys": []] }
    }
}

/// Claims of tokens whose signature was verified; bounded.
final class VerifiedTokens: Sendable {
    static let tokensMax = 4096
    private let known = Mutex<[String: JSON]>([:])

    func claims(_ token: String) -> JSON? { known.withLock { $0[token] } }
    func keep(_ token: String, _ claims: JSON) {
        known.withLock { known in
            if known.count >= Self.tokensMax { known.removeAll(keepingCapacity: true) }
            known[token] = claims
        }
    }
}

/// Why a well-signed token is not accepted.
struct TokenRefusal: Error {
    var text: String
}

/// What a token's claims bind it to.
struct BoundToken {
    private let claims: JSON
    private var bound: JSON { claims["kubernetes.io"] ?? [:] }

    init(_ claims: JSON) { self.claims = claims }

    func user(now: Double, reader: any ObjectReader) throws(TokenRefusal) -> UserInfo {
        let namespace = bound["namespace"]?.string ?? ""
        let name = bound["serviceaccount", "name"]?.string ?? ""
        let uid = bound["serviceaccount", "uid"]?.string ?? ""
        guard !namespace.isEmpty, !name.isEmpty, claims["sub"]?.string == "system:serviceaccount:\(namespace):\(name)"
        else {
            throw TokenRefusal(text: "service account claims are malformed")
        }
        try check(.serviceAccounts, namespace, name: name, uid: uid, now: now, reader: reader)
        var user = UserInfo(
            name: "system:serviceaccount:\(namespace):\(name)", uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)"])
        if let id = claims["jti"]?.string { user.extra["authentication.kubernetes.io/credential-id"] = ["JTI=\(id)"] }
        for (member, resource, isNamespaced) in [
            ("pod", GroupVersionResource.pods, true), ("secret", .secrets, true), ("node", .nodes, false)
        ] {
            guard let object = bound[member], let name = object["name"]?.string, let uid = object["uid"]?.string else {
                continue
            }
            // A pod's token names the node too, only for information: a node that went does not end it.
            if member != "node" || bound["pod"] == nil {
                try check(resource, isNamespaced ? namespace : nil, name: name, uid: uid, now: now, reader: reader)
            }
            if member != "secret" {
                user.extra["authentication.kubernetes.io/\(member)-name"] = [name]
                user.extra["authentication.kubernetes.io/\(member)-uid"] = [uid]
            }
        }
        return user
    }

    private func check(
        _ resource: GroupVersionResource, _ namespace: String?, name: String, uid: String, now: Double,
        reader: any ObjectReader
    ) throws(TokenRefusal) {
        guard let object = reader.get(resource, namespace: namespace, name: name) else {
            throw TokenRefusal(text: "\(resource.groupResource) \(Go.quote(name)) not found")
        }
        if object.uid != uid { throw TokenRefusal(text: "service account token has been invalidated") }
        if let end = object["metadata", "deletionTimestamp"]?.string.flatMap(Timestamp.parseSeconds),
            now > end + TokenIssuer.leewaySeconds
        {
            throw TokenRefusal(text: "service account token has been invalidated")
        }
    }
}
