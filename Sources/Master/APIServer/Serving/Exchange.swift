// One request on its way to its answer: who asks, what, in which form the answer goes out, and the one place that
// writes heads. An exchange answers exactly once.
import API
import NIOCore
import NIOHTTP1
import NetHTTP

/// A request with everything that was found out about it.
struct Exchange: Sendable {
    let request: HTTPRequest
    let response: HTTPResponseWriter
    let path: RequestPath
    var attributes: RequestAttributes
    let auditID: String
    let observer: RequestObserver
    let renderer: Renderer
    var representation = Representation.json
    /// Warnings that every answer to this request carries.
    var warnings: [String] = []

    var rows: RowObject { request.query("includeObject").flatMap { RowObject(rawValue: $0) } ?? .metadata }

    func query(_ name: String) -> String? { request.query(name) }

    /// The head that every answer has.
    func headers(_ contentType: String, warnings: [String] = [], more: [(String, String)] = []) -> [(String, String)] {
        var headers = [("content-type", contentType), ("audit-id", auditID)]
        if !more.contains(where: { $0.0 == "cache-control" }) { headers.append(("cache-control", "no-cache, private")) }
        headers += (self.warnings + warnings).map { ("warning", "299 - \(Self.quoted($0))") }
        return headers + more
    }

    /// A quoted-string of RFC 9110 §5.6.4; what cannot stand in a header is left out.
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars where scalar.value >= 0x20 && scalar.value != 0x7f {
            if scalar == "\"" || scalar == "\\" { out.unicodeScalars.append("\\") }
            out.unicodeScalars.append(scalar)
        }
        return out + "\""
    }

    /// Answers with bytes.
    func send(
        _ status: Int, _ contentType: String, _ body: ByteBuffer, warnings: [String] = [], more: [(String, String)] = []
    ) {
        observer.answered(self, status: status, bytes: body.readableBytes)
        response.send(status: status, headers: headers(contentType, warnings: warnings, more: more), body: body)
    }

    /// Answers with a head alone.
    func empty(_ status: Int) {
        observer.answered(self, status: status, bytes: 0)
        let head = [("audit-id", auditID), ("cache-control", "no-cache, private")]
        response.send(status: status, headers: head, body: ByteBuffer())
    }

    func text(_ status: Int, _ text: String) {
        send(
            status, "text/plain; charset=utf-8", ByteBuffer(string: text), more: [("x-content-type-options", "nosniff")]
        )
    }

    /// Answers with a tree that is no API object of a table (discovery, versions, ...).
    func json(_ status: Int, _ tree: JSON, warnings: [String] = [], more: [(String, String)] = []) {
        let (body, encoding) = renderer.bytes(
            tree, Representation(encoding: representation.encoding, isPretty: representation.isPretty))
        send(status, encoding.contentType, body, warnings: warnings, more: more)
    }

    /// Answers with an object in the asked form.
    func object(_ status: Int, _ object: JSON, _ resource: ResourceSchema, warnings: [String] = []) {
        do {
            let shaped = try renderer.shaped(object, resource, representation.form, rows: rows)
            json(status, shaped, warnings: warnings)
        } catch {
            fail(error)
        }
    }

    /// Refuses. A Status is always JSON or what was asked for, never a Table.
    func fail(_ error: StatusError, warnings: [String] = []) {
        var more: [(String, String)] = []
        if let seconds = error.status["details", "retryAfterSeconds"]?.int {
            more.append(("retry-after", "\(seconds)"))
        }
        json(error.code, error.status, warnings: warnings, more: more)
    }
}

extension Exchange {
    /// What a warning of a deprecated API says; empty for all others.
    static func deprecations(_ resource: ResourceSchema) -> [String] {
        resource.group.isEmpty && resource.plural == "endpoints"
            ? ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"] : []
    }

    static let staleWarning = "no leader is known: this answer is from memory and may be out of date"
}
