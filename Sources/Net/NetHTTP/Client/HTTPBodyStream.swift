// The body of a streamed response: a bounded hand-over from the event loop to one reading task (or callback). When the
// reader is slow, reading from the socket stops; when it is gone, the request is cancelled. It must never buffer
// more than its limit plus one read.
import NIOCore
import Synchronization

/// An asynchronous sequence of body chunks with one reader.
package final class HTTPBodyStream: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer

    private struct State {
        var chunks: [ByteBuffer] = []
        var head = 0
        var bytes = 0
        var end: Result<Void, HTTPClientError>?
        var waiter: CheckedContinuation<Result<ByteBuffer?, HTTPClientError>, Never>?
        var wantsMore: (@Sendable () -> Void)?
        var cancel: (@Sendable () -> Void)?
    }

    private let bytesMax: Int
    private let state = Mutex(State())

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    deinit { cancel() }

    /// The connection's side: how to ask for more, how to give up.
    func attach(wantsMore: @escaping @Sendable () -> Void, cancel: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.wantsMore = wantsMore
            state.cancel = cancel
        }
    }

    /// Whether the connection may read on.
    var hasRoom: Bool { state.withLock { $0.bytes < bytesMax } }

    func push(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        let waiter = state.withLock { state -> CheckedContinuation<Result<ByteBuffer?, HTTPClientError>, Never>? in
            guard state.end == nil else { return nil }
            if let waiter = state.waiter {
                state.waiter = nil
                return waiter
            }
            state.chunks.append(bytes)
            state.bytes += bytes.readableBytes
            return nil
        }
        waiter?.resume(returning: .success(bytes))
    }

    func finish(_ outcome: Result<Void, HTTPClientError>) {
        let waiter = state.withLock { state -> CheckedContinuation<Result<ByteBuffer?, HTTPClientError>, Never>? in
            guard state.end == nil else { return nil }
            state.end = outcome
            state.wantsMore = nil
            state.cancel = nil
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: outcome.map { nil })
    }

    /// The next chunk; nil at the end of the body.
    package func next() async throws(HTTPClientError) -> ByteBuffer? {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if let now = take(orWait: continuation) { continuation.resume(returning: now) }
            }
        } onCancel: {
            self.cancel()
        }
        return try outcome.get()
    }

    private func take(
        orWait continuation: CheckedContinuation<Result<ByteBuffer?, HTTPClientError>, Never>
    ) -> Result<ByteBuffer?, HTTPClientError>? {
        let (outcome, wake) = state.withLock { state -> (Result<ByteBuffer?, HTTPClientError>?, (@Sendable () -> Void)?) in
            if state.head < state.chunks.count {
                let chunk = state.chunks[state.head]
                state.head += 1
                let wasFull = state.bytes >= bytesMax
                state.bytes -= chunk.readableBytes
                if state.head == state.chunks.count { (state.chunks, state.head) = ([], 0) }
                return (.success(chunk), wasFull && state.bytes < bytesMax ? state.wantsMore : nil)
            }
            if let end = state.end { return (end.map { nil }, nil) }
            precondition(state.waiter == nil, "an HTTPBodyStream has one reader")
            state.waiter = continuation
            return (nil, nil)
        }
        wake?()
        return outcome
    }

    /// Ends the request: HTTP/2 resets the stream, HTTP/1.1 closes the connection.
    package func cancel() {
        let cancel = state.withLock { $0.cancel }
        finish(.failure(.closed("cancelled by the caller")))
        cancel?()
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let stream: HTTPBodyStream

        package mutating func next() async throws -> ByteBuffer? { try await stream.next() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: self) }
}
