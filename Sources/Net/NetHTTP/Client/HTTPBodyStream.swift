// The body of a streamed response: a bounded hand-over from the event loop to one reading task. When the
// reader is slow, reading from the socket stops; when it is gone, the request is cancelled. It must never buffer
// more than its limit plus one read.
import NIOCore
import Synchronization

/// An asynchronous sequence of body chunks with one reader. Dropping it ends the request.
package final class HTTPBodyStream: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer

    let buffer: BodyBuffer

    init(_ buffer: BodyBuffer) { self.buffer = buffer }

    deinit { buffer.cancel() }

    /// The next chunk; nil at the end of the body.
    package func next() async throws(HTTPClientError) -> ByteBuffer? {
        let buffer = buffer
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if let now = buffer.take(orWait: continuation) { continuation.resume(returning: now) }
            }
        } onCancel: {
            buffer.cancel()
        }
        return try outcome.get()
    }

    /// Ends the request: HTTP/2 resets the stream, HTTP/1.1 closes the connection.
    package func cancel() { buffer.cancel() }

    /// The whole rest of the body; throws `.tooLarge` above `bytesMax`.
    package func collect(bytesMax: Int) async throws(HTTPClientError) -> ByteBuffer {
        var whole = ByteBuffer()
        while let chunk = try await next() {
            guard whole.readableBytes + chunk.readableBytes <= bytesMax else { throw .tooLarge(bytesMax) }
            if whole.readableBytes == 0 { whole = chunk } else { whole.writeImmutableBuffer(chunk) }
        }
        return whole
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let stream: HTTPBodyStream

        package mutating func next() async throws -> ByteBuffer? { try await stream.next() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: self) }
}

/// The shared part: the connection pushes, the reader takes.
final class BodyBuffer: Sendable {
    typealias Outcome = Result<ByteBuffer?, HTTPClientError>

    private struct State {
        var chunks: [ByteBuffer] = []
        var head = 0
        var bytes = 0
        var end: Result<Void, HTTPClientError>?
        var waiter: CheckedContinuation<Outcome, Never>?
        var wantsMore: (@Sendable () -> Void)?
        var cancel: (@Sendable () -> Void)?
    }

    private let bytesMax: Int
    private let state = Mutex(State())

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The connection's side: how to ask for more, how to give up. Gives up at once when the reader already did.
    func attach(wantsMore: @escaping @Sendable () -> Void, cancel: @escaping @Sendable () -> Void) {
        let isOver = state.withLock { state -> Bool in
            guard state.end == nil else { return true }
            state.wantsMore = wantsMore
            state.cancel = cancel
            return false
        }
        if isOver { cancel() }
    }

    /// Whether the connection may read on.
    var hasRoom: Bool { state.withLock { $0.bytes < bytesMax } }

    func push(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
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
        let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard state.end == nil else { return nil }
            state.end = outcome
            state.wantsMore = nil
            state.cancel = nil
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: outcome.map { nil })
    }

    func take(orWait continuation: CheckedContinuation<Outcome, Never>) -> Outcome? {
        let (outcome, wake) = state.withLock { state -> (Outcome?, (@Sendable () -> Void)?) in
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

    func cancel(_ why: HTTPClientError = .closed("cancelled by the caller")) {
        let cancel = state.withLock { $0.cancel }
        finish(.failure(why))
        cancel?()
    }
}
