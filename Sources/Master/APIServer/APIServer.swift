// One API server: takes a request through path, authentication, authorization and dispatch to its handler. Runs on the
// event loops of the HTTP server; reads are answered there without a task, writes get one. Any number of masters do
// this at the same time. It must never trap on what a client sent, and never let a request wait without a limit.
import API
import KVCore
import KVReplica
import Logging
import NIOCore
import NIOHTTP1
import NetHTTP
import NetPKI
import Raft
import Synchronization

/// Settings of an `APIServer`.
package struct APIServerConfiguration: Sendable {
    /// This master's name, for logs.
    package var name: String
    package var gitVersion = "v1.33.0+tern.1"
    package var readsInFlightMax = 4000
    package var writesInFlightMax = 2000
    /// A watcher that lets more bytes wait is ended.
    package var watchBacklogBytesMax = 16 << 20
    package var watchersMax = 100_000
    /// How long after its beginning a write whose guard failed is still planned anew.
    package var replansWithin = Duration.seconds(2)
    /// Reaches kubelets for logs, exec, attach; nil: those answer 503.
    package var kubelet: KubeletAccess?

    package init(name: String) { self.name = name }
}

/// How a master reaches kubelets.
package struct KubeletAccess: Sendable {
    /// The master's kubelet-client identity and the CA of kubelets' serving certificates.
    package var tls: ClientTLS
    package var defaultPort = 10250
    package init(tls: ClientTLS) { self.tls = tls }
}

package final class APIServer: HTTPService {
    let configuration: APIServerConfiguration
    let objects: ResourceStore
    let schema: SchemaTable
    let policy: ServerPolicy
    let feed: WatchFeed
    let metrics: ServerMetrics
    let renderer: Renderer
    let discovery: Discovery
    let openAPI: OpenAPI
    let kubelets: KubeletDialer?
    let logger: Logger
    private let health: HealthChecks
    private let reads = Atomic<Int>(0)
    private let writes = Atomic<Int>(0)
    private let draining = Atomic<Bool>(false)

    /// Everything an API server works with. `group` gives the event loops of watches and of calls to kubelets.
    package init(
        _ configuration: APIServerConfiguration, store: any ReplicatedStore, schema: SchemaTable, policy: ServerPolicy,
        metrics: MetricsRegistry, group: any EventLoopGroup, logger: Logger
    ) {
        self.configuration = configuration
        self.schema = schema
        self.policy = policy
        self.logger = logger
        objects = ResourceStore(
            store: store, schema: schema, policy: policy, replansWithin: configuration.replansWithin)
        feed = WatchFeed(store: store, resources: schema.served, eventLoop: group.next(), logger: logger)
        self.metrics = ServerMetrics(metrics)
        renderer = Renderer(schema: schema, now: { Timestamp.nowSeconds() })
        discovery = Discovery(schema.served)
        openAPI = OpenAPI(schema, version: configuration.gitVersion)
        kubelets = configuration.kubelet.map { KubeletDialer($0, group: group, logger: logger) }
        health = HealthChecks(store: store)
        registerStorageMetrics()
    }

    /// Begins to follow the store; call once, after the replica has started.
    package func start() {
        objects.roles.follow(objects.store, on: feed.eventLoop)
        feed.start()
    }

    /// `/readyz` fails and watches end from now on; requests under way are answered.
    package func drain() {
        draining.store(true, ordering: .releasing)
        objects.roles.end()
        feed.stop()
    }

    /// The client of this server's own loops: no HTTP, no authentication; `user` is who admission and authorization
    /// see.
    package func client(as user: UserInfo = .loopback, fence: Term? = nil) -> InProcessClient {
        InProcessClient(objects: objects, feed: feed, user: user, fence: fence)
    }

    /// What its HTTP server answers to requests that never get here (too large, malformed, too slow): a Status.
    @Sendable package static func answer(to error: HTTPServerError) -> HTTPAnswer {
        let status = Status.failure(Status.reason(of: error.status), error.message, code: error.status).status
        return HTTPAnswer(
            status: error.status, headers: [("content-type", "application/json")],
            body: ByteBuffer(bytes: status.serialized()))
    }

    package func respond(to request: HTTPRequest, _ response: HTTPResponseWriter) {
        let auditID = Identity.uid()
        guard let path = path(of: request) else {
            let answer = Self.answer(to: HTTPServerError(status: 400, message: "invalid request path"))
            let headers = answer.headers + [("audit-id", auditID)]
            return response.send(status: answer.status, headers: headers, body: answer.body)
        }
        let observer = RequestObserver(metrics) { [self] in leave(path) }
        var exchange = Exchange(
            request: request, response: response, path: path, attributes: Self.attributes(path, .anonymous, request),
            auditID: auditID,
            observer: observer, renderer: renderer)
        guard enter(path) else {
            return exchange.fail(
                Status.tooManyRequests("Too many requests, please try again later.", retryAfterSeconds: 1))
        }
        response.onClose { observer.answeredWithoutHead() }
        if let pretty = request.query("pretty"), Parameter.bool(pretty) { exchange.representation.isPretty = true }
        authenticate(exchange, isConfirmed: false)
    }

    private func path(of request: HTTPRequest) -> RequestPath? {
        let isWatch = Parameter.bool(request.query("watch"))
        let name = request.query("fieldSelector").flatMap { Self.nameField($0) }
        return RequestPath.parse(method: request.method, target: request.target, isWatch: isWatch, fieldName: name)
    }

    /// `metadata.name=x` alone names the object for authorization, as upstream's.
    private static func nameField(_ selector: String) -> String? {
        for part in selector.split(separator: ",") {
            let pair = part.split(separator: "=", omittingEmptySubsequences: true).map(String.init)
            if pair.count == 2, pair[0] == "metadata.name", !part.contains("!=") { return pair[1] }
        }
        return nil
    }

    private static func attributes(_ path: RequestPath, _ user: UserInfo, _ request: HTTPRequest) -> RequestAttributes {
        var attributes = RequestAttributes(
            user: user, verb: path.verb, isResourceRequest: path.isResource, group: path.group, version: path.version,
            resource: path.resource,
            subresource: path.subresource, namespace: path.namespace, name: path.name, path: path.path)
        attributes.fieldSelector = request.query("fieldSelector") ?? ""
        attributes.labelSelector = request.query("labelSelector") ?? ""
        return attributes
    }
}

