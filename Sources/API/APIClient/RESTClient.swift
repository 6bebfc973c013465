// `ObjectClient` over HTTPS: what kubelet, proxy, DNS and outside tools use to reach any master. One connection pool,
// several servers: a server that cannot be reached is left for the next one. It must never repeat a write whose outcome
// is not known.
import API
import Logging
import NIOCore
import NIOHTTP1
import NetHTTP
import NetPKI
import Synchronization

/// Settings of a `RESTClient`.
package struct RESTClientConfiguration: Sendable {
    /// `https://host:port` of the balancer, or of each master.
    package var servers: [String]
    package var tls: ClientTLS?
    /// A file with a bearer token, read again as it is rotated.
    package var tokenFile: String?
    package var userAgent = "tern"
    /// For each request but watches.
    package var timeout: TimeAmount = .seconds(30)
    /// How long a watch is asked to last; a random share is added, so that not all end together.
    package var watchSeconds = 300

    package init(servers: [String], tls: ClientTLS? = nil, tokenFile: String? = nil) {
        self.servers = servers
        self.tls = tls
        self.tokenFile = tokenFile
    }
}

/// Reads and writes objects over HTTP.
package final class RESTClient: ObjectClient {
    private let http: HTTPClient
    private let configuration: RESTClientConfiguration
    private let endpoints: Mutex<(all: [HTTPEndpoint], preferred: Int)>

    /// Refuses with `HTTPClientError.invalidRequest` when a server is no URL.
    package init(
        _ configuration: RESTClientConfiguration, group: any EventLoopGroup, logger: Logger
    )
        throws(HTTPClientError)
    {
        self.configuration = configuration
        var settings = HTTPClientConfiguration(tls: configuration.tls)
        settings.userAgent = configuration.userAgent
        settings.bearerToken = configuration.tokenFile.map { TokenFile($0) }.map { file in { file.token } }
        http = HTTPClient(configuration: settings, group: group, logger: logger)
        endpoints = Mutex((try Self.endpoints(configuration.servers), 0))
    }

    /// Other servers from now on; requests under way go on.
    package func replace(servers: [String]) throws(HTTPClientError) {
        let parsed = try Self.endpoints(servers)
        endpoints.withLock { $0 = (parsed, 0) }
    }

    package func shutdown() async { await http.shutdown() }

    private static func endpoints(_ servers: [String]) throws(HTTPClientError) -> [HTTPEndpoint] {
        var parsed: [HTTPEndpoint] = []
        for server in servers {
            guard let (endpoint, _) = HTTPEndpoint.parse(url: server) else {
                throw .invalidRequest("not a URL: \(server)")
            }
            parsed.append(endpoint)
        }
        if parsed.isEmpty { throw .invalidRequest("no server is configured") }
        return parsed
    }

    /// Any request to the server, as it is: for `/version`, logs and what has no object. The answer is whole.
    package func raw(
        _ method: String, _ target: String, headers: [(String, String)] = [], body: ByteBuffer = ByteBuffer()
    ) async throws(StatusError) -> HTTPClientResponse {
        try await attempt(method) { (endpoint) throws(HTTPClientError) in
            try await self.http.send(
                HTTPClientRequest(
                    method: method, endpoint: endpoint, target: target, headers: headers, body: body,
                    timeout: self.configuration.timeout))
        }
    }

    private func attempt<T>(
        _ method: String, _ call: (HTTPEndpoint) async throws(HTTPClientError) -> T
    ) async throws(StatusError) -> T {
        let (all, first) = endpoints.withLock { ($0.all, $0.preferred) }
        var last: HTTPClientError = .shutdown
        for offset in 0..<all.count {
            let index = (first + offset) % all.count
            do {
                let answer = try await call(all[index])
                if offset > 0 { endpoints.withLock { if $0.all == all { $0.preferred = index } } }
                return answer
            } catch {
                last = error
                if !error.isSafeToRepeat && method != "GET" { break }
            }
        }
        throw Self.status(last)
    }

    private static func status(_ error: HTTPClientError) -> StatusError {
        switch error {
        case .closed, .timeout: Status.timeout("the connection to the server was lost: \(error)")
        default: Status.serviceUnavailable("the server cannot be reached: \(error)")
        }
    }
}

