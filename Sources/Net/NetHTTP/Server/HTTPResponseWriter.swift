// The one way to answer a request, from any thread. Operations are queued under a lock and carried out on the event
// loop, one wake-up and one flush per batch; on the loop itself they go straight through. Bytes are counted until the
// socket took them, so that a caller can bound what a slow reader holds. It must never touch the channel off its
// loop.
import NIOCore
import Synchronization

/// Answers one request. Calls after the end, or after the client went away, do nothing.
package final class HTTPResponseWriter: Sendable {
    private struct State {
        var queue: [ResponseOperation] = []
        var isScheduled = false
        var isFinished = false
        var closeCallbacks: [@Sendable () -> Void] = []
        var writableCallbacks: [@Sendable () -> Void] = []
    }

    package let eventLoop: any EventLoop
    private let sink: NIOLoopBound<any ResponseSink>
    private let highWatermark: Int
    private let state = Mutex(State())
    private let pending = Atomic<Int>(0)
    private let webSocketKey: String?

    /// Called on the event loop. `webSocketKey` is set when the request asks for a WebSocket and may have one.
    init(eventLoop: any EventLoop, sink: any ResponseSink, highWatermark: Int, webSocketKey: String?) {
        self.webSocketKey = webSocketKey
        self.eventLoop = eventLoop
        self.sink = NIOLoopBound(sink, eventLoop: eventLoop)
        self.highWatermark = highWatermark
    }

    /// A whole answer; `content-length` is set here.
    package func send(status: Int, headers: [(String, String)], body: ByteBuffer) {
        enqueue(.whole(HTTPAnswer(status: status, headers: headers, body: body)), bytes: body.readableBytes)
    }

    /// Begins a streamed answer (chunked in HTTP/1.1).
    package func sendHead(status: Int, headers: [(String, String)]) {
        enqueue(.head(status: status, headers: headers), bytes: 0)
    }

    /// More of a streamed answer; flushed once per event-loop tick.
    package func write(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        enqueue(.data(bytes), bytes: bytes.readableBytes)
    }

    /// The streamed answer is complete.
    package func end() { enqueue(.end, bytes: 0) }

    /// Aborts: HTTP/2 resets the stream, HTTP/1.1 closes the connection.
    package func reset() { enqueue(.reset, bytes: 0) }

    /// Bytes of the answer that the socket has not taken yet.
    package var pendingBytes: Int { max(0, pending.load(ordering: .relaxed)) }

    package var isWritable: Bool { pendingBytes < highWatermark }

    /// Calls `f` once, as soon as the answer is writable (at once, on the event loop, when it is).
    package func onWritable(_ f: @escaping @Sendable () -> Void) {
        let isNow = state.withLock { state -> Bool in
            if state.isFinished || isWritable { return true }
            state.writableCallbacks.append(f)
            return false
        }
        if isNow { eventLoop.execute(f) } else { eventLoop.execute { self.wakeWriters() } }
    }

    /// Calls `f` exactly once: when the client went away or the answer is complete.
    package func onClose(_ f: @escaping @Sendable () -> Void) {
        let isNow = state.withLock { state -> Bool in
            if !state.isFinished { state.closeCallbacks.append(f) }
            return state.isFinished
        }
        if isNow { eventLoop.execute(f) }
    }

    /// HTTP/1.1 only: takes the connection over as a WebSocket with this subprotocol (nil: none). A request that cannot
    /// become one is answered with 400.
    package func upgradeToWebSocket(
        protocol name: String?, headers: [(String, String)] = [],
        _ handler: @escaping @Sendable (WebSocketConnection) -> Void
    ) {
        guard let webSocketKey else {
            return send(
                status: 400, headers: [], body: ByteBuffer(string: "the request is not a WebSocket handshake\n"))
        }
        var all = headers
        all.append(("upgrade", "websocket"))
        all.append(("connection", "Upgrade"))
        all.append(("sec-websocket-accept", WebSocketHandshake.accept(webSocketKey)))
        if let name { all.append(("sec-websocket-protocol", name)) }
        upgradeToRaw(status: 101, headers: all) { raw in
            handler(WebSocketConnection(raw, role: .server, selectedProtocol: name))
        }
    }

    /// HTTP/1.1 only: answers with `status` (101, or 200 to CONNECT) and hands the connection over as raw bytes. On
    /// HTTP/2 the request is answered with 400.
    package func upgradeToRaw(
        status: Int, headers: [(String, String)], _ handler: @escaping @Sendable (RawConnection) -> Void
    ) {
        enqueue(.upgrade(status: status, headers: headers, handler), bytes: 0)
    }

    private enum Route { case dropped, queued, scheduled, direct }

    private func enqueue(_ operation: ResponseOperation, bytes: Int) {
        let route = state.withLock { state -> Route in
            if state.isFinished { return .dropped }
            pending.wrappingAdd(bytes, ordering: .relaxed)
            if !state.isScheduled && state.queue.isEmpty && eventLoop.inEventLoop { return .direct }
            state.queue.append(operation)
            if state.isScheduled { return .queued }
            state.isScheduled = true
            return .scheduled
        }
        switch route {
        case .dropped, .queued: break
        case .scheduled: eventLoop.execute { self.drain() }
        case .direct:
            sink.value.perform(operation, of: self)
            if case .data = operation { sink.value.flushSoon() } else { sink.value.flushNow() }
        }
    }

    private func drain() {
        let batch = state.withLock { state -> [ResponseOperation] in
            state.isScheduled = false
            let batch = state.queue
            state.queue = []
            return batch
        }
        for operation in batch { sink.value.perform(operation, of: self) }
        sink.value.flushNow()
    }

    /// The sink reports bytes that the socket took (or that were dropped).
    func accepted(_ bytes: Int) {
        pending.wrappingSubtract(bytes, ordering: .relaxed)
        wakeWriters()
    }

    private func wakeWriters() {
        guard pendingBytes <= highWatermark / 2 else { return }
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            let callbacks = state.writableCallbacks
            state.writableCallbacks = []
            return callbacks
        }
        for callback in callbacks { callback() }
    }

    /// The sink reports that nothing more can be sent. On the event loop; the second call does nothing.
    func finish() {
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard !state.isFinished else { return [] }
            state.isFinished = true
            state.queue = []
            let callbacks = state.writableCallbacks + state.closeCallbacks
            state.writableCallbacks = []
            state.closeCallbacks = []
            return callbacks
        }
        for callback in callbacks { callback() }
    }
}
