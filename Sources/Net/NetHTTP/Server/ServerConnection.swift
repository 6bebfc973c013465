// What all handlers of one accepted connection share: settings, service, the peer's address and verdict, the request
// maker. It must never outlive its connection.
import Logging
import NIOCore
import NIOHTTP1
import NetPKI

/// What all connections of one server share.
struct ServerShared: Sendable {
    let configuration: HTTPServerConfiguration
    let service: any HTTPService
    let logger: Logger
    let date = HTTPDate()
}

/// The facts of one connection. Confined to its event loop.
final class ServerConnection {
    let shared: ServerShared
    let remoteAddress: String
    let isSecure: Bool
    var clientCertificate: ClientCertificate?
    var clientCertificateFailure: String?

    init(shared: ServerShared, remoteAddress: String, isSecure: Bool) {
        self.shared = shared
        self.remoteAddress = remoteAddress
        self.isSecure = isSecure
    }

    /// nil when the target cannot be decoded.
    func makeRequest(method: String, target: String, headers: HTTPHeaders, version: Int) -> HTTPRequest? {
        var request = HTTPRequest(method: method, target: target, path: target)
        if method != "CONNECT" {
            guard let parts = RequestTarget(target) else { return nil }
            request.path = parts.path
            request.query = parts.query
        }
        request.headers = headers
        request.version = version
        request.remoteAddress = remoteAddress
        request.clientCertificate = clientCertificate
        request.clientCertificateFailure = clientCertificateFailure
        request.isSecure = isSecure
        return request
    }
}

/// Closes a phase that lasts too long. One scheduled task a connection that re-arms itself lazily, since
/// scheduling and cancelling a timer per request costs more than a small request. Confined to its event loop.
final class PhaseTimer {
    private var deadline: NIODeadline?
    private var isScheduled = false
    private var isStopped = false
    private let eventLoop: any EventLoop
    private let onExpired: () -> Void

    init(eventLoop: any EventLoop, onExpired: @escaping () -> Void) {
        self.eventLoop = eventLoop
        self.onExpired = onExpired
    }

    func start(_ limit: TimeAmount) {
        let deadline = NIODeadline.now() + limit
        self.deadline = deadline
        if !isScheduled { schedule(deadline) } else if let armed, deadline < armed { schedule(deadline) }
    }

    func pause() { deadline = nil }

    func stop() {
        isStopped = true
        deadline = nil
        task?.cancel()
        task = nil
    }

    private var armed: NIODeadline?
    private var task: Scheduled<Void>?

    private func schedule(_ at: NIODeadline) {
        guard !isStopped else { return }
        task?.cancel()
        isScheduled = true
        armed = at
        task = eventLoop.assumeIsolated().scheduleTask(deadline: at) { [weak self] in self?.fired() }
    }

    private func fired() {
        isScheduled = false
        armed = nil
        task = nil
        guard let deadline, !isStopped else { return }
        if deadline <= .now() {
            self.deadline = nil
            onExpired()
        } else {
            schedule(deadline)
        }
    }
}
