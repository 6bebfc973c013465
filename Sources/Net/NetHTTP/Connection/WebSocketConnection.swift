// A WebSocket over a taken-over connection, either role. Safe from any thread; callbacks run on its event loop. Pings
// are answered here. Incoming messages wait until `onMessage` is set. It must never call `onClose` twice.
import NIOCore
import NIOHTTP1
import NetPKI
import Synchronization

/// The header arithmetic of the handshake (RFC 6455 §4).
package enum WebSocketHandshake {
    /// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
    package static func accept(_ key: String) -> String { sha1Base64(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11") }

    package static func makeKey() -> String { randomBase64(bytes: 16) }

    /// The subprotocols that a request offers, best first.
    package static func offered(_ request: HTTPRequest) -> [String] {
        request.headers[canonicalForm: "sec-websocket-protocol"].map(String.init).filter { !$0.isEmpty }
    }
}

/// One open WebSocket.
package final class WebSocketConnection: Sendable {
    private struct State {
        var decoder: WebSocketDecoder
        var message: (@Sendable (ByteBuffer, _ isText: Bool) -> Void)?
        var closeCallbacks: [@Sendable (UInt16) -> Void] = []
        var closeCode: UInt16 = 1006
        var isClosing = false
        var isClosed = false
    }

    /// The largest message that is taken; a larger one ends the connection with 1009.
    package static let messageBytesMax = 4 << 20
    /// How long the peer has to answer our close frame.
    static let closeGrace = TimeAmount.seconds(5)

    package let selectedProtocol: String?
    package let eventLoop: any EventLoop
    private let raw: RawConnection
    private let role: WebSocketRole
    private let state: Mutex<State>

    init(_ raw: RawConnection, role: WebSocketRole, selectedProtocol: String?) {
        self.raw = raw
        self.role = role
        self.selectedProtocol = selectedProtocol
        eventLoop = raw.eventLoop
        state = Mutex(State(decoder: WebSocketDecoder(role: role, messageBytesMax: Self.messageBytesMax)))
        raw.onClose { self.ended() }
        raw.onInputClosed { raw.close() }
    }

    package func send(binary: ByteBuffer) { send(.binary, binary) }
    package func send(text: String) { send(.text, ByteBuffer(string: text)) }
    package func ping() { send(.ping, ByteBuffer()) }

    /// Begins the closing handshake; the connection is cut when the peer does not answer.
    package func close(code: UInt16 = 1000) {
        let first = state.withLock { state -> Bool in
            defer { state.isClosing = true }
            if !state.isClosing { state.closeCode = code }
            return !state.isClosing
        }
        guard first else { return }
        send(.close, ByteBuffer(integer: code))
        let raw = raw
        eventLoop.scheduleTask(in: Self.closeGrace) { raw.close() }
    }

    /// Receives whole messages. Reading starts with this call.
    package func onMessage(_ f: @escaping @Sendable (ByteBuffer, _ isText: Bool) -> Void) {
        state.withLock { $0.message = f }
        raw.onReceive { [weak self] bytes in self?.received(bytes) }
    }

    /// Calls `f` exactly once with the close code: the peer's, or 1006 when the connection was lost.
    package func onClose(_ f: @escaping @Sendable (UInt16) -> Void) {
        let now = state.withLock { state -> UInt16? in
            if !state.isClosed { state.closeCallbacks.append(f) }
            return state.isClosed ? state.closeCode : nil
        }
        if let now { eventLoop.execute { f(now) } }
    }

    package var pendingBytes: Int { raw.pendingBytes }
    package var isWritable: Bool { raw.isWritable }
    package func onWritable(_ f: @escaping @Sendable () -> Void) { raw.onWritable(f) }
    package func pauseReading() { raw.pauseReading() }
    package func resumeReading() { raw.resumeReading() }

    private func send(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        raw.send(webSocketFrame(opcode, payload, mask: role == .client ? .random(in: .min ... .max) : nil))
    }

    private func received(_ bytes: ByteBuffer) {
        do throws(WebSocketFault) {
            let (events, message) = try decode(bytes)
            for event in events { handle(event, message) }
        } catch {
            send(.close, ByteBuffer(integer: error.rawValue))
            state.withLock { $0.closeCode = error.rawValue }
            raw.close()
        }
    }

    private typealias Receiver = @Sendable (ByteBuffer, _ isText: Bool) -> Void

    private func decode(_ bytes: ByteBuffer) throws(WebSocketFault) -> ([WebSocketEvent], Receiver?) {
        let outcome = state.withLock { state -> Result<([WebSocketEvent], Receiver?), WebSocketFault> in
            do throws(WebSocketFault) { return .success((try state.decoder.feed(bytes), state.message)) } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func handle(_ event: WebSocketEvent, _ message: Receiver?) {
        switch event {
        case .message(let bytes, let isText): message?(bytes, isText)
        case .ping(let bytes): send(.pong, bytes)
        case .pong: break
        case .close(let code):
            let answers = state.withLock { state -> Bool in
                if !state.isClosing { state.closeCode = code }
                defer { state.isClosing = true }
                return !state.isClosing
            }
            if answers { send(.close, ByteBuffer(integer: code == 1005 ? 1000 : code)) }
            raw.close()
        }
    }

    private func ended() {
        let (callbacks, code) = state.withLock { state in
            state.isClosed = true
            state.message = nil
            defer { state.closeCallbacks = [] }
            return (state.closeCallbacks, state.closeCode)
        }
        for callback in callbacks { callback(code) }
    }
}
