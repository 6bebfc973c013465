// The listener (border; the handlers follow).
import Logging
import NIOCore
import NetPKI

/// Why a server did not start.
package enum HTTPServerStartError: Error, CustomStringConvertible {
    case bind(String)
    package var description: String { switch self { case .bind(let why): "bind: \(why)" } }
}

/// Serves HTTP/1.1 and HTTP/2 on one port.
package final class HTTPServer: Sendable {
    private let shared: ServerShared

    package init(configuration: HTTPServerConfiguration, service: any HTTPService, group: any EventLoopGroup, logger: Logger) {
        shared = ServerShared(configuration: configuration, service: service, logger: logger)
    }

    /// Binds and serves; returns the bound port.
    package func start() async throws(HTTPServerStartError) -> Int { throw .bind("not built yet") }

    /// Refuses new connections, sends GOAWAY, lets requests end for `grace`, then closes what is left.
    package func stop(grace: TimeAmount) async {}
}
