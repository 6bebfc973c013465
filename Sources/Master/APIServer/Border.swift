// What the generic machinery (routing, storage, watch, patch) and the policy (authentication, authorization, admission, the
// behaviour of kinds) know of each other. The machinery calls; the policy answers with values and never writes to the store itself.
import API
import KVCore

/// Who asks.
package struct UserInfo: Sendable, Hashable {
    package var name: String
    package var uid: String
    package var groups: [String]
    package var extra: [String: [String]]

    package init(name: String, uid: String = "", groups: [String] = [], extra: [String: [String]] = [:]) {
        self.name = name
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

    package static let anonymous = UserInfo(name: "system:anonymous", groups: ["system:unauthenticated"])
    /// The master's own loops and bootstrap.
    package static let loopback = UserInfo(name: "system:apiserver", groups: ["system:masters", "system:authenticated"])
}

/// What is asked, in the terms that RBAC, admission and audit use.
package struct RequestAttributes: Sendable, Hashable {
    package var user: UserInfo
    /// `get list watch create update patch delete deletecollection` (also `proxy`-like verbs as upstream maps them), or the lower-cased method of a non-resource URL.
    package var verb: String
    package var isResourceRequest: Bool
    package var group: String
    package var version: String
    package var resource: String
    package var subresource: String
    package var namespace: String
    package var name: String
    package var path: String
    /// Selectors of a list, watch or deletecollection, for the Node authorizer; "" otherwise.
    package var fieldSelector: String = ""
    package var labelSelector: String = ""

    package init(
        user: UserInfo, verb: String, isResourceRequest: Bool, group: String = "", version: String = "",
        resource: String = "", subresource: String = "",
        namespace: String = "", name: String = "", path: String = ""
    ) {
        self.user = user
        self.verb = verb
        self.isResourceRequest = isResourceRequest
        self.group = group
        self.version = version
        self.resource = resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
        self.path = path
    }
}

/// An authorizer's answer; `reason` goes into the Forbidden message when it is not empty.
package struct AuthorizationDecision: Sendable, Hashable {
    package enum Outcome: Sendable { case allowed, denied, noOpinion }
    package var outcome: Outcome
    package var reason: String
    package init(_ outcome: Outcome, reason: String = "") {
        self.outcome = outcome
        self.reason = reason
    }
}

/// Reads objects out of local memory, as complete trees (apiVersion, kind, resourceVersion set). The machinery implements it
/// over `Replica.view()`. It may lag; whoever refuses on its word lets the machinery repeat the decision after ReadIndex.
package protocol ObjectReader: Sendable {
    func get(_ resource: GroupVersionResource, namespace: String?, name: String) -> JSON?
    func list(_ resource: GroupVersionResource, namespace: String?) -> [JSON]
    /// Equal stamps mean equal content; nil when the reader cannot tell. Lets policy keep what it has compiled.
    var stamp: Int64? { get }
}

extension ObjectReader {
    package var stamp: Int64? { nil }
}

/// A write on its way to the store, as admission and kind behaviour see it.
package struct WriteRequest: Sendable {
    package enum Operation: String, Sendable {
        case create = "CREATE", update = "UPDATE", delete = "DELETE", connect = "CONNECT"
    }
    package var operation: Operation
    package var attributes: RequestAttributes
    package var kind: GroupVersionKind
    /// The new object, decoded and defaulted; what admission changes. Null on delete.
    package var object: JSON
    /// The stored object; nil on create.
    package var old: JSON?
    package var isDryRun: Bool
    /// Seconds since 1970, for timestamps.
    package var now: Double
    package var fieldManager: String = ""
    /// Warnings for the client, each becomes a `Warning: 299` header.
    package var warnings: [String] = []
    /// More guards and writes that belong into the same transaction (service IP and node port allocation, a Namespace's revision, ...).
    package var guards: [Compare] = []
    package var effects: [Op] = []

    package init(
        operation: Operation, attributes: RequestAttributes, kind: GroupVersionKind, object: JSON, old: JSON?,
        isDryRun: Bool, now: Double
    ) {
        self.operation = operation
        self.attributes = attributes
        self.kind = kind
        self.object = object
        self.old = old
        self.isDryRun = isDryRun
        self.now = now
    }
}

/// One cause of a 422 Invalid: upstream's reasons (`FieldValueRequired`, `FieldValueInvalid`, ...) and texts.
package typealias FieldError = StatusCause

/// What differs from kind to kind: the one place where behaviour is code. Every method has a default (KindBehavior+Defaults.swift),
/// so a kind overrides only what it means. Values in, values out; no I/O.
package protocol KindBehavior: Sendable {
    /// Before validation of a create: clears what clients may not set (status), sets what the server sets (spec.finalizers of a Namespace, generation, phase).
    func prepareForCreate(_ write: inout WriteRequest)
    /// Before validation of an update; `subresource` "" is the object itself. Keeps what this path may not change, bumps generation.
    func prepareForUpdate(_ write: inout WriteRequest, subresource: String)
    func validateCreate(_ write: WriteRequest) -> [FieldError]
    func validateUpdate(_ write: WriteRequest, subresource: String) -> [FieldError]
    /// Allocations and other effects that must stand in the same transaction; called after validation; throws a refusal.
    func allocate(_ write: inout WriteRequest, reader: any ObjectReader, view: KVView) throws(StatusError)
    func warnings(_ write: WriteRequest) -> [String]
    /// Whether PUT creates an absent object (Lease, Role, Endpoints, Event, ...).
    var createsOnUpdate: Bool { get }
    /// Whether an update without resourceVersion is taken.
    var allowsUnconditionalUpdate: Bool { get }
    /// Whether DELETE answers with the object instead of a Status.
    var deleteReturnsObject: Bool { get }
    /// The propagation when the client names none: `Background` or `Orphan`.
    var defaultPropagation: String { get }
    /// Seconds of grace for a delete: 0 = removed at once. Pods: the client's or the spec's.
    func graceSeconds(_ object: JSON, requested: Int?) -> Int
    /// What must be freed in the transaction that removes the object (the records of its allocations).
    func release(_ object: JSON, view: KVView) -> [Op]
}
