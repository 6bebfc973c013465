// A SPDY/3.1 client session over a taken-over connection: streams with headers, data, half-close and reset, as
// containerd's and the kubelet's streaming servers speak it. Flow control is not part of that dialect (spdystream
// neither sends nor obeys window updates), so back-pressure is the connection's own: pausing one stream pauses all.
// Safe from any thread; callbacks run on the connection's event loop.
import NIOCore
import Synchronization

/// One stream of a session.
package final class SPDYStream: Sendable {
    private struct State {
        var receive: (@Sendable (ByteBuffer) -> Void)?
        var waiting: [ByteBuffer] = []
        var isInputClosed = false
        var isReset = false
        var hasSentEnd = false
        var endCallbacks: [@Sendable () -> Void] = []
        var reply: [(String, String)]?
        var replyCallback: (@Sendable ([(String, String)]) -> Void)?
    }

    package let id: UInt32
    private let session: SPDYSession
    private let state = Mutex(State())

    init(id: UInt32, session: SPDYSession) {
        self.id = id
        self.session = session
    }

    /// Sends data; with `isLast` the output is closed behind it.
    package func send(_ bytes: ByteBuffer, isLast: Bool = false) {
        let isOpen = state.withLock { state -> Bool in
            guard !state.hasSentEnd, !state.isReset else { return false }
            state.hasSentEnd = isLast
            return true
        }
        guard isOpen else { return }
        var rest = bytes
        while rest.readableBytes > SPDYSession.dataBytesMax, let part = rest.readSlice(length: SPDYSession.dataBytesMax)
        {
            session.write(.data(stream: id, isLast: false, part))
        }
        session.write(.data(stream: id, isLast: isLast, rest))
    }

    /// Half-close.
    package func finishSending() { send(ByteBuffer(), isLast: true) }

    package func reset() {
        state.withLock { $0.isReset = true }
        session.write(.reset(stream: id, status: 5))
        session.forget(id)
    }

    /// Receives the peer's data; what came before waits.
    package func onReceive(_ f: @escaping @Sendable (ByteBuffer) -> Void) {
        state.withLock { $0.receive = f }
        session.onLoop { self.deliver() }
    }

    /// Calls `f` once when the peer closed its side, reset the stream, or the connection is gone.
    package func onEnd(_ f: @escaping @Sendable () -> Void) {
        state.withLock { $0.endCallbacks.append(f) }
        session.onLoop { self.deliver() }
    }

    /// Calls `f` once with the peer's SYN_REPLY headers.
    package func onReply(_ f: @escaping @Sendable ([(String, String)]) -> Void) {
        let now = state.withLock { state -> [(String, String)]? in
            if state.reply == nil { state.replyCallback = f }
            return state.reply
        }
        if let now { session.onLoop { f(now) } }
    }

    func replied(_ headers: [(String, String)]) {
        let callback = state.withLock { state -> (@Sendable ([(String, String)]) -> Void)? in
            state.reply = headers
            defer { state.replyCallback = nil }
            return state.replyCallback
        }
        callback?(headers)
    }

    func received(_ bytes: ByteBuffer, isLast: Bool) {
        state.withLock { state in
            if bytes.readableBytes > 0 && !state.isInputClosed { state.waiting.append(bytes) }
            if isLast { state.isInputClosed = true }
        }
        deliver()
    }

    func ended() {
        state.withLock { state in
            state.isInputClosed = true
            state.hasSentEnd = true
        }
        deliver()
    }

    private func deliver() {
        while true {
            let next = state.withLock { state -> (@Sendable (ByteBuffer) -> Void, ByteBuffer)? in
                guard let receive = state.receive, !state.waiting.isEmpty else { return nil }
                return (receive, state.waiting.removeFirst())
            }
            guard let (receive, bytes) = next else { break }
            receive(bytes)
        }
        let callbacks = state.withLock { state -> [@Sendable () -> Void] in
            guard state.isInputClosed, state.waiting.isEmpty else { return [] }
            defer { state.endCallbacks = [] }
            return state.endCallbacks
        }
        for callback in callbacks { callback() }
    }
}

