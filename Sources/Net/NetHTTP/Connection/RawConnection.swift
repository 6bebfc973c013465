// A byte stream that was taken over from HTTP (CONNECT, Upgrade) or dialled: send, receive, half-close, pause. Safe
// from any thread; callbacks run on the connection's event loop. Reading begins when `onReceive` is set. It must
// never grow without its owner seeing it: `pendingBytes` counts what the socket has not taken.
import NIOCore
import Synchronization

enum RawOperation: Sendable {
    case data(ByteBuffer)
    case shutdownOutput
    case close
    case abort
}

/// One open byte stream.
package final class RawConnection: Sendable {
    private struct State {
        var queue: [RawOperation] = []
        var isScheduled = false
        var isClosed = false
        var isInputClosed = false
        var isPaused = false
        var receive: (@Sendable (ByteBuffer) -> Void)?
        var waiting: [ByteBuffer] = []
        var inputClosedCallbacks: [@Sendable () -> Void] = []
        var closeCallbacks: [@Sendable () -> Void] = []
        var writableCallbacks: [@Sendable () -> Void] = []
    }

    /// Bytes not yet taken by the socket above which `isWritable` is false.
    package static let highWatermarkBytes = 64 << 10

    package let eventLoop: any EventLoop
    package let remoteAddress: String
    private let handler: NIOLoopBound<RawHandler>
    private let state = Mutex(State())
    private let pending = Atomic<Int>(0)

    /// Called on the event loop.
    init(eventLoop: any EventLoop, handler: RawHandler, remoteAddress: String) {
        self.eventLoop = eventLoop
        self.handler = NIOLoopBound(handler, eventLoop: eventLoop)
        self.remoteAddress = remoteAddress
    }

    /// Sends bytes in order; flushed once per event-loop tick. After the end it does nothing.
    package func send(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        enqueue(.data(bytes), bytes: bytes.readableBytes)
    }

    /// Half-close: what was sent before still goes out, then the peer reads the end of the stream.
    package func shutdownOutput() { enqueue(.shutdownOutput, bytes: 0) }

    /// Closes once what was sent before is out (at most five seconds later).
    package func close() { enqueue(.close, bytes: 0) }

    /// Closes now.
    package func abort() { enqueue(.abort, bytes: 0) }

    package var pendingBytes: Int { max(0, pending.load(ordering: .relaxed)) }
    package var isWritable: Bool { pendingBytes < Self.highWatermarkBytes }
    package var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Receives the bytes. Reading starts with this call.
    package func onReceive(_ f: @escaping @Sendable (ByteBuffer) -> Void) {
        state.withLock { $0.receive = f }
        onLoop { self.deliver() }
    }

    /// Calls `f` once when the peer half-closed (also before `onClose` when it closed altogether).
    package func onInputClosed(_ f: @escaping @Sendable () -> Void) {
        state.withLock { $0.inputClosedCallbacks.append(f) }
        onLoop { self.deliver() }
    }

    /// Calls `f` exactly once when the connection is closed.
    package func onClose(_ f: @escaping @Sendable () -> Void) {
        let isNow = state.withLock { state -> Bool in
            if !state.isClosed { state.closeCallbacks.append(f) }
            return state.isClosed
        }
        if isNow { eventLoop.execute(f) }
    }

    /// Calls `f` once, as soon as the connection is writable or closed.
    package func onWritable(_ f: @escaping @Sendable () -> Void) {
        state.withLock { $0.writableCallbacks.append(f) }
        eventLoop.execute { self.wakeWriters() }
    }

    /// Stops reading; at most one read that is under way still arrives.
    package func pauseReading() { state.withLock { $0.isPaused = true } }

    package func resumeReading() {
        state.withLock { $0.isPaused = false }
        onLoop { self.deliver() }
    }

    private func onLoop(_ f: @escaping @Sendable () -> Void) { eventLoop.execute(f) }

    private func enqueue(_ operation: RawOperation, bytes: Int) {
        let schedules = state.withLock { state -> Bool in
            guard !state.isClosed else { return false }
            pending.wrappingAdd(bytes, ordering: .relaxed)
            state.queue.append(operation)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if schedules { eventLoop.execute { self.drain() } }
    }

    private func drain() {
        let batch = state.withLock { state -> [RawOperation] in
            state.isScheduled = false
            defer { state.queue = [] }
            return state.queue
        }
        handler.value.perform(batch)
    }
}

// What the handler calls, on the event loop.
extension RawConnection {
    /// Whether the owner can take bytes now.
    var wantsInput: Bool { state.withLock { $0.receive != nil && !$0.isPaused && !$0.isInputClosed } }

    func received(_ bytes: ByteBuffer) {
        state.withLock { $0.waiting.append(bytes) }
        deliver()
    }

    func inputClosed() {
        state.withLock { $0.isInputClosed = true }
        deliver()
    }

    /// Hands over what waits while the owner takes it, then asks for more.
    func deliver() {
        while true {
            let next = state.withLock { state -> (@Sendable (ByteBuffer) -> Void, ByteBuffer)? in
                guard let receive = state.receive, !state.isPaused || state.isClosed, !state.waiting.isEmpty else {
                    return nil
                }
                return (receive, state.waiting.removeFirst())
            }
            guard let (receive, bytes) = next else { break }
            receive(bytes)
        }
        reportInputClosed()
        if wantsInput { handler.value.readIfNeeded() }
    }

    private func reportInputClosed() {
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard state.isInputClosed, state.waiting.isEmpty else { return [] }
            defer { state.inputClosedCallbacks = [] }
            return state.inputClosedCallbacks
        }
        for callback in callbacks { callback() }
    }

    func accepted(_ bytes: Int) {
        pending.wrappingSubtract(bytes, ordering: .relaxed)
        wakeWriters()
    }

    private func wakeWriters() {
        let isLow = pendingBytes <= Self.highWatermarkBytes / 2
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard isLow || state.isClosed else { return [] }
            defer { state.writableCallbacks = [] }
            return state.writableCallbacks
        }
        for callback in callbacks { callback() }
    }

    /// The channel is gone. The second call does nothing.
    func closed() {
        let callbacks = state.withLock { state -> [@Sendable () -> Void]? in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            state.isInputClosed = true
            state.isPaused = false
            state.queue = []
            defer { state.closeCallbacks = [] }
            return state.closeCallbacks
        }
        guard let callbacks else { return }
        deliver()
        wakeWriters()
        for callback in callbacks { callback() }
        state.withLock { state in
            state.receive = nil
            state.inputClosedCallbacks = []
        }
    }
}