/// Limits.
extension APIServer {
    private func isLong(_ path: RequestPath) -> Bool {
        path.verb == "watch" || ["log", "exec", "attach", "portforward", "proxy"].contains(path.subresource)
    }

    private func isRead(_ path: RequestPath) -> Bool { ["get", "list", "head"].contains(path.verb) }

    private func enter(_ path: RequestPath) -> Bool {
        if isLong(path) { return true }
        if isRead(path) { return reads.wrappingAdd(1, ordering: .relaxed).newValue <= configuration.readsInFlightMax }
        return writes.wrappingAdd(1, ordering: .relaxed).newValue <= configuration.writesInFlightMax
    }

    private func leave(_ path: RequestPath) {
        if isLong(path) { return }
        if isRead(path) {
            reads.wrappingSubtract(1, ordering: .relaxed)
        } else {
            writes.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    private func registerStorageMetrics() {
        let counted = Set(schema.served.filter { $0.verbs.contains("list") }.map(\.resource.stored)).sorted {
            $0.groupResource < $1.groupResource
        }
        metrics.registry.onCollect { [weak self] in
            guard let self else { return }
            let view = objects.store.view()
            for resource in counted {
                metrics.storageObjects.set(
                    Double(view.count(.prefix(Key(StoreKey.prefix(resource))))), [resource.groupResource])
            }
            metrics.inFlight.set(Double(reads.load(ordering: .relaxed)), ["readOnly"])
            metrics.inFlight.set(Double(writes.load(ordering: .relaxed)), ["mutating"])
        }
    }
}

/// Authentication and authorization: a refusal is told only when ReadIndex confirms it.
extension APIServer {
    private func authenticate(_ given: Exchange, isConfirmed: Bool) {
        var exchange = given
        do {
            let user = try policy.access.authenticate(Self.credentials(exchange.request), reader: objects.reader())
            exchange.attributes.user = user
            authorize(exchange, isConfirmed: isConfirmed)
        } catch {
            if isConfirmed { return exchange.fail(error) }
            confirm(exchange) { self.authenticate(given, isConfirmed: true) }
        }
    }

    private func authorize(_ exchange: Exchange, isConfirmed: Bool) {
        let decision = policy.access.authorize(exchange.attributes, reader: objects.reader())
        if decision.outcome == .allowed { return dispatch(exchange) }
        if isConfirmed { return exchange.fail(Refusals.forbidden(exchange.attributes, decision.reason)) }
        confirm(exchange) { self.authenticate(exchange, isConfirmed: true) }
    }

    private func confirm(_ exchange: Exchange, _ again: @escaping @Sendable () -> Void) {
        objects.store.barrier { outcome in
            switch outcome {
            case .success: exchange.response.eventLoop.execute(again)
            case .failure(let error): exchange.fail(StoreRefusal.status(error))
            }
        }
    }

    private static func credentials(_ request: HTTPRequest) -> Credentials {
        let certificate = request.clientCertificate.map {
            Credentials.Certificate(commonName: $0.commonName, organizations: $0.organizations)
        }
        var token: String?
        if let header = request.header("authorization"), header.utf8.count > 7,
            header.prefix(7).lowercased() == "bearer "
        {
            token = String(header.dropFirst(7).drop { $0 == " " })
        }
        let isBad = certificate == nil && token == nil && request.clientCertificateFailure != nil
        let impersonation = request.headers.compactMap { header -> (name: String, value: String)? in
            let name = header.name.lowercased()
            return name.hasPrefix("impersonate-") ? (name, header.value) : nil
        }
        // A certificate that TLS refused is a wrong credential, not a missing one: an empty token is refused by every
        // authenticator.
        return Credentials(
            certificate: certificate, bearerToken: isBad ? "" : token, impersonation: impersonation,
            now: Timestamp.nowSeconds())
    }
}

/// To the handlers.
extension APIServer {
    private func dispatch(_ given: Exchange) {
        guard given.path.isResource else {
            return respondNonResource(given, isDraining: draining.load(ordering: .acquiring), health)
        }
        var exchange = given
        guard let found = resolve(exchange.path) else { return refuseUnknown(exchange) }
        exchange.warnings = Exchange.deprecations(found.resource)
        do {
            let pretty = exchange.representation.isPretty
            exchange.representation = try Representation.negotiate(accept: exchange.request.header("accept"))
            if pretty { exchange.representation.isPretty = true }
        } catch {
            return exchange.fail(Refusals.notAcceptable(error, streams: ["list", "watch"].contains(exchange.path.verb)))
        }
        switch (found.subresource, exchange.path.verb) {
        case (nil, "get"): respondGet(exchange, found.resource)
        case (nil, "list"): respondList(exchange, found.resource)
        case (nil, "watch"): respondWatch(exchange, found.resource)
        case (let subresource?, _): respondSubresource(exchange, found.resource, subresource)
        default: respondWrite(exchange, found.resource)
        }
    }

    /// The resource and subresource of a path, when they exist in this shape.
    private func resolve(_ path: RequestPath) -> (resource: ResourceSchema, subresource: SubresourceSchema?)? {
        guard let resource = schema.resource(GroupVersionResource(path.group, path.version, path.resource)),
            resource.isServed
        else { return nil }
        if resource.isNamespaced
            ? (path.scope == nil && !path.name.isEmpty && path.verb != "list" && path.verb != "watch")
            : path.scope != nil
        {
            return nil
        }
        if path.subresource.isEmpty { return (resource, nil) }
        guard let subresource = resource.subresource(path.subresource), path.rest.isEmpty || path.subresource == "proxy"
        else { return nil }
        return (resource, subresource)
    }

    private static let definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    /// kubectl looks for a definition of a kind that it does not find elsewhere; an error instead of an empty list
    /// would be all that it tells its user.
    private static let noDefinitions: JSON = [
        "kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": ["resourceVersion": "0"], "items": []
    ]

    private func refuseUnknown(_ exchange: Exchange) {
        if exchange.path.path == Self.definitionsPath && exchange.path.verb == "list" {
            return exchange.json(200, Self.noDefinitions)
        }
        let isKnownGroup = exchange.path.group.isEmpty || schema.served.contains { $0.group == exchange.path.group }
        if isKnownGroup { exchange.fail(Status.unknownResource()) } else { exchange.text(404, "404 page not found\n") }
    }
}
