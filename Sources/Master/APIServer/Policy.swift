// The whole policy of a master, built from one configuration: who asks, what they may, what becomes of an object on
// its way. It exists so that the server and the executable construct one thing. It reads no files and keeps no state
// but caches.
import API
import NetPKI

/// What the policy of a cluster depends on.
package struct PolicyConfiguration: Sendable {
    package var serviceAccountKey: ServiceAccountKey
    /// Keys of the past whose tokens are still taken.
    package var verificationKeys: [ServiceAccountKey]
    package var issuer: String
    /// The audiences of the API; empty: the issuer.
    package var audiences: [String]
    package var network: ServiceNetwork
    /// Bearer tokens that stand for users (the development cluster's, tests').
    package var staticTokens: [String: UserInfo]
    package var isAnonymousAllowed: Bool
    /// Seconds that pods tolerate an unready or unreachable node unless they say otherwise; upstream's default.
    package var notReadyTolerationSeconds: Int64 = 300
    package var unreachableTolerationSeconds: Int64 = 300

    package init(
        serviceAccountKey: ServiceAccountKey, verificationKeys: [ServiceAccountKey] = [],
        issuer: String = "https://kubernetes.default.svc.cluster.local", audiences: [String] = [],
        network: ServiceNetwork = ServiceNetwork(),
        staticTokens: [String: UserInfo] = [:], isAnonymousAllowed: Bool = true
    ) {
        self.serviceAccountKey = serviceAccountKey
        self.verificationKeys = verificationKeys
        self.issuer = issuer
        self.audiences = audiences
        self.network = network
        self.staticTokens = staticTokens
        self.isAnonymousAllowed = isAnonymousAllowed
    }
}

/// All policy of one cluster.
package struct Policy: Sendable {
    package let access: AccessControl
    package let admission: AdmissionChain
    package let kinds: KindTable
    package let reviews: Reviews

    package init(_ configuration: PolicyConfiguration) {
        let tokens = TokenIssuer(
            key: configuration.serviceAccountKey, issuer: configuration.issuer, audiences: configuration.audiences,
            verificationKeys: configuration.verificationKeys)
        let authenticator = Authenticator(
            tokens: tokens, staticTokens: configuration.staticTokens,
            isAnonymousAllowed: configuration.isAnonymousAllowed)
        let authorizer = Authorizer(nodeRules: DefaultRoles.nodeRules)
        access = AccessControl(authenticator: authenticator, authorizer: authorizer)
        admission = AdmissionChain(
            authorizer: authorizer, notReadyTolerationSeconds: configuration.notReadyTolerationSeconds,
            unreachableTolerationSeconds: configuration.unreachableTolerationSeconds)
        kinds = KindTable(network: configuration.network)
        reviews = Reviews(access: access, tokens: tokens)
    }

    /// What the machinery is given.
    package var server: ServerPolicy {
        ServerPolicy(access: access, admission: admission, kinds: kinds, virtual: reviews)
    }
}
