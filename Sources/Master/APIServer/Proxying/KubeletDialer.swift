// Calls to kubelets with the master's kubelet-client certificate: streamed logs, and upgraded connections that are
// spliced through. It never looks into what flows: WebSocket and SPDY frames pass as bytes, handshake keys included.
import API
import Logging
import NIOCore
import NIOHTTP1
import NetHTTP

struct KubeletDialer: Sendable {
    let http: HTTPClient
    let defaultPort: Int

    init(_ access: KubeletAccess, group: any EventLoopGroup, logger: Logger) {
        var settings = HTTPClientConfiguration(tls: access.tls)
        settings.userAgent = "tern-apiserver"
        http = HTTPClient(configuration: settings, group: group, logger: logger)
        defaultPort = access.defaultPort
    }

    /// Relays a GET's answer as it arrives, at the speed of the slower side.
    func relay(_ exchange: Exchange, _ endpoint: HTTPEndpoint, _ target: String) async throws(StatusError) {
        let request = HTTPClientRequest(
            method: "GET", endpoint: endpoint, target: target, headers: [("accept", "*/*")], timeout: .seconds(30))
        let stream: HTTPClientStream
        do { stream = try await http.stream(request) } catch { throw Self.unreachable(error) }
        exchange.response.onClose { stream.body.cancel() }
        guard stream.status == 200 else { throw await Self.refusal(stream) }
        let ended = exchange.observer.streams(exchange)
        defer { ended() }
        exchange.response.sendHead(
            status: 200, headers: exchange.headers(stream.header("content-type") ?? "text/plain"))
        do {
            while let chunk = try await stream.body.next() {
                exchange.response.write(chunk)
                if !exchange.response.isWritable { await exchange.response.whenWritable() }
            }
            exchange.response.end()
        } catch {
            exchange.response.reset()
        }
    }

    /// Passes an upgrade on and joins the two connections.
    func splice(_ exchange: Exchange, _ endpoint: HTTPEndpoint, _ target: String) async throws(StatusError) {
        let passed = [
            "connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
            "x-stream-protocol-version"
        ]
        let headers = exchange.request.headers.filter { passed.contains($0.name.lowercased()) }.map {
            ($0.name, $0.value)
        }
        var request = HTTPClientRequest(
            method: exchange.request.method, endpoint: endpoint, target: target, headers: headers, timeout: .seconds(30)
        )
        request.http1Only = true
        let answer: HTTPUpgradeResponse
        do { answer = try await http.upgrade(request) } catch { throw Self.unreachable(error) }
        guard let kubelet = answer.connection else {
            throw Status.failure(Status.reason(of: answer.status), String(buffer: answer.body), code: answer.status)
        }
        let kept = [
            "upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol", "x-stream-protocol-version"
        ]
        let back = answer.headers.filter { kept.contains($0.name.lowercased()) }.map { ($0.name, $0.value) }
        let ended = exchange.observer.streams(exchange)
        exchange.response.upgradeToRaw(status: 101, headers: back) { client in client.pipe(to: kubelet) }
        kubelet.onClose { ended() }
    }

    private static func unreachable(_ error: HTTPClientError) -> StatusError {
        Status.failure("InternalError", "error dialing backend: \(error)", code: 500)
    }

    private static func refusal(_ stream: HTTPClientStream) async -> StatusError {
        var body = ByteBuffer()
        do {
            while body.readableBytes < 64 << 10, var chunk = try await stream.body.next() { body.writeBuffer(&chunk) }
        } catch {
            return unreachable(.closed("\(error)"))
        }
        if let status = Wire.parse(body), status.kind == "Status" { return StatusError(status: status) }
        return Status.failure(Status.reason(of: stream.status), String(buffer: body), code: stream.status)
    }
}

extension HTTPResponseWriter {
    func whenWritable() async {
        await withCheckedContinuation { continuation in onWritable { continuation.resume() } }
    }
}