/// Requests and answers.
extension RESTClient {
    private func call(
        _ method: String, _ target: String, contentType: String = "application/json", _ body: JSON? = nil
    )
        async throws(StatusError) -> JSON
    {
        var headers = [("accept", "application/json")]
        if body != nil { headers.append(("content-type", contentType)) }
        let bytes = body.map { ByteBuffer(bytes: $0.serialized()) } ?? ByteBuffer()
        let answer = try await raw(method, target, headers: headers, body: bytes)
        return try Self.tree(answer.status, answer.body)
    }

    fileprivate static func tree(_ status: Int, _ body: ByteBuffer) throws(StatusError) -> JSON {
        let tree: JSON
        do { tree = try JSON.parse(Array(body.readableBytesView)) } catch {
            if (200..<300).contains(status) {
                throw Status.internalError("the server answered something that is no JSON: \(error.message)")
            }
            throw Status.failure(Status.reason(of: status), String(buffer: body), code: status)
        }
        if (200..<300).contains(status) { return tree }
        throw tree.kind == "Status"
            ? StatusError(status: tree) : Status.failure(Status.reason(of: status), tree.text, code: status)
    }

    package func get(
        _ resource: GroupVersionResource, namespace: String?, name: String
    ) async throws(StatusError)
        -> JSON
    {
        try await call("GET", Target.path(resource, namespace, name))
    }

    package func list(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    )
        async throws(StatusError) -> ObjectList
    {
        let list = try await call("GET", Target.path(resource, namespace) + Target.query(options))
        let kind = list.kind.hasSuffix("List") ? String(list.kind.dropLast(4)) : ""
        let apiVersion = list.apiVersion
        let items = list["items"]?.elements.map { item in
            var object = item
            if object["kind"] == nil { object["kind"] = .string(kind) }
            if object["apiVersion"] == nil { object["apiVersion"] = .string(apiVersion) }
            return object
        }
        return ObjectList(
            items: items ?? [], resourceVersion: list.resourceVersion,
            continueToken: list["metadata", "continue"]?.string ?? "")
    }

    package func watch(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    )
        async throws(StatusError) -> WatchStream
    {
        let seconds = configuration.watchSeconds + Int.random(in: 0...max(1, configuration.watchSeconds))
        let target =
            Target.path(resource, namespace)
            + Target.query(
                options, [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", "\(seconds)")])
        let stream = try await attempt("GET") { (endpoint) throws(HTTPClientError) in
            try await self.http.stream(
                HTTPClientRequest(
                    method: "GET", endpoint: endpoint, target: target, headers: [("accept", "application/json")],
                    timeout: self.configuration.timeout))
        }
        guard stream.status == 200 else { throw await Self.refusal(stream) }
        let lines = WatchLines(stream.body)
        return WatchStream { try await lines.next() }
    }

    private static func refusal(_ stream: HTTPClientStream) async -> StatusError {
        var body = ByteBuffer()
        do {
            while body.readableBytes < 1 << 20, var chunk = try await stream.body.next() { body.writeBuffer(&chunk) }
            _ = try tree(stream.status, body)
            return Status.internalError("a watch was answered with \(stream.status)")
        } catch let error as StatusError {
            return error
        } catch {
            return Status.failure(Status.reason(of: stream.status), "\(error)", code: stream.status)
        }
    }

    package func create(
        _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        try await call("POST", Target.path(resource, namespace, name, subresource), object)
    }

    package func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON {
        try await call("PUT", Target.path(resource, namespace, name, subresource), object)
    }

    package func patch(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
        _ patch: JSON
    ) async throws(StatusError) -> JSON {
        try await call("PATCH", Target.path(resource, namespace, name, subresource), contentType: type.rawValue, patch)
    }

    package func delete(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ options: DeleteOptions
    )
        async throws(StatusError)
    {
        _ = try await call("DELETE", Target.path(resource, namespace, name), options.tree)
    }

    package func deleteCollection(
        _ resource: GroupVersionResource, namespace: String?, _ list: ListOptions, _ options: DeleteOptions
    ) async throws(StatusError) {
        _ = try await call("DELETE", Target.path(resource, namespace) + Target.query(list), options.tree)
    }
}

extension DeleteOptions {
    /// As a request body.
    package var tree: JSON {
        var tree: JSON = ["kind": "DeleteOptions", "apiVersion": "v1"]
        if let gracePeriodSeconds { tree["gracePeriodSeconds"] = .int(Int64(gracePeriodSeconds)) }
        if let propagationPolicy { tree["propagationPolicy"] = .string(propagationPolicy) }
        if let uid { tree["preconditions", "uid"] = .string(uid) }
        if let resourceVersion { tree["preconditions", "resourceVersion"] = .string(resourceVersion) }
        return tree
    }
}
