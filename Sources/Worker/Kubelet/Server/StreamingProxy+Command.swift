// WebSocket to SPDY for exec and attach. Clients speak channels in WebSocket messages (first byte: 0 stdin, 1 stdout,
// 2 stderr, 3 error, 4 resize; v5 adds 255 = the channel named next is closed); containerd's streaming server
// speaks SPDY streams, which alone can half-close stdin, so that `echo x | kubectl exec -i` ends.
import API
import NIOCore
import NetHTTP
import Synchronization

extension StreamingProxy {
    func webSocketCommand(
        _ response: HTTPResponseWriter, url: String, _ options: StreamOptions, _ chosen: RemoteCommandProtocol
    ) async {
        let versions = [("X-Stream-Protocol-Version", "v4.channel.k8s.io")]
        guard let runtime = await upgraded(response, url: url, headers: versions)?.connection else { return }
        guard let session = await SPDYSession.start(on: runtime) else {
            runtime.abort()
            return response.plain(500, "no memory for a SPDY session")
        }
        guard let bridge = RemoteCommandBridge(session, options, chosen) else {
            session.close()
            return response.plain(502, "the container runtime closed the session")
        }
        response.upgradeToWebSocket(protocol: chosen.rawValue, headers: []) { bridge.join($0) }
    }
}

/// One remote command between a client's WebSocket and the runtime's SPDY session.
final class RemoteCommandBridge: Sendable {
    private enum Channel {
        static let stdin: UInt8 = 0, stdout: UInt8 = 1, stderr: UInt8 = 2, error: UInt8 = 3, resize: UInt8 = 4,
            close: UInt8 = 255
    }
    /// A Status is small; more than this is cut.
    private static let statusBytesMax = 64 << 10

    private struct State {
        var open: Set<UInt8>
        var status = ByteBuffer()
    }

    private let session: SPDYSession
    private let version: RemoteCommandProtocol
    private let error: SPDYStream
    private let stdin: SPDYStream?
    private let resize: SPDYStream?
    private let outputs: [(UInt8, SPDYStream)]
    private let state: Mutex<State>

    /// Opens the streams; nil when the session is closed already.
    init?(_ session: SPDYSession, _ options: StreamOptions, _ version: RemoteCommandProtocol) {
        func open(_ type: String, _ isWanted: Bool) -> SPDYStream? {
            isWanted ? session.open([("streamtype", type)]) : nil
        }
        guard let error = open("error", true) else { return nil }
        self.session = session
        self.version = version
        self.error = error
        stdin = open("stdin", options.stdin)
        var outputs: [(UInt8, SPDYStream)] = []
        if let stream = open("stdout", options.stdout) { outputs.append((Channel.stdout, stream)) }
        if let stream = open("stderr", options.stderr && !options.tty) { outputs.append((Channel.stderr, stream)) }
        resize = open("resize", options.tty)
        self.outputs = outputs
        state = Mutex(State(open: Set(outputs.map(\.0) + [Channel.error])))
    }

    /// Joins the client's socket and carries bytes until both are done.
    func join(_ socket: WebSocketConnection) {
        // An empty message tells the client that the session stands.
        Self.send(ByteBuffer(), outputs.first?.0 ?? Channel.error, socket)
        socket.onClose { [session] _ in session.close() }
        for (channel, stream) in outputs {
            stream.onReceive { [session] bytes in
                Self.send(bytes, channel, socket)
                guard !socket.isWritable else { return }
                session.pauseReading()
                socket.onWritable { session.resumeReading() }
            }
            stream.onEnd { self.ended(channel, socket) }
        }
        error.onReceive { bytes in
            self.state.withLock { state in
                var bytes = bytes
                if state.status.readableBytes < Self.statusBytesMax { state.status.writeBuffer(&bytes) }
            }
        }
        error.onEnd { self.ended(Channel.error, socket) }
        socket.onMessage { bytes, _ in self.received(bytes, socket) }
    }

    private static func send(_ bytes: ByteBuffer, _ channel: UInt8, _ socket: WebSocketConnection) {
        var message = ByteBuffer()
        message.reserveCapacity(bytes.readableBytes + 1)
        message.writeInteger(channel)
        message.writeImmutableBuffer(bytes)
        socket.send(binary: message)
    }

    // MARK: from the client

    private func received(_ message: ByteBuffer, _ socket: WebSocketConnection) {
        var rest = message
        guard let channel: UInt8 = rest.readInteger() else { return }
        switch channel {
        case Channel.stdin: if rest.readableBytes > 0 { stdin?.send(rest) }
        case Channel.resize: resize?.send(rest)
        case Channel.close where version == .v5:
            if let closed: UInt8 = rest.readInteger(), closed == Channel.stdin { stdin?.finishSending() }
        default: break
        }
        guard !session.isWritable else { return }
        socket.pauseReading()
        session.onWritable { socket.resumeReading() }
    }

    // MARK: from the runtime

    /// The command's outcome goes out when every output has ended, so that nothing is lost behind it.
    private func ended(_ channel: UInt8, _ socket: WebSocketConnection) {
        let status = state.withLock { state -> ByteBuffer? in
            guard state.open.remove(channel) != nil, state.open.isEmpty else { return nil }
            return state.status
        }
        guard let status else { return }
        let outcome = version == .v1 ? Self.message(of: status) : status
        if outcome.readableBytes > 0 { Self.send(outcome, Channel.error, socket) }
        socket.close()
        session.close()
    }

    /// The first protocol has no Status: nothing for success, the message for a failure.
    private static func message(of status: ByteBuffer) -> ByteBuffer {
        do throws(JSONError) {
            let tree = try JSON.parse(Array(status.readableBytesView))
            return tree["status"]?.string == "Success"
                ? ByteBuffer() : ByteBuffer(string: tree["message"]?.string ?? "")
        } catch {
            return status
        }
    }
}
