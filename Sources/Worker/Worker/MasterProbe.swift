// The balancer's question to a master: does `/livez` answer? One warm connection a master; a master that is frozen takes
// connections and answers nothing, which only this question shows. It must never wait longer than it was told.
import NIOCore
import NetBalancer
import NetHTTP
import NetPKI

/// A master is healthy when its `/livez` answers in time. The prober's event loops decide from which network it asks.
package struct MasterProbe: Sendable {
    private let client: HTTPClient

    package init(_ client: HTTPClient) { self.client = client }

    package func check(_ backend: Backend, within timeout: TimeAmount) async -> Bool {
        let endpoint = HTTPEndpoint(host: backend.host, port: backend.port, isSecure: true)
        do {
            let request = HTTPClientRequest(method: "GET", endpoint: endpoint, target: "/livez", timeout: timeout)
            // A master that refuses who asks (its roles are not there yet) lives.
            return try await client.send(request).status < 500
        } catch {
            return false
        }
    }
}
