// The border between everything that works with objects (control loops, scheduler, kubelet, proxy, DNS) and the API
// server. Two implementations: in-process on a master (it carries the fence of the leader's term), HTTP everywhere
// else. Objects are whole trees with apiVersion and kind. A refusal is the Status object that the server answered.

/// An error that is a Kubernetes Status: what the API server refused, and why.
package struct StatusError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The whole Status object.
    package var status: JSON

    package init(status: JSON) { self.status = status }

    /// The HTTP code.
    package var code: Int { Int(status["code"]?.int ?? 500) }
    /// `NotFound`, `Conflict`, ...
    package var reason: String { status["reason"]?.string ?? "" }
    package var message: String { status["message"]?.string ?? "" }
    package var description: String { "\(reason) (\(code)): \(message)" }

    package var isNotFound: Bool { code == 404 }
    package var isConflict: Bool { code == 409 && reason == "Conflict" }
    package var isAlreadyExists: Bool { code == 409 && reason == "AlreadyExists" }
    /// The history that a watch or a continue token asks for is compacted: list again.
    package var isExpired: Bool { code == 410 }
    /// Nobody can say now; the same request may succeed later.
    package var isTransient: Bool { code == 429 || code >= 500 }
}

/// The answer to a list.
package struct ObjectList: Sendable {
    package var items: [JSON]
    /// The revision that the list shows; a watch starts here.
    package var resourceVersion: String
    /// Non-empty when the list was cut by `limit`.
    package var continueToken: String

    package init(items: [JSON], resourceVersion: String, continueToken: String = "") {
        self.items = items
        self.resourceVersion = resourceVersion
        self.continueToken = continueToken
    }
}

/// What narrows a list or a watch.
package struct ListOptions: Sendable, Hashable {
    /// Selectors in their textual form; "" selects all.
    package var labelSelector: String
    package var fieldSelector: String
    /// "" = linearizable, "0" = whatever is in memory, else "not older than".
    package var resourceVersion: String
    /// At most so many objects; 0 = no limit.
    package var limit: Int
    package var continueToken: String

    package init(
        labelSelector: String = "", fieldSelector: String = "", resourceVersion: String = "", limit: Int = 0,
        continueToken: String = ""
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.resourceVersion = resourceVersion
        self.limit = limit
        self.continueToken = continueToken
    }
}

/// What happened to an object; a bookmark's object carries only its resourceVersion.
package enum WatchEvent: Sendable {
    case added(JSON)
    case modified(JSON)
    case deleted(JSON)
    case bookmark(resourceVersion: String)
}

/// A watch under way: it ends by finishing (begin again at the last resourceVersion) or by throwing a `StatusError`
/// (when expired: list again). Dropping the stream ends the watch at the server.
package typealias WatchStream = AsyncThrowingStream<WatchEvent, any Error>

/// How a patch is written.
package enum PatchType: String, Sendable {
    case json = "application/json-patch+json"
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"
    case apply = "application/apply-patch+yaml"
}

/// How an object is deleted.
package struct DeleteOptions: Sendable, Hashable {
    /// Seconds; nil = the kind's default.
    package var gracePeriodSeconds: Int?
    /// `Background`, `Foreground`, `Orphan`; nil = the kind's default.
    package var propagationPolicy: String?
    /// Delete only when these still hold.
    package var uid: String?
    package var resourceVersion: String?

    package init(
        gracePeriodSeconds: Int? = nil, propagationPolicy: String? = nil, uid: String? = nil,
        resourceVersion: String? = nil
    ) {
        self.gracePeriodSeconds = gracePeriodSeconds
        self.propagationPolicy = propagationPolicy
        self.uid = uid
        self.resourceVersion = resourceVersion
    }
}

/// Reads and writes objects. Every call throws `StatusError` when the server refuses or cannot be reached (then with
/// code 503 or 504). `namespace` is nil for cluster-scoped kinds and for lists over all namespaces.
package protocol ObjectClient: Sendable {
    func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws(StatusError) -> JSON
    func list(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> ObjectList
    /// Events after `options.resourceVersion`, which must be given, with bookmarks.
    func watch(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> WatchStream
    /// Creates an object, or posts to a subresource of `name` (binding, eviction, token) and returns what that answers.
    func create(
        _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON
    /// Replaces an object; `metadata.resourceVersion` in it is the optimistic lock.
    func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON
    func patch(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
        _ patch: JSON
    ) async throws(StatusError) -> JSON
    func delete(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ options: DeleteOptions)
        async throws(StatusError)
    func deleteCollection(
        _ resource: GroupVersionResource, namespace: String?, _ list: ListOptions, _ options: DeleteOptions)
        async throws(StatusError)
}

extension ObjectClient {
    package func create(
        _ resource: GroupVersionResource, namespace: String?, _ object: JSON
    ) async throws(StatusError)
        -> JSON
    {
        try await create(resource, namespace: namespace, name: nil, subresource: nil, object)
    }
    package func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ object: JSON
    )
        async throws(StatusError) -> JSON
    {
        try await update(resource, namespace: namespace, name: name, subresource: nil, object)
    }
    package func updateStatus(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ object: JSON
    )
        async throws(StatusError) -> JSON
    {
        try await update(resource, namespace: namespace, name: name, subresource: "status", object)
    }
}
