// One request on its way: its deadline, its single outcome, whether it may be tried again. Shared by the caller's
// task, the pool and the connection's event loop. It must never resume its caller twice.
import NIOCore
import NIOHTTP1
import Synchronization

final class ClientCall: Sendable {
    typealias Outcome = Result<HTTPClientStream, HTTPClientError>

    private struct State {
        var continuation: CheckedContinuation<Outcome, Never>?
        var outcome: Outcome?
        var deadline: Scheduled<Void>?
        var attempts = 0
        var isOver = false
    }

    let request: HTTPClientRequest
    let headers: [(String, String)]
    let body: BodyBuffer
    /// The deadline covers the body too.
    private let isWhole: Bool
    private let state = Mutex(State())

    static let attemptsMax = 3

    init(_ request: HTTPClientRequest, headers: [(String, String)], bufferBytesMax: Int, isWhole: Bool) {
        self.request = request
        self.headers = headers
        self.isWhole = isWhole
        body = BodyBuffer(bytesMax: bufferBytesMax)
    }

    var isOver: Bool { state.withLock { $0.isOver } }

    func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
        let now = state.withLock { state -> Outcome? in
            if state.outcome == nil { state.continuation = continuation }
            return state.outcome
        }
        if let now { continuation.resume(returning: now) }
    }

    func setDeadline(_ task: Scheduled<Void>) {
        let isLate = state.withLock { state -> Bool in
            if !state.isOver { state.deadline = task }
            return state.isOver
        }
        if isLate { task.cancel() }
    }

    func received(status: Int, headers: HTTPHeaders, version: Int) {
        let stream = HTTPClientStream(status: status, headers: headers, version: version, body: HTTPBodyStream(body))
        settle(.success(stream), endsDeadline: !isWhole)
    }

    /// The body is complete or broken off.
    func ended(_ outcome: Result<Void, HTTPClientError>) {
        body.finish(outcome)
        if case .failure(let error) = outcome { settle(.failure(error), endsDeadline: true) }
        endDeadline()
    }

    /// Gives up: the caller's task was cancelled, the deadline passed, or the client was shut down.
    func fail(_ error: HTTPClientError) {
        settle(.failure(error), endsDeadline: true)
        body.cancel(error)
        endDeadline()
    }

    /// True when another attempt may be made after a failure before the response head.
    func mayRetry(wasSent: Bool) -> Bool {
        let isIdempotent = request.method == "GET" || request.method == "HEAD"
        return state.withLock { state in
            guard state.outcome == nil, !state.isOver, state.attempts < Self.attemptsMax else { return false }
            return !wasSent || isIdempotent
        }
    }

    func countAttempt() { state.withLock { $0.attempts += 1 } }

    private func settle(_ outcome: Outcome, endsDeadline: Bool) {
        let continuation = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome
            if case .failure = outcome { state.isOver = true }
            defer { state.continuation = nil }
            return state.continuation
        }
        if endsDeadline { endDeadline() }
        continuation?.resume(returning: outcome)
        // The caller holds the stream now; keeping it here would keep a dropped body from ending the request.
        if case .success = outcome { state.withLock { $0.outcome = .failure(.closed("already answered")) } }
    }

    private func endDeadline() {
        let task = state.withLock { state -> Scheduled<Void>? in
            defer { state.deadline = nil }
            return state.deadline
        }
        task?.cancel()
    }
}
