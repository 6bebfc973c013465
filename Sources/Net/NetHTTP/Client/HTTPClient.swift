// The client (border; the connections follow).
import Logging
import NIOCore
import NIOHTTP1
import NetPKI

/// Calls HTTP servers: HTTP/2 where offered, else HTTP/1.1; pooled.
package final class HTTPClient: Sendable {
    package let configuration: HTTPClientConfiguration

    package init(configuration: HTTPClientConfiguration, group: any EventLoopGroup, logger: Logger = Logger(label: "http")) {
        self.configuration = configuration
    }

    /// Sends a request and reads the whole response.
    package func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse { throw .shutdown }

    /// Sends a request and returns at the response head; the body is read from the stream.
    package func stream(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientStream { throw .shutdown }

    /// Opens a WebSocket on a connection of its own. A refusal throws `.refused`.
    package func webSocket(
        _ request: HTTPClientRequest, protocols: [String] = []
    ) async throws(HTTPClientError) -> WebSocketConnection { throw .shutdown }

    /// Sends a request that asks for an upgrade (the caller sets `Upgrade` and `Connection`), or a CONNECT, on a connection of its own.
    package func upgrade(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPUpgradeResponse { throw .shutdown }

    /// Dials without HTTP (TLS when the endpoint says so).
    package func connectRaw(
        _ endpoint: HTTPEndpoint, tls: ClientTLS? = nil, timeout: TimeAmount? = nil
    ) async throws(HTTPClientError) -> RawConnection { throw .shutdown }

    /// Closes all connections; calls under way fail with `.shutdown`.
    package func shutdown() async {}
}