/// The session: opens streams, sorts frames.
package final class SPDYSession: Sendable {
    private struct State {
        var decoder = SPDYDecoder()
        var streams: [UInt32: SPDYStream] = [:]
        var nextID: UInt32 = 1
        var isClosed = false
        var closeCallbacks: [@Sendable () -> Void] = []
    }

    /// Data of one frame.
    static let dataBytesMax = 64 << 10
    static let streamsMax = 256

    private let raw: RawConnection
    private let state = Mutex(State())
    private let coder: NIOLoopBound<SPDYHeaderCoder>

    /// Takes the connection over. Must be called on no particular thread; nil when memory is short.
    package static func start(on raw: RawConnection) async -> SPDYSession? {
        await withCheckedContinuation { continuation in
            raw.eventLoop.execute {
                guard let coder = SPDYHeaderCoder() else { return continuation.resume(returning: nil) }
                let session = SPDYSession(raw, NIOLoopBound(coder, eventLoop: raw.eventLoop))
                raw.onClose { session.closed() }
                raw.onInputClosed { raw.close() }
                raw.onReceive { session.received($0) }
                continuation.resume(returning: session)
            }
        }
    }

    private init(_ raw: RawConnection, _ coder: NIOLoopBound<SPDYHeaderCoder>) {
        self.raw = raw
        self.coder = coder
    }

    /// Opens a stream with these headers (`streamType`, ...). nil when the session is closed or has too many.
    package func open(_ headers: [(String, String)]) -> SPDYStream? {
        let stream = state.withLock { state -> SPDYStream? in
            guard !state.isClosed, state.streams.count < Self.streamsMax, state.nextID < 0x7FFF_FFFF else { return nil }
            let stream = SPDYStream(id: state.nextID, session: self)
            state.streams[stream.id] = stream
            state.nextID += 2
            return stream
        }
        guard let stream else { return nil }
        if raw.eventLoop.inEventLoop {
            announce(stream, headers)
        } else {
            raw.eventLoop.execute { self.announce(stream, headers) }
        }
        return stream
    }

    /// On the loop, so that blocks are compressed in the order in which they go out.
    private func announce(_ stream: SPDYStream, _ headers: [(String, String)]) {
        do throws(SPDYHeaderError) {
            write(.synStream(stream: stream.id, isLast: false, block: try coder.value.compress(headers)))
        } catch {
            raw.abort()
        }
    }

    /// Says GOAWAY and closes once what was sent is out.
    package func close() {
        write(.goAway(lastStream: 0))
        raw.close()
    }

    /// Calls `f` exactly once when the connection is closed.
    package func onClose(_ f: @escaping @Sendable () -> Void) {
        let isNow = state.withLock { state -> Bool in
            if !state.isClosed { state.closeCallbacks.append(f) }
            return state.isClosed
        }
        if isNow { onLoop(f) }
    }

    package var eventLoop: any EventLoop { raw.eventLoop }
    package var pendingBytes: Int { raw.pendingBytes }
    package var isWritable: Bool { raw.isWritable }
    package func onWritable(_ f: @escaping @Sendable () -> Void) { raw.onWritable(f) }
    package func pauseReading() { raw.pauseReading() }
    package func resumeReading() { raw.resumeReading() }

    func onLoop(_ f: @escaping @Sendable () -> Void) { raw.eventLoop.execute(f) }
    func forget(_ id: UInt32) { state.withLock { $0.streams[id] = nil } }

    /// Data of a stream goes out behind its SYN_STREAM because both pass the event loop in order.
    func write(_ frame: SPDYFrame) {
        var made = ByteBuffer()
        made.writeSPDY(frame)
        let bytes = made
        if raw.eventLoop.inEventLoop { raw.send(bytes) } else { raw.eventLoop.execute { self.raw.send(bytes) } }
    }

    private func received(_ bytes: ByteBuffer) {
        state.withLock { $0.decoder.feed(bytes) }
        do throws(SPDYFault) {
            while let frame = try nextFrame() { handle(frame) }
        } catch {
            raw.abort()
        }
    }

    private func nextFrame() throws(SPDYFault) -> SPDYFrame? {
        try state.withLock { state -> Result<SPDYFrame?, SPDYFault> in
            do throws(SPDYFault) { return .success(try state.decoder.next()) } catch { return .failure(error) }
        }.get()
    }

    private func stream(_ id: UInt32) -> SPDYStream? { state.withLock { $0.streams[id] } }

    private func handle(_ frame: SPDYFrame) {
        switch frame {
        case .data(let id, let isLast, let bytes): stream(id)?.received(bytes, isLast: isLast)
        case .synReply(let id, let isLast, let block), .headers(let id, let isLast, let block):
            replied(id, isLast, block)
        case .synStream(let id, _, let block):
            // The peer may not open streams; its block still has to pass the inflater.
            replied(id, false, block)
            write(.reset(stream: id, status: 3))
        case .reset(let id, _):
            stream(id)?.ended()
            forget(id)
        case .ping(let id): if id % 2 == 0 { write(.ping(id: id)) }
        case .settings, .windowUpdate, .goAway, .other: break
        }
    }

    private func replied(_ id: UInt32, _ isLast: Bool, _ block: ByteBuffer) {
        do throws(SPDYHeaderError) {
            let headers = try coder.value.decompress(block)
            stream(id)?.replied(headers)
            if isLast { stream(id)?.received(ByteBuffer(), isLast: true) }
        } catch {
            raw.abort()
        }
    }

    private func closed() {
        let (streams, callbacks) = state.withLock { state in
            state.isClosed = true
            defer { (state.streams, state.closeCallbacks) = ([:], []) }
            return (state.streams.sorted { $0.key < $1.key }.map(\.value), state.closeCallbacks)
        }
        for stream in streams { stream.ended() }
        for callback in callbacks { callback() }
    }
}
