// The client: pools by destination, one call's life from `send` or `stream` to its outcome. The event loops are the
// caller's. It must never repeat a request that the server may have acted on, except GET and HEAD.
import Logging
import NIOCore
import NIOHTTP1
import NetPKI
import Synchronization

/// Calls HTTP servers: HTTP/2 where offered, else HTTP/1.1; pooled.
package final class HTTPClient: Sendable {
    private struct State {
        var pools: [DialKey: HostPool] = [:]
        var calls: [ObjectIdentifier: ClientCall] = [:]
        var isShutdown = false
    }

    package let configuration: HTTPClientConfiguration
    let group: any EventLoopGroup
    let logger: Logger
    private let state = Mutex(State())

    package init(
        configuration: HTTPClientConfiguration, group: any EventLoopGroup, logger: Logger = Logger(label: "http-client")
    ) {
        self.configuration = configuration
        self.group = group
        self.logger = logger
    }

    var dialer: Dialer { Dialer(group: group, timeout: configuration.connectTimeout) }

    /// Sends a request and reads the whole response within the deadline.
    package func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
        let stream = try await begin(request, isWhole: true)
        let body = try await stream.body.collect(bytesMax: request.responseBytesMax ?? configuration.responseBytesMax)
        return HTTPClientResponse(status: stream.status, headers: stream.headers, body: body, version: stream.version)
    }

    /// Sends a request and returns at the response head; the body is read from the stream.
    package func stream(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientStream {
        try await begin(request, isWhole: false)
    }

    private func begin(_ request: HTTPClientRequest, isWhole: Bool) async throws(HTTPClientError) -> HTTPClientStream {
        let call = ClientCall(
            request, headers: try finalHeaders(request), bufferBytesMax: configuration.bodyBufferBytesMax,
            isWhole: isWhole)
        let time = request.timeout ?? configuration.responseTimeout
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                call.wait(continuation)
                call.setDeadline(
                    group.next().scheduleTask(in: time) {
                        call.fail(.timeout("no answer in \(time.nanoseconds / 1_000_000) ms"))
                    })
                attempt(call)
            }
        } onCancel: {
            call.fail(.closed("cancelled by the caller"))
        }
        return try outcome.get()
    }

    private func key(_ request: HTTPClientRequest) -> DialKey {
        DialKey(
            endpoint: request.endpoint, tls: request.endpoint.isSecure ? request.tls ?? configuration.tls : nil,
            http1Only: request.http1Only)
    }

    private func attempt(_ call: ClientCall) {
        guard !call.isOver else { return }
        call.countAttempt()
        change(key(call.request)) { $0.take(call) }
    }

    /// Changes one pool under the lock, then carries out its steps.
    private func change(_ key: DialKey, _ change: (inout HostPool) -> [HostPool.Step]) {
        let steps = state.withLock { state -> [HostPool.Step] in
            var pool = state.pools[key] ?? HostPool(configuration)
            var steps = change(&pool)
            if state.isShutdown { steps += pool.drop() }
            state.pools[key] = pool.isEmpty ? nil : pool
            return steps
        }
        for step in steps {
            switch step {
            case .execute(let call, let connection): connection.execute(call)
            case .fail(let call, let error): call.fail(error)
            case .dial: dial(key)
            }
        }
    }

    private func dial(_ key: DialKey) {
        let owner = PoolOwner(client: self, key: key)
        let slot = ConnectionSlot()
        dialer.dial(key) { [configuration] channel, negotiated in
            if negotiated == "h2" {
                slot.fill(
                    try HTTP2ClientConnection(channel: channel, owner: owner, configuration: configuration),
                    isHTTP2: true)
            } else {
                slot.fill(
                    try HTTP1ClientConnection(channel: channel, owner: owner, configuration: configuration),
                    isHTTP2: false)
            }
            channel.closeFuture.whenComplete { _ in _ = owner }
        } completion: { [weak self] result in
            self?.dialed(key, slot, result)
        }
    }

    private func dialed(_ key: DialKey, _ slot: ConnectionSlot, _ result: Result<any Channel, HTTPClientError>) {
        switch result {
        case .failure(let error): change(key) { $0.dialFailed(error) }
        case .success(let channel):
            guard let (connection, isHTTP2) = slot.content, !isShutdown else {
                channel.close(promise: nil)
                return change(key) { $0.dialFailed(.shutdown) }
            }
            change(key) { $0.dialed(connection, isHTTP2: isHTTP2) }
            if !channel.isActive { change(key) { $0.retired(connection) } }
        }
    }

    private var isShutdown: Bool { state.withLock { $0.isShutdown } }

    func finalHeaders(_ request: HTTPClientRequest) throws(HTTPClientError) -> [(String, String)] {
        guard request.target.utf8.first == UInt8(ascii: "/") || request.method == "CONNECT" || request.target == "*",
            !request.target.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F })
        else { throw .invalidRequest("target \(request.target)") }
        if request.endpoint.isSecure && request.tls == nil && configuration.tls == nil {
            throw .invalidRequest("no TLS settings for https")
        }
        var headers = request.headers
        let names = Set(headers.map { $0.0.lowercased() })
        if !names.contains("host") { headers.insert(("host", request.endpoint.authority), at: 0) }
        if !names.contains("user-agent") { headers.append(("user-agent", configuration.userAgent)) }
        if !names.contains("authorization"), let token = configuration.bearerToken?() {
            headers.append(("authorization", "Bearer \(token)"))
        }
        let needsLength = request.body.readableBytes > 0 || ["POST", "PUT", "PATCH"].contains(request.method)
        if needsLength && !names.contains("content-length") {
            headers.append(("content-length", String(request.body.readableBytes)))
        }
        return headers.map { ($0.0, singleLine($0.1)) }
    }

    /// Closes all connections; calls under way fail with `.shutdown` or `.closed`.
    package func shutdown() async {
        let (connections, steps) = state.withLock { state -> ([any ClientConnection], [HostPool.Step]) in
            state.isShutdown = true
            let connections = state.pools.values.flatMap(\.all)
            var steps: [HostPool.Step] = []
            for key in Array(state.pools.keys) { steps += state.pools[key]?.drop() ?? [] }
            return (connections, steps)
        }
        for case .fail(let call, let error) in steps { call.fail(error) }
        for connection in connections { connection.close() }
    }
}

