// One call as a server's handler sees it. Safe from any thread; callbacks run on the stream's event loop. Reading
// begins with `onMessage`. It must never send after the status.
import NIOCore
import NIOHPACK
import NetPKI
import Synchronization

/// Answers calls. One object serves all connections of a server.
package protocol GRPCService: Sendable {
    /// Called on the event loop at the call's head. It must not block. Unknown paths:
    /// `call.finish(GRPCStatus(.unimplemented))`.
    func handle(_ call: GRPCServerCall)
}

enum GRPCServerOutgoing: Sendable {
    case message(GRPCServerMessage)
    case finish(GRPCStatus, GRPCMetadata)
}

/// Bytes that several calls may share, and behind them an integer field that is this call's own; 0 is left out.
package struct GRPCServerMessage: Sendable {
    var bytes: [UInt8]
    var tag: UInt64 = 0
    var value: UInt64 = 0

    package init(bytes: [UInt8], tag: UInt64 = 0, value: UInt64 = 0) {
        self.bytes = bytes
        self.tag = tag
        self.value = value
    }

    var count: Int { value == 0 ? bytes.count : bytes.count + Self.length(tag) + Self.length(value) }

    private static func length(_ varint: UInt64) -> Int { max(1, (70 - varint.leadingZeroBitCount) / 7) }

    func write(_ buffer: inout ByteBuffer) {
        buffer.writeBytes(bytes)
        writeOwn(&buffer)
    }

    /// The field that is this call's own.
    func writeOwn(_ buffer: inout ByteBuffer) {
        guard value != 0 else { return }
        Self.write(tag, &buffer)
        Self.write(value, &buffer)
    }

    private static func write(_ varint: UInt64, _ buffer: inout ByteBuffer) {
        var rest = varint
        while rest >= 0x80 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffer.writeInteger(UInt8(truncatingIfNeeded: rest))
    }
}

/// One call on the server.
package final class GRPCServerCall: Sendable {
    private struct State {
        var queue: [GRPCServerOutgoing] = []
        var isScheduled = false
        var isFinished = false
        var isClosed = false
        var isInputEnded = false
        var isPaused = false
        var isReleased = false
        var waiting = CircularBuffer<[UInt8]>()
        var message: (@Sendable ([UInt8]) -> Void)?
        var endCallbacks: [@Sendable () -> Void] = []
        var closeCallbacks: [@Sendable () -> Void] = []
        var writableCallbacks: [@Sendable () -> Void] = []
        var outcome: (@Sendable (GRPCCode) -> Void)?
    }

    /// Bytes not yet taken by the socket above which `isWritable` is false.
    package static let highWatermarkBytes = 256 << 10

    /// `/package.Service/Method`.
    package let path: String
    package var metadata: GRPCMetadata {
        fields.filter { !$0.name.hasPrefix(":") }.map { ($0.name, $0.value) }
    }
    /// When the client gives up; nil when it never does.
    package let deadline: NIODeadline?
    package let clientCertificate: ClientCertificate?
    package var eventLoop: any EventLoop { outbox.eventLoop }
    private let fields: HPACKHeaders
    private let outbox: GRPCOutbox
    private let stream: NIOLoopBound<GRPCServerStream>
    private let state = Mutex(State())
    private let pending = Atomic<Int>(0)

    init(
        path: String, fields: HPACKHeaders, deadline: NIODeadline?, clientCertificate: ClientCertificate?,
        outbox: GRPCOutbox, stream: NIOLoopBound<GRPCServerStream>
    ) {
        self.path = path
        self.fields = fields
        self.deadline = deadline
        self.clientCertificate = clientCertificate
        self.outbox = outbox
        self.stream = stream
    }

    /// The first value of a metadata field.
    package func metadata(_ name: String) -> String? { name.hasPrefix(":") ? nil : fields.first(name: name) }

    /// Sends one response message.
    package func send(_ message: [UInt8]) {
        enqueue(.message(GRPCServerMessage(bytes: message)), bytes: message.count)
    }

    /// Sends one response message: bytes that other calls may send too, without a copy, and behind them one integer field
    /// of this call's own.
    package func send(_ shared: [UInt8], field: Int, _ value: Int64) {
        let message = GRPCServerMessage(
            bytes: shared, tag: UInt64(UInt32(truncatingIfNeeded: field)) << 3, value: UInt64(bitPattern: value))
        enqueue(.message(message), bytes: message.count)
    }

    /// Ends the call with this status (OK by default). Only the first counts.
    package func finish(_ status: GRPCStatus = GRPCStatus(.ok), trailers: GRPCMetadata = []) {
        enqueue(.finish(status, trailers), bytes: 0)
    }

    /// One message and OK.
    package func reply(_ message: [UInt8]) {
        send(message)
        finish()
    }

    /// Ends the call at once, without what still waits: for a client that does not take it. It is told to calm down
    /// (`resourceExhausted`).
    package func abort() {
        onLoop { self.stream.value.abort() }
    }

    package var pendingBytes: Int { max(0, pending.load(ordering: .relaxed)) }
    package var isWritable: Bool { pendingBytes < Self.highWatermarkBytes }
    package var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Receives the request messages in order. Reading starts with this call.
    package func onMessage(_ f: @escaping @Sendable ([UInt8]) -> Void) {
        state.withLock { $0.message = f }
        onLoop { self.deliver() }
    }

    /// The same, for calls that answer messages: while the client leaves answers untaken, none is given, and the window
    /// for more of them stays closed.
    package func onMessageWhileWritable(_ f: @escaping @Sendable ([UInt8]) -> Void) {
        onMessage { message in
            f(message)
            guard !self.isWritable else { return }
            self.pauseReading()
            self.onWritable { self.resumeReading() }
        }
    }

    /// Calls `f` once when the client has sent its last message.
    package func onEnd(_ f: @escaping @Sendable () -> Void) {
        state.withLock { $0.endCallbacks.append(f) }
        onLoop { self.deliver() }
    }

    /// A unary call: calls `f` with the one message; anything else is refused.
    package func onUnary(_ f: @escaping @Sendable ([UInt8]) -> Void) {
        let box = UnaryBox()
        onMessage { message in
            if !box.fill(message) { self.finish(GRPCStatus(.internal, "more than one request message")) }
        }
        onEnd {
            if let message = box.take() { f(message) } else { self.finish(GRPCStatus(.internal, "no request message")) }
        }
    }

    /// Calls `f` exactly once: when the status was sent or the client went away.
    package func onClose(_ f: @escaping @Sendable () -> Void) {
        let isNow = state.withLock { state -> Bool in
            if !state.isClosed { state.closeCallbacks.append(f) }
            return state.isClosed
        }
        if isNow { eventLoop.execute(f) }
    }

    /// Calls `f` exactly once, from any thread: with the code that the handler finished with, or `.cancelled` when the
    /// client went away before. To be set at the call's head, and quick.
    package func onOutcome(_ f: @escaping @Sendable (GRPCCode) -> Void) { state.withLock { $0.outcome = f } }

    /// Calls `f` once, as soon as the call is writable or closed.
    package func onWritable(_ f: @escaping @Sendable () -> Void) {
        state.withLock { $0.writableCallbacks.append(f) }
        eventLoop.execute { self.wakeWriters() }
    }

    package func pauseReading() { state.withLock { $0.isPaused = true } }

    package func resumeReading() {
        state.withLock { $0.isPaused = false }
        eventLoop.execute { self.deliver() }
    }

    /// A call that waits long, for others: what it was sent no longer counts against what its client may send.
    package func releaseInput() {
        state.withLock { $0.isReleased = true }
        onLoop { self.stream.value.readIfNeeded() }
    }

    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        if eventLoop.inEventLoop { body() } else { eventLoop.execute(body) }
    }

    private func enqueue(_ outgoing: GRPCServerOutgoing, bytes: Int) {
        var outcome: (@Sendable (GRPCCode) -> Void)?
        let schedules = state.withLock { state -> Bool in
            guard !state.isClosed, !state.isFinished else { return false }
            if case .finish = outgoing {
                state.isFinished = true
                (outcome, state.outcome) = (state.outcome, nil)
            }
            pending.wrappingAdd(bytes, ordering: .relaxed)
            state.queue.append(outgoing)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if case .finish(let status, _) = outgoing { outcome?(status.code) }
        guard schedules else { return }
        if eventLoop.inEventLoop { drain() } else { outbox.post(self) }
    }

    func drain() {
        let batch = state.withLock { state -> [GRPCServerOutgoing] in
            state.isScheduled = false
            defer { state.queue = [] }
            return state.queue
        }
        stream.value.perform(batch)
    }
}

