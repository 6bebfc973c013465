// A client channel to one server: dials when a call needs it, dials again when the connection was lost. It must never
// repeat a call that the server may have seen; a call that certainly did not reach it is tried once more.
import NIOCore
import NIOHPACK
import NetPKI
import Synchronization

/// Calls of one server over one HTTP/2 connection.
package final class GRPCChannel: Sendable {
    private enum Connection {
        case none
        case dialing(EventLoopFuture<GRPCClientConnection>)
        case ready(GRPCClientConnection)
        case closed
    }

    package let target: GRPCTarget
    private let configuration: GRPCChannelConfiguration
    private let loop: any EventLoop
    private let connection = Mutex(Connection.none)

    package init(target: GRPCTarget, configuration: GRPCChannelConfiguration = .init(), group: any EventLoopGroup) {
        self.target = target
        self.configuration = configuration
        loop = group.next()
    }

    /// One request, one response. `path` is `/package.Service/Method`. `timeout` is also sent to the server.
    package func unary(
        _ path: String, _ message: [UInt8], metadata: GRPCMetadata = [], timeout: TimeAmount? = nil
    ) async throws(GRPCStatus) -> [UInt8] {
        let timeout = timeout ?? configuration.callTimeout
        do {
            return try await once(path, message, metadata, timeout)
        } catch  where !error.mayHaveRun && error.code == .unavailable {
            return try await once(path, message, metadata, timeout)
        }
    }

    private func once(
        _ path: String, _ message: [UInt8], _ metadata: GRPCMetadata, _ timeout: TimeAmount
    ) async throws(GRPCStatus) -> [UInt8] {
        let call = try await serverStream(path, message, metadata: metadata, timeout: timeout)
        guard let answer = try await call.next() else { throw GRPCStatus(.internal, "the server sent no message") }
        guard try await call.next() == nil else {
            call.cancel()
            throw GRPCStatus(.internal, "the server sent more than one message")
        }
        return answer
    }

    /// One request, a stream of responses.
    package func serverStream(
        _ path: String, _ message: [UInt8], metadata: GRPCMetadata = [], timeout: TimeAmount? = nil
    ) async throws(GRPCStatus) -> GRPCCall {
        let call = try await open(path, metadata: metadata, timeout: timeout)
        call.send(message)
        call.finishSending()
        return call
    }

    /// A stream of requests, a stream of responses. Returns once a connection is there.
    package func open(
        _ path: String, metadata: GRPCMetadata = [], timeout: TimeAmount? = nil
    ) async throws(GRPCStatus) -> GRPCCall {
        let connection = try await ready()
        let call = GRPCCall(
            path: path, metadata: metadata, timeout: timeout, bytesMax: configuration.receiveBufferBytesMax)
        if let timeout {
            call.setDeadline(
                loop.scheduleTask(in: timeout) { call.fail(GRPCStatus(.deadlineExceeded, "context deadline exceeded")) }
            )
        }
        let (headers, limit) = (requestHeaders(call), configuration.messageBytesMax)
        connection.open(call) { GRPCClientStreamHandler(call: call, headers: headers, messageBytesMax: limit) }
        return call
    }

    private func requestHeaders(_ call: GRPCCall) -> HPACKHeaders {
        var fields = HPACKHeaders()
        var (scheme, authority) = ("http", "localhost")
        if case .tcp(let host, let port, let tls) = target {
            (scheme, authority) = (tls == nil ? "http" : "https", "\(host):\(port)")
        }
        fields.add(name: ":method", value: "POST")
        fields.add(name: ":scheme", value: scheme)
        fields.add(name: ":path", value: call.path)
        fields.add(name: ":authority", value: authority)
        fields.add(name: "te", value: "trailers")
        fields.add(name: "content-type", value: "application/grpc")
        fields.add(name: "user-agent", value: "tern")
        if let timeout = call.timeout { fields.add(name: "grpc-timeout", value: encodeTimeout(timeout)) }
        for (name, value) in call.metadata { fields.add(name: name.lowercased(), value: value) }
        return fields
    }

    private func ready() async throws(GRPCStatus) -> GRPCClientConnection {
        let (usable, pending) = try state()
        if let usable { return usable }
        guard let pending else { throw GRPCStatus(.unavailable, "no connection", mayHaveRun: false) }
        do {
            let made = try await pending.get()
            connection.withLock { connection in
                if case .dialing(let current) = connection, current === pending { connection = .ready(made) }
            }
            return made
        } catch {
            connection.withLock { connection in
                if case .dialing(let current) = connection, current === pending { connection = .none }
            }
            if let status = error as? GRPCStatus { throw status }
            throw GRPCStatus(.unavailable, "connection error: \(target): \(error)", mayHaveRun: false)
        }
    }

    private func state() throws(GRPCStatus) -> (GRPCClientConnection?, EventLoopFuture<GRPCClientConnection>?) {
        let (usable, pending, isClosed) = connection.withLock {
            connection -> (GRPCClientConnection?, EventLoopFuture<GRPCClientConnection>?, Bool) in
            switch connection {
            case .closed: return (nil, nil, true)
            case .ready(let live) where live.isUsable: return (live, nil, false)
            case .dialing(let future): return (nil, future, false)
            case .none, .ready:
                let future = GRPCClientConnection.dial(target, configuration, loop)
                connection = .dialing(future)
                return (nil, future, false)
            }
        }
        if isClosed { throw GRPCStatus(.unavailable, "the channel was closed", mayHaveRun: false) }
        return (usable, pending)
    }

    /// Closes the connection; calls under way fail with `.unavailable`.
    package func close() async {
        let last = connection.withLock { connection in
            defer { connection = .closed }
            return connection
        }
        switch last {
        case .ready(let live): live.channel.close(promise: nil)
        case .dialing(let future): future.whenSuccess { $0.channel.close(promise: nil) }
        case .none, .closed: break
        }
    }
}