/// Carries a connection from the pipeline's set-up to the pool.
private final class ConnectionSlot: Sendable {
    private let value = Mutex<(any ClientConnection, isHTTP2: Bool)?>(nil)
    var content: (any ClientConnection, isHTTP2: Bool)? { value.withLock { $0 } }
    func fill(_ connection: any ClientConnection, isHTTP2: Bool) { value.withLock { $0 = (connection, isHTTP2) } }
}

/// Connects a connection's reports to its pool; kept alive by the channel.
private final class PoolOwner: ClientConnectionOwner {
    private weak let client: HTTPClient?
    private let key: DialKey

    init(client: HTTPClient, key: DialKey) {
        self.client = client
        self.key = key
    }

    func released(_ connection: any ClientConnection) { client?.changed(key) { $0.released(connection) } }
    func retired(_ connection: any ClientConnection) { client?.changed(key) { $0.retired(connection) } }

    func learned(_ connection: any ClientConnection, streamsMax: Int) {
        client?.changed(key) { $0.learned(connection, streamsMax: streamsMax) }
    }

    func failed(_ call: ClientCall, _ error: HTTPClientError, wasSent: Bool) {
        guard let client, call.mayRetry(wasSent: wasSent) else { return call.ended(.failure(error)) }
        client.again(call)
    }
}

extension HTTPClient {
    fileprivate func changed(_ key: DialKey, _ with: (inout HostPool) -> [HostPool.Step]) { change(key, with) }
    fileprivate func again(_ call: ClientCall) { attempt(call) }
}
