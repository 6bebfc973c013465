// Objects in memory behind the border, so that a kubelet can be fed by hand. It is no API server: no validation, no
// versions beyond a counter; a watch shows everything of its resource.
import API
import Synchronization

final class MemoryClient: ObjectClient {
    private struct State {
        var objects: [String: JSON] = [:]
        var version: Int64 = 1
        var watchers: [(of: GroupVersionResource, tell: AsyncThrowingStream<WatchEvent, any Error>.Continuation)] = []
        var isAway = false
    }
    private let state = Mutex(State())

    private func key(_ resource: GroupVersionResource, _ namespace: String?, _ name: String) -> String {
        "\(resource.resource)/\(namespace ?? "")/\(name)"
    }
    private func away() throws(StatusError) {
        if state.withLock({ $0.isAway }) {
            throw StatusError(status: ["code": 503, "reason": "ServiceUnavailable", "message": "away"])
        }
    }
    private static func refusal(_ code: Int64, _ reason: String) -> StatusError {
        StatusError(status: ["code": .int(code), "reason": .string(reason), "message": .string(reason)])
    }

    /// From now on every call is refused.
    func setAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }

    @discardableResult
    func put(_ resource: GroupVersionResource, _ object: JSON) -> JSON {
        state.withLock { state in
            state.version += 1
            var stored = object
            stored["metadata", "resourceVersion"] = .string(String(state.version))
            let key = key(resource, object.namespace, object.name)
            let isNew = state.objects[key] == nil
            state.objects[key] = stored
            for watcher in state.watchers where watcher.of == resource {
                watcher.tell.yield(isNew ? .added(stored) : .modified(stored))
            }
            return stored
        }
    }

    func object(_ resource: GroupVersionResource, _ namespace: String, _ name: String) -> JSON? {
        state.withLock { $0.objects[key(resource, namespace, name)] }
    }
    func all(_ resource: GroupVersionResource) -> [JSON] {
        state.withLock {
            $0.objects.filter { $0.key.hasPrefix("\(resource.resource)/") }.sorted { $0.key < $1.key }.map(\.value)
        }
    }
    func remove(_ resource: GroupVersionResource, _ namespace: String, _ name: String) {
        state.withLock { state in
            guard let gone = state.objects.removeValue(forKey: key(resource, namespace, name)) else { return }
            for watcher in state.watchers where watcher.of == resource { watcher.tell.yield(.deleted(gone)) }
        }
    }

    func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws(StatusError) -> JSON {
        try away()
        guard let found = object(resource, namespace ?? "", name) else { throw Self.refusal(404, "NotFound") }
        return found
    }

    func list(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> ObjectList
    {
        try away()
        let items = all(resource).filter { namespace == nil || $0.namespace == namespace }
        return ObjectList(items: items, resourceVersion: String(state.withLock { $0.version }))
    }

    func watch(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> WatchStream
    {
        try away()
        let (stream, continuation) = WatchStream.makeStream()
        state.withLock { $0.watchers.append((resource, continuation)) }
        return stream
    }

    func create(
        _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        try away()
        if subresource == "token" {
            return ["status": ["token": "a-token", "expirationTimestamp": "2100-01-01T00:00:00Z"]]
        }
        if self.object(resource, namespace ?? "", object.name) != nil { throw Self.refusal(409, "AlreadyExists") }
        var object = object
        if object.uid.isEmpty { object["metadata", "uid"] = .string("uid-\(object.name)") }
        return put(resource, object)
    }

    func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        try away()
        return put(resource, object)
    }

    func patch(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
        _ patch: JSON
    ) async throws(StatusError) -> JSON {
        try away()
        guard let found = object(resource, namespace ?? "", name) else { throw Self.refusal(404, "NotFound") }
        if let uid = patch["metadata", "uid"]?.string, uid != found.uid { throw Self.refusal(409, "Conflict") }
        return put(resource, try Patch.merge(patch, into: found))
    }

    func delete(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ options: DeleteOptions
    )
        async throws(StatusError)
    {
        try away()
        guard let found = object(resource, namespace ?? "", name) else { throw Self.refusal(404, "NotFound") }
        if let uid = options.uid, uid != found.uid { throw Self.refusal(409, "Conflict") }
        remove(resource, namespace ?? "", name)
    }

    func deleteCollection(
        _ resource: GroupVersionResource, namespace: String?, _ list: ListOptions, _ options: DeleteOptions
    ) async throws(StatusError) { throw Self.refusal(405, "MethodNotAllowed") }
}