private final class UnaryBox: Sendable {
    private let message = Mutex<[UInt8]?>(nil)

    func fill(_ bytes: [UInt8]) -> Bool {
        message.withLock { message in
            guard message == nil else { return false }
            message = bytes
            return true
        }
    }

    func take() -> [UInt8]? { message.withLock { $0 } }
}

// What the stream handler calls, on the event loop.
extension GRPCServerCall {
    var wantsInput: Bool { state.withLock { $0.message != nil && !$0.isPaused && (!$0.isInputEnded || $0.isReleased) } }

    func received(_ message: [UInt8]) {
        state.withLock { $0.waiting.append(message) }
        deliver()
    }

    func inputEnded() {
        state.withLock { $0.isInputEnded = true }
        deliver()
    }

    func deliver() {
        while true {
            let next = state.withLock { state -> (@Sendable ([UInt8]) -> Void, [UInt8])? in
                guard let message = state.message, !state.isPaused, !state.waiting.isEmpty else { return nil }
                return (message, state.waiting.removeFirst())
            }
            guard let (message, bytes) = next else { break }
            message(bytes)
        }
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard state.isInputEnded, state.waiting.isEmpty else { return [] }
            defer { state.endCallbacks = [] }
            return state.endCallbacks
        }
        for callback in callbacks { callback() }
        if wantsInput { stream.value.readIfNeeded() }
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

    /// The stream is gone or the status was sent. The second call does nothing.
    func closed() {
        var outcome: (@Sendable (GRPCCode) -> Void)?
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard !state.isClosed else { return [] }
            state.isClosed = true
            (outcome, state.outcome) = (state.outcome, nil)
            state.queue = []
            state.message = nil
            state.endCallbacks = []
            defer { state.closeCallbacks = [] }
            return state.closeCallbacks
        }
        outcome?(.cancelled)
        wakeWriters()
        for callback in callbacks { callback() }
    }
}
