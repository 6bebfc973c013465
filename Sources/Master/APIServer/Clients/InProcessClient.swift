// `ObjectClient` of the master's own loops: the same machinery without HTTP. Admission and authorization-like checks
// see the user it was made for; every proposal carries the fence of the leader's term, so that a loop that lost
// leadership changes nothing any more.
import API
import KVCore
import NIOCore
import Raft

/// Reads and writes objects in this process.
package struct InProcessClient: ObjectClient {
    let objects: ResourceStore
    let feed: WatchFeed
    /// For example `system:serviceaccount:kube-system:deployment-controller` or `system:kube-scheduler`.
    package var user: UserInfo
    /// Proposals do nothing unless this is the leader's term when they are appended; nil: no fence.
    package var fence: Term?
    /// How the master's own loops are named as owners of fields.
    static let fieldManager = "kube-controller-manager"

    /// The same client for another user.
    package func acting(as user: UserInfo) -> InProcessClient {
        var client = self
        client.user = user
        return client
    }

    package func fenced(by term: Term?) -> InProcessClient {
        var client = self
        client.fence = term
        return client
    }

    private func resource(_ name: GroupVersionResource) throws(StatusError) -> ResourceSchema {
        guard let resource = objects.schema.resource(name), resource.isServed else { throw Status.unknownResource() }
        return resource
    }

    private func call(
        _ verb: String, _ name: GroupVersionResource, _ namespace: String?, _ object: String,
        _ subresource: String? = nil
    ) throws(StatusError) -> WriteCall {
        let resource = try resource(name)
        let scope = resource.isNamespaced ? namespace : nil
        if resource.isNamespaced && (scope ?? "").isEmpty {
            throw Status.badRequest("an empty namespace may not be set during \(verb)")
        }
        let attributes = RequestAttributes(
            user: user, verb: verb, isResourceRequest: true, group: name.group, version: name.version,
            resource: name.resource,
            subresource: subresource ?? "", namespace: scope ?? (name == .namespaces ? object : ""), name: object,
            path: name.path(namespace: scope, name: object.isEmpty ? nil : object, subresource: subresource))
        return WriteCall(
            attributes: attributes, resource: resource, namespace: scope, name: object, subresource: subresource ?? "",
            fieldManager: Self.fieldManager, fence: fence)
    }

    package func get(
        _ resource: GroupVersionResource, namespace: String?, name: String
    ) async throws(StatusError)
        -> JSON
    {
        let schema = try self.resource(resource)
        let key = StoreKey.object(resource, namespace: schema.isNamespaced ? namespace : nil, name: name)
        let read = try await objects.store.read(.linearizable)
        guard let found = read.view.get(key),
            let tree = StoredObject(found.value, revision: found.modRevision)?.tree(schema.kind)
        else {
            throw Status.notFound(resource, name)
        }
        return tree
    }

    package func list(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    )
        async throws(StatusError) -> ObjectList
    {
        let schema = try self.resource(resource)
        let query = try Self.query(schema, options, isWatch: false)
        let read = try await objects.store.read(try query.freshness())
        var scan = ListScan(read.view, schema, schema.isNamespaced ? namespace : nil, query.filter)
        scan.limit = query.effectiveLimit
        scan.after = query.continueToken?.after ?? []
        let found = scan.run()
        let token = found.next.map { ContinueToken(revision: read.view.revision, after: $0).encoded } ?? ""
        return ObjectList(
            items: found.objects.map { $0.tree(schema.kind) }, resourceVersion: "\(read.view.revision)",
            continueToken: token)
    }

    private static func query(
        _ resource: ResourceSchema, _ options: ListOptions, isWatch: Bool
    ) throws(StatusError)
        -> ListQuery
    {
        try ListQuery.parse(resource, name: nil, isWatch: isWatch) { name in
            switch name {
            case "labelSelector": options.labelSelector
            case "fieldSelector": options.fieldSelector
            case "resourceVersion": options.resourceVersion
            case "limit": "\(options.limit)"
            case "continue": options.continueToken
            default: nil
            }
        }
    }

    package func watch(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    )
        async throws(StatusError) -> WatchStream
    {
        let schema = try self.resource(resource)
        let query = try Self.query(schema, options, isWatch: true)
        guard let freshness = Freshness.parse(options.resourceVersion), case .atLeast(let after) = freshness else {
            throw Status.badRequest("a watch needs a resourceVersion to begin after")
        }
        let subscription = WatchSubscription(
            resource: schema, namespace: schema.isNamespaced && !(namespace ?? "").isEmpty ? namespace : nil,
            filter: query.filter, after: after,
            wantsBookmarks: true, timeoutSeconds: nil)
        let (stream, continuation) = WatchStream.makeStream(
            bufferingPolicy: .bufferingOldest(StreamWatchSink.backlogEventsMax))
        let id = feed.join(subscription, StreamWatchSink(schema.kind, continuation))
        continuation.onTermination = { [feed] _ in feed.leave(id, schema.resource.stored) }
        return stream
    }

    package func create(
        _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        var call = try call("create", resource, namespace, name ?? "", subresource)
        if let subresource {
            call.name = name ?? object.name
            return try await objects.post(call, subresource: subresource, object).object
        }
        let decoded = try BodyDecoder(schema: objects.schema).check(object, as: call.resource.kind)
        call.attributes.name = ""
        // Reviews are answered, not kept.
        if !call.resource.verbs.contains("get") { return try await objects.postVirtual(call, decoded.object).object }
        return try await objects.create(call, decoded.object).object
    }

    package func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        let call = try call("update", resource, namespace, name, subresource)
        return try await objects.replace(call, object, BodyDecoder(schema: objects.schema)).object
    }

    package func patch(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
        _ patch: JSON
    ) async throws(StatusError) -> JSON {
        let call = try call("patch", resource, namespace, name, subresource)
        return try await objects.patch(call, type, patch, BodyDecoder(schema: objects.schema)).object
    }

    package func delete(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ options: DeleteOptions
    )
        async throws(StatusError)
    {
        _ = try await objects.delete(try call("delete", resource, namespace, name), Removal(options))
    }

    package func deleteCollection(
        _ resource: GroupVersionResource, namespace: String?, _ list: ListOptions, _ options: DeleteOptions
    ) async throws(StatusError) {
        let call = try call("deletecollection", resource, namespace, "")
        let query = try Self.query(call.resource, list, isWatch: false)
        _ = try await objects.deleteCollection(call, query.filter, Removal(options))
    }
}
