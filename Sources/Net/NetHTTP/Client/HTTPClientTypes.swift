// The values of the client border: settings, request, response, errors. They must never hold a connection.
import NIOCore
import NIOHTTP1
import NetPKI

/// Why a call failed. `.closed` means that the server may have seen the request; `.connect` and `.tls` that it has not.
package enum HTTPClientError: Error, Equatable, CustomStringConvertible {
    /// No connection could be made (refused, unreachable, unknown name).
    case connect(String)
    case tls(String)
    /// The deadline passed.
    case timeout(String)
    /// The connection was lost after the request was (perhaps) sent.
    case closed(String)
    /// The peer broke the protocol.
    case malformed(String)
    /// The response body is above the caller's limit.
    case tooLarge(Int)
    /// An upgrade was answered with another status.
    case refused(status: Int, body: String)
    case invalidRequest(String)
    /// Too many calls wait for a connection.
    case busy
    case shutdown

    package var description: String {
        switch self {
        case .connect(let why): "connect: \(why)"
        case .tls(let why): "TLS: \(why)"
        case .timeout(let what): "timeout: \(what)"
        case .closed(let why): "connection closed: \(why)"
        case .malformed(let why): "malformed response: \(why)"
        case .tooLarge(let bytes): "response above \(bytes) bytes"
        case .refused(let status, let body): "refused with status \(status): \(body)"
        case .invalidRequest(let why): "invalid request: \(why)"
        case .busy: "too many requests wait for a connection"
        case .shutdown: "the client was shut down"
        }
    }

    /// Whether the server certainly has not acted on the request.
    package var isSafeToRepeat: Bool {
        switch self {
        case .connect, .tls, .busy, .invalidRequest: true
        default: false
        }
    }
}

/// Settings of an `HTTPClient`.
package struct HTTPClientConfiguration: Sendable {
    /// nil: `https` URLs are refused unless the request brings its own.
    package var tls: ClientTLS?
    /// Called for each request that has no `Authorization` header; nil sends none.
    package var bearerToken: (@Sendable () -> String?)?
    package var userAgent = "tern"
    package var connectTimeout: TimeAmount = .seconds(5)
    /// Time until the response head when the request names none.
    package var responseTimeout: TimeAmount = .seconds(60)
    /// HTTP/2 PING interval while streams are open, and how long the answer may take: a dead peer is detected in
    /// their sum.
    package var pingInterval: TimeAmount = .seconds(5)
    package var pingTimeout: TimeAmount = .seconds(5)
    /// An unused connection is closed after this.
    package var idleTimeout: TimeAmount = .seconds(90)
    package var connectionsPerHostMax = 64
    /// Calls that wait for a connection of one host.
    package var waitersPerHostMax = 4096
    package var streamsPerConnectionMax = 256
    /// Body bytes of one response that wait for their reader before reading stops.
    package var bodyBufferBytesMax = 256 << 10
    package var responseBytesMax = 64 << 20
    package var headerBytesMax = 1 << 20

    package init(tls: ClientTLS? = nil) { self.tls = tls }
}

/// Where a request goes.
package struct HTTPEndpoint: Sendable, Hashable {
    package var host: String
    package var port: Int
    package var isSecure: Bool
    /// Dial this Unix socket instead of `host:port`.
    package var unixPath: String?

    package init(host: String, port: Int, isSecure: Bool, unixPath: String? = nil) {
        self.host = host
        self.port = port
        self.isSecure = isSecure
        self.unixPath = unixPath
    }

    /// `host:port` as the Host header wants it (without the default port).
    package var authority: String {
        let name = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// Splits `scheme://host[:port]/target`. nil for anything else.
    package static func parse(url: String) -> (endpoint: HTTPEndpoint, target: String)? {
        guard let colon = url.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let scheme = url[..<colon].lowercased()
        guard ["http", "https", "ws", "wss"].contains(scheme), url[colon...].hasPrefix("://") else { return nil }
        let rest = url[colon...].dropFirst(3)
        let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
        let isSecure = scheme == "https" || scheme == "wss"
        guard let (host, port) = splitAuthority(String(rest[..<end])) else { return nil }
        var target = String(rest[end...])
        if !target.hasPrefix("/") { target = "/" + target }
        return (HTTPEndpoint(host: host, port: port ?? (isSecure ? 443 : 80), isSecure: isSecure), target)
    }
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port`. nil when empty or the port is not a number.
package func splitAuthority(_ text: String) -> (host: String, port: Int?)? {
    var host = text[...]
    var port: Substring?
    if text.hasPrefix("[") {
        guard let end = text.firstIndex(of: "]") else { return nil }
        host = text[text.index(after: text.startIndex)..<end]
        let rest = text[text.index(after: end)...]
        if rest.hasPrefix(":") { port = rest.dropFirst() } else if !rest.isEmpty { return nil }
    } else if let colon = text.lastIndex(of: ":") {
        host = text[..<colon]
        port = text[text.index(after: colon)...]
    }
    guard !host.isEmpty else { return nil }
    guard let port else { return (String(host), nil) }
    guard let number = Int(port), (0...65535).contains(number) else { return nil }
    return (String(host), number)
}

/// One request of a client. The body is sent whole.
package struct HTTPClientRequest: Sendable {
    package var method: String
    package var endpoint: HTTPEndpoint
    /// Path and query as they go on the wire.
    package var target: String
    package var headers: [(String, String)]
    package var body: ByteBuffer
    /// Overrides the client's TLS.
    package var tls: ClientTLS?
    /// Time for the whole call (`send`) or until the response head (`stream`); nil takes the client's
    /// `responseTimeout`.
    package var timeout: TimeAmount?
    /// Overrides the client's `responseBytesMax`.
    package var responseBytesMax: Int?
    /// Uses HTTP/1.1 even where HTTP/2 is offered.
    package var http1Only = false

    package init(
        method: String, endpoint: HTTPEndpoint, target: String, headers: [(String, String)] = [],
        body: ByteBuffer = ByteBuffer(),
        tls: ClientTLS? = nil, timeout: TimeAmount? = nil
    ) {
        self.method = method
        self.endpoint = endpoint
        self.target = target
        self.headers = headers
        self.body = body
        self.tls = tls
        self.timeout = timeout
    }

    /// From an absolute URL; throws when it is none.
    package init(
        method: String = "GET", url: String, headers: [(String, String)] = [], body: ByteBuffer = ByteBuffer(),
        timeout: TimeAmount? = nil
    ) throws(HTTPClientError) {
        guard let (endpoint, target) = HTTPEndpoint.parse(url: url) else { throw .invalidRequest("not a URL: \(url)") }
        self.init(method: method, endpoint: endpoint, target: target, headers: headers, body: body, timeout: timeout)
    }
}

/// A whole response.
package struct HTTPClientResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: ByteBuffer
    /// 1 or 2.
    package var version: Int

    package func header(_ name: String) -> String? { headers.first(name: name) }
}

/// A response whose body is still arriving.
package struct HTTPClientStream: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    /// 1 or 2.
    package var version: Int
    /// Chunks as they arrive; reading stops at the server while nobody takes them. Dropping or cancelling it ends the
    /// request.
    package var body: HTTPBodyStream

    package func header(_ name: String) -> String? { headers.first(name: name) }
}

/// The answer to an upgrade: the connection when it was granted, else status and body for relaying.
package struct HTTPUpgradeResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var connection: RawConnection?
    package var body: ByteBuffer
}
