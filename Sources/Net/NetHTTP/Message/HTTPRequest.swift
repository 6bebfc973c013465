// One request as a service sees it: parsed, decoded, whole body. The same value for HTTP/1.1 and HTTP/2.
// It exists so that services know nothing of channels. It must never carry an unverified client certificate.
import NIOCore
import NIOHTTP1
import NetPKI

/// A received request with its whole body.
package struct HTTPRequest: Sendable {
    /// `GET`, `POST`, ...
    package var method: String
    /// Raw path and query as received (for CONNECT: `host:port`).
    package var target: String
    /// Percent-decoded path.
    package var path: String
    /// Decoded query parameters in order.
    package var query: [(name: String, value: String)]
    package var headers: HTTPHeaders
    /// At most `HTTPServerConfiguration.requestBytesMax`.
    package var body: ByteBuffer
    /// 1 or 2.
    package var version: Int
    package var remoteAddress: String
    /// The verified leaf certificate; nil when none was shown or it was refused.
    package var clientCertificate: ClientCertificate?
    /// Why a shown client certificate was refused: the service answers 401 then.
    package var clientCertificateFailure: String?
    /// Whether the request came over TLS.
    package var isSecure: Bool
    /// The `Upgrade` header in lower case on HTTP/1.1 when the connection asks for an upgrade.
    package var isUpgrade: String?

    package init(
        method: String, target: String, path: String, query: [(name: String, value: String)] = [],
        headers: HTTPHeaders = HTTPHeaders(), body: ByteBuffer = ByteBuffer(), version: Int = 1,
        remoteAddress: String = "",
        clientCertificate: ClientCertificate? = nil, clientCertificateFailure: String? = nil, isSecure: Bool = false,
        isUpgrade: String? = nil
    ) {
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.version = version
        self.remoteAddress = remoteAddress
        self.clientCertificate = clientCertificate
        self.clientCertificateFailure = clientCertificateFailure
        self.isSecure = isSecure
        self.isUpgrade = isUpgrade
    }

    /// The first value of a query parameter.
    package func query(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// All values of a query parameter, in order.
    package func queryAll(_ name: String) -> [String] { query.filter { $0.name == name }.map(\.value) }

    /// The first value of a header, any case.
    package func header(_ name: String) -> String? { headers.first(name: name) }
}
