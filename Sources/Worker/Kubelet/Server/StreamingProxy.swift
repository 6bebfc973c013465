// Between the API server and the runtime's streaming server: exec, attach and port-forward sessions, and plain
// connections to pods for masters. Bytes are passed on with back-pressure; nothing is kept.
import API
import Logging
import NIOCore
import NIOHTTP1
import NetHTTP

package struct StreamingProxy: Sendable {
    private static let connectSeconds: Int64 = 10

    let client: HTTPClient
    let logger: Logger

    package init(group: any EventLoopGroup, logger: Logger) {
        client = HTTPClient(configuration: HTTPClientConfiguration(), group: group, logger: logger)
        self.logger = logger
    }

    // MARK: exec and attach

    /// The session at `url`, for a caller that speaks WebSocket (v4, v5) or SPDY.
    package func remoteCommand(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, url: String, _ options: StreamOptions
    ) async {
        switch request.isUpgrade {
        case "websocket":
            let offered = WebSocketHandshake.offered(request)
            guard let chosen = RemoteCommandProtocol.choose(offered) else {
                return response.plain(403, "unable to upgrade: no supported subprotocol among \(offered)")
            }
            await webSocketCommand(response, url: url, options, chosen)
        case .some(let name) where name.hasPrefix("spdy/"): await passThrough(request, response, url: url)
        default: response.plain(400, "Upgrade request required")
        }
    }

    /// The caller speaks SPDY already: its connection is joined to the runtime's.
    private func passThrough(_ request: HTTPRequest, _ response: HTTPResponseWriter, url: String) async {
        let versions = request.headers["X-Stream-Protocol-Version"].map { ("X-Stream-Protocol-Version", $0) }
        guard let answer = await upgraded(response, url: url, headers: versions), let runtime = answer.connection else {
            return
        }
        let kept = answer.headers.filter { $0.name.lowercased() == "x-stream-protocol-version" }.map {
            ($0.name, $0.value)
        }
        response.upgradeToRaw(status: 101, headers: [("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade")] + kept) {
            $0.pipe(to: runtime)
        }
    }

    /// A SPDY connection to the runtime's streaming server; answers with the refusal and returns nil otherwise.
    func upgraded(
        _ response: HTTPResponseWriter, url: String, headers: [(String, String)]
    ) async
        -> HTTPUpgradeResponse?
    {
        do throws(HTTPClientError) {
            let request = try HTTPClientRequest(
                method: "POST", url: url, headers: [("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade")] + headers)
            let answer = try await client.upgrade(request)
            guard answer.connection != nil else {
                response.send(status: answer.status, headers: [("content-type", "text/plain")], body: answer.body)
                return nil
            }
            return answer
        } catch {
            response.plain(502, "error dialing the container runtime: \(error)")
            return nil
        }
    }

    // MARK: port-forward

    package static let tunnelProtocol = "SPDY/3.1+portforward.k8s.io"

    /// SPDY as it is, or SPDY inside the binary messages of a WebSocket (what kubectl does).
    package func portForward(_ request: HTTPRequest, _ response: HTTPResponseWriter, url: String) async {
        switch request.isUpgrade {
        case "websocket":
            guard WebSocketHandshake.offered(request).contains(Self.tunnelProtocol) else {
                return response.plain(400, "unable to upgrade: only \(Self.tunnelProtocol) is supported")
            }
            let versions = [("X-Stream-Protocol-Version", "portforward.k8s.io")]
            guard let runtime = await upgraded(response, url: url, headers: versions)?.connection else { return }
            response.upgradeToWebSocket(protocol: Self.tunnelProtocol, headers: []) { Self.tunnel($0, runtime) }
        case .some(let name) where name.hasPrefix("spdy/"): await passThrough(request, response, url: url)
        default: response.plain(400, "Upgrade request required")
        }
    }

    private static func tunnel(_ socket: WebSocketConnection, _ runtime: RawConnection) {
        socket.onClose { _ in runtime.close() }
        runtime.onClose { socket.close() }
        runtime.onInputClosed { socket.close() }
        socket.onMessage { bytes, _ in
            runtime.send(bytes)
            guard !runtime.isWritable else { return }
            socket.pauseReading()
            runtime.onWritable { socket.resumeReading() }
        }
        // The connection lets go of its callbacks when it closes.
        runtime.onReceive { bytes in
            socket.send(binary: bytes)
            guard !socket.isWritable else { return }
            runtime.pauseReading()
            socket.onWritable { runtime.resumeReading() }
        }
    }

    // MARK: connections to pods

    /// `CONNECT ip:port`: only addresses, and none of this machine's own loopback or link-local ones.
    package func connect(_ target: String, _ response: HTTPResponseWriter) async {
        guard let (host, port) = splitAuthority(target), let port, let address = IPAddress(host),
            Self.isReachable(address)
        else {
            return response.plain(400, "CONNECT wants the address and port of a pod")
        }
        do throws(HTTPClientError) {
            let endpoint = HTTPEndpoint(host: host, port: port, isSecure: false)
            let connection = try await client.connectRaw(endpoint, timeout: .seconds(Self.connectSeconds))
            response.upgradeToRaw(status: 200, headers: []) { $0.pipe(to: connection) }
        } catch {
            response.plain(502, "\(error)")
        }
    }

    static func isReachable(_ address: IPAddress) -> Bool {
        let bytes = address.bytes
        guard bytes.count == 4 else {
            return bytes.count == 16 && !(bytes.dropLast().allSatisfy { $0 == 0 })
                && !(bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80)
        }
        return bytes[0] != 127 && bytes[0] != 0 && bytes[0] < 224 && !(bytes[0] == 169 && bytes[1] == 254)
    }
}

/// The subprotocols of remote commands that the kubelet speaks, best first.
package enum RemoteCommandProtocol: String, Sendable, CaseIterable {
    case v5 = "v5.channel.k8s.io"
    case v4 = "v4.channel.k8s.io"
    case v1 = "channel.k8s.io"

    package static func choose(_ offered: [String]) -> Self? { allCases.first { offered.contains($0.rawValue) } }
}
