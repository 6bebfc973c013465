// The second half of the border between machinery and policy: what one `APIServer` is given besides its store and its
// schema. All of it is synchronous and works on local memory (`ObjectReader`): the machinery repeats a refusal after
// ReadIndex before a client sees it. Policy never writes to the store, never blocks and never reads the clock; it may
// keep caches of its own.
import API
import KVCore

/// What a client showed about itself, before anybody judged it.
package struct Credentials: Sendable, Hashable {
    /// Subject of the client certificate that TLS has validated; nil when none was shown.
    package struct Certificate: Sendable, Hashable {
        package var commonName: String
        package var organizations: [String]
        package init(commonName: String, organizations: [String]) {
            self.commonName = commonName
            self.organizations = organizations
        }
    }
    package var certificate: Certificate?
    /// The token of `Authorization: Bearer` (or of the WebSocket subprotocol `base64url.bearer.authorization.k8s.io.`);
    /// nil when none was sent.
    package var bearerToken: String?
    /// `Impersonate-User`, `-Uid`, `-Group`, `-Extra-*`, with lower-cased names; empty: no impersonation is asked.
    package var impersonation: [(name: String, value: String)] {
        zip(impersonationNames, impersonationValues).map { ($0, $1) }
    }
    private var impersonationNames: [String] = []
    private var impersonationValues: [String] = []
    /// Seconds since 1970.
    package var now: Double

    package init(
        certificate: Certificate?, bearerToken: String?, impersonation: [(name: String, value: String)] = [],
        now: Double
    ) {
        self.certificate = certificate
        self.bearerToken = bearerToken
        self.impersonationNames = impersonation.map(\.name)
        self.impersonationValues = impersonation.map(\.value)
        self.now = now
    }
}

/// Who may do what.
package protocol AccessPolicy: Sendable {
    /// The user (after impersonation). No credentials: `UserInfo.anonymous`. Throws 401 Unauthorized for wrong ones,
    /// 403 for a refused impersonation.
    func authenticate(_ credentials: Credentials, reader: any ObjectReader) throws(StatusError) -> UserInfo
    func authorize(_ attributes: RequestAttributes, reader: any ObjectReader) -> AuthorizationDecision
}

/// The admission plugins, in their order.
package protocol AdmissionPolicy: Sendable {
    /// Before the kind's validation: changes the object, adds guards (the Namespace's revision on create), refuses.
    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError)
    /// After the kind's validation: only refuses.
    func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError)
}

/// The behaviour of each kind; a kind without one of its own gets the defaults.
package protocol KindRegistry: Sendable {
    func behavior(_ resource: GroupVersionResource) -> any KindBehavior
}

/// Resources and subresources that are answered and never stored: TokenReview, SubjectAccessReview and its family,
/// SelfSubjectReview, `serviceaccounts/token`.
package protocol VirtualResources: Sendable {
    /// The answer to a POST (201), or nil when this is no virtual resource. `parent` is the stored object that a
    /// subresource hangs on.
    func create(
        _ attributes: RequestAttributes, _ object: JSON, parent: JSON?, reader: any ObjectReader, now: Double
    ) throws(StatusError) -> JSON?
    /// Bodies of `/.well-known/openid-configuration` and `/openid/v1/jwks`.
    func openIDConfiguration() -> JSON
    func openIDKeys() -> JSON
}

/// All policy of one API server.
package struct ServerPolicy: Sendable {
    package var access: any AccessPolicy
    package var admission: any AdmissionPolicy
    package var kinds: any KindRegistry
    package var virtual: any VirtualResources

    package init(
        access: any AccessPolicy, admission: any AdmissionPolicy, kinds: any KindRegistry, virtual: any VirtualResources
    ) {
        self.access = access
        self.admission = admission
        self.kinds = kinds
        self.virtual = virtual
    }
}

/// Where an object lies in the store; policy needs it for guards and allocation records.
package enum StoreKey {
    /// `/registry/<group or core>/<plural>/<namespace>/<name>`, without the namespace for cluster-scoped kinds.
    package static func object(_ resource: GroupVersionResource, namespace: String?, name: String) -> Key {
        Key(prefix(resource, namespace: namespace) + name)
    }
    /// The prefix of all objects of a resource, or of those of one namespace; ends with "/".
    package static func prefix(_ resource: GroupVersionResource, namespace: String? = nil) -> String {
        let group = resource.stored.group
        let all = "/registry/\(group.isEmpty ? "core" : group)/\(resource.resource)/"
        return namespace.map { $0.isEmpty ? all : "\(all)\($0)/" } ?? all
    }
}

extension GroupVersionResource {
    /// What names the stored objects: versions of a resource share them, and Events are the same in both their groups.
    package var stored: GroupVersionResource {
        let isEvent = resource == "events" && group == "events.k8s.io"
        return GroupVersionResource(isEvent ? "" : group, "", resource)
    }
}
