// Paths that are no objects: discovery, versions, health, metrics, OpenAPI, OpenID. Everything unknown is upstream's
// plain 404.
import API
import NIOCore
import NetHTTP

extension APIServer {
    func respondNonResource(_ given: Exchange, isDraining: Bool, _ health: HealthChecks) {
        let path = given.path.path
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        if health.respond(given, isDraining: isDraining) { return }
        guard ["GET", "HEAD"].contains(given.request.method) else { return given.fail(Status.methodNotAllowed()) }
        switch trimmed {
        case "/api", "/apis": return respondDiscovery(given, trimmed)
        case "/metrics": return respondMetrics(given)
        case "/.well-known/openid-configuration":
            return given.json(
                200, policy.virtual.openIDConfiguration(), more: [("cache-control", "public, max-age=3600")])
        case "/openid/v1/jwks":
            let body = Wire.buffer(policy.virtual.openIDKeys())
            return given.send(200, "application/jwk-set+json", body, more: [("cache-control", "public, max-age=3600")])
        default: break
        }
        if trimmed.hasPrefix("/openapi/") { return respondOpenAPI(given, trimmed) }
        respondTree(given, trimmed)
    }

    private func respondTree(_ given: Exchange, _ path: String) {
        guard let tree = tree(path) else {
            if isVersioned(path) { return given.fail(Status.unknownResource()) }
            return given.text(404, "404 page not found\n")
        }
        var exchange = given
        do {
            exchange.representation = try Representation.negotiate(
                accept: exchange.request.header("accept"), allowsForms: false)
            exchange.representation.isPretty = given.representation.isPretty
            exchange.json(200, tree)
        } catch {
            exchange.fail(Refusals.notAcceptable(error))
        }
    }

    private func tree(_ path: String) -> JSON? {
        switch path {
        case "/version": return versionTree
        case "/": return discovery.paths()
        default: break
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        switch (parts.first, parts.count) {
        case ("api", 2): return discovery.resourceList("", parts[1])
        case ("apis", 2): return discovery.group(parts[1])
        case ("apis", 3): return discovery.resourceList(parts[1], parts[2])
        default: return nil
        }
    }

    /// An unknown version of a known root is a Status, an unknown group plain text.
    private func isVersioned(_ path: String) -> Bool {
        let parts = path.split(separator: "/").map(String.init)
        guard let root = parts.first else { return false }
        if root == "api" { return true }
        return root == "apis" && parts.count > 2 && discovery.groups.contains { $0.name == parts[1] }
    }

    private var versionTree: JSON {
        let version = configuration.gitVersion
        return [
            "major": "1", "minor": "33", "emulationMajor": "1", "emulationMinor": "33", "minCompatibilityMajor": "1",
            "minCompatibilityMinor": "32", "gitVersion": .string(version), "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.24", "compiler": "swift",
            "platform": .string(Self.platform)
        ]
    }

    private static var platform: String {
        #if arch(arm64)
            "linux/arm64"
        #else
            "linux/amd64"
        #endif
    }

    private func respondMetrics(_ exchange: Exchange) {
        exchange.send(200, MetricsRegistry.contentType, ByteBuffer(string: metrics.registry.render()))
    }

    /// The first clause of Accept that is understood decides: aggregated v2, v2beta1, or the old lists.
    private func respondDiscovery(_ given: Exchange, _ root: String) {
        var exchange = given
        let accept = given.request.header("accept") ?? ""
        for clause in MediaType.clauses(accept) where clause.type == "application/json" {
            guard clause.parameters["as"] == "APIGroupDiscoveryList", clause.parameters["g"] == "apidiscovery.k8s.io",
                let version = clause.parameters["v"], let body = discovery.document(root, version)
            else {
                if clause.parameters["as"] == nil { break } else { continue }
            }
            let more = [("etag", discovery.etag), ("vary", "Accept"), ("cache-control", "public")]
            let type = "application/json;g=apidiscovery.k8s.io;v=\(version);as=APIGroupDiscoveryList"
            if given.request.header("if-none-match") == discovery.etag {
                return given.send(304, type, ByteBuffer(), more: more)
            }
            return given.send(200, type, body, more: more)
        }
        do {
            exchange.representation = try Representation.negotiate(accept: accept, allowsForms: false)
            exchange.json(200, root == "/apis" ? discovery.groupList() : legacyVersions(given))
        } catch {
            exchange.fail(Refusals.notAcceptable(error))
        }
    }

    private func legacyVersions(_ exchange: Exchange) -> JSON {
        [
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [
                ["clientCIDR": "0.0.0.0/0", "serverAddress": .string(exchange.request.header("host") ?? "")]
            ]
        ]
    }

    private func respondOpenAPI(_ exchange: Exchange, _ path: String) {
        if path == "/openapi/v2" { return respondOpenAPIv2(exchange) }
        let accept = exchange.request.header("accept") ?? ""
        let isProtobufOnly = accept.contains("protobuf") && !accept.contains("json") && !accept.contains("*/*")
        if isProtobufOnly { return exchange.fail(Refusals.notAcceptable(.noMediaType)) }
        switch path {
        case "/openapi/v3": exchange.send(200, "application/json", openAPI.index)
        default: respondOpenAPIDocument(exchange, String(path.dropFirst("/openapi/v3/".count)))
        }
    }

    /// The first form that is named and served.
    private func respondOpenAPIv2(_ exchange: Exchange) {
        let etag = "\"\(openAPI.hash)\""
        let more = [("etag", etag), ("vary", "Accept")]
        for clause in MediaType.clauses(exchange.request.header("accept") ?? "*/*") {
            let isProtobuf = [OpenAPIv2Protobuf.accepted, OpenAPIv2Protobuf.contentType].contains(clause.type)
            guard isProtobuf || Encoding(mediaType: clause.type) == .json else { continue }
            let type = isProtobuf ? OpenAPIv2Protobuf.contentType : Encoding.json.contentType
            if exchange.request.header("if-none-match") == etag {
                return exchange.send(304, type, ByteBuffer(), more: more)
            }
            return exchange.send(200, type, openAPI.v2(protobuf: isProtobuf), more: more)
        }
        exchange.fail(Refusals.notAcceptable(.noMediaType))
    }

    private func respondOpenAPIDocument(_ exchange: Exchange, _ name: String) {
        guard let body = openAPI.document(name) else { return exchange.text(404, "404 page not found\n") }
        let etag = "\"\(openAPI.hash)\""
        var more = [("etag", etag), ("vary", "Accept")]
        if let hash = exchange.query("hash") {
            if hash != openAPI.hash {
                return exchange.send(301, "text/plain", ByteBuffer(), more: [("location", openAPI.url(name))])
            }
            more.append(("cache-control", "public, immutable"))
        }
        if exchange.request.header("if-none-match") == etag {
            return exchange.send(304, "application/json", ByteBuffer(), more: more)
        }
        exchange.send(200, "application/json", body, more: more)
    }
}
