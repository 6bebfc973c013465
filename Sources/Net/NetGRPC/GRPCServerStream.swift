// One call on its HTTP/2 stream of a server: checks the head, takes messages out, hands over what the service sends.
// Confined to its event loop. It must never write after the trailers.
import NIOCore
import NIOHPACK
import NetPKI
import Synchronization

final class GRPCServerStream {
    let id: UInt32
    private(set) var connection: GRPCServerConnection?
    private var decoder: GRPCMessageDecoder
    private(set) var call: GRPCServerCall?
    private var deadline: Scheduled<Void>?
    private var isFinished = false
    private(set) var isInputEnded = false
    /// Received while the service wants no more: the client's window stays closed by so much.
    private var held = 0

    // What the connection keeps here.
    var hasSentHead = false
    var sendWindow: Int
    var receiveWindow: Int
    var unreported = 0
    var pending = GRPCSendQueue()
    var end: (GRPCStatus, GRPCMetadata)?
    /// Looks whether the client still takes the rest of an answer.
    var stall: Scheduled<Void>?
    /// The answer is not gRPC's: it has no trailers.
    var isPlain = false

    init(_ id: UInt32, _ connection: GRPCServerConnection) {
        self.id = id
        self.connection = connection
        sendWindow = connection.peer.window
        receiveWindow = connection.configuration.windowBytes
        decoder = GRPCMessageDecoder(messageBytesMax: connection.configuration.messageBytesMax)
    }

    func begin(_ fields: HPACKHeaders) {
        guard let connection, let eventLoop = connection.context?.eventLoop, let outbox = connection.outbox else {
            return
        }
        guard fields.first(name: ":method") == "POST", let path = fields.first(name: ":path"),
            fields.first(name: "content-type")?.hasPrefix("application/grpc") == true
        else { return answerPlain(fields, connection, eventLoop) }
        guard !connection.isOvercommitted else {
            isFinished = true
            return connection.finish(self, GRPCStatus(.resourceExhausted, "too many answers are not taken"), [])
        }
        let timeout = fields.first(name: "grpc-timeout").flatMap { decodeTimeout($0) }
        let made = GRPCServerCall(
            path: path, fields: fields, deadline: timeout.map { NIODeadline.now() + $0 },
            clientCertificate: connection.clientCertificate, outbox: outbox,
            stream: NIOLoopBound(self, eventLoop: eventLoop))
        call = made
        if let timeout {
            deadline = eventLoop.scheduleTask(in: timeout) {
                made.finish(GRPCStatus(.deadlineExceeded, "context deadline exceeded"))
            }
        }
        connection.service.handle(made)
    }

    /// Not gRPC: an answer from whoever gives such ones. A body is not looked at.
    private func answerPlain(_ fields: HPACKHeaders, _ connection: GRPCServerConnection, _ eventLoop: any EventLoop) {
        isFinished = true
        guard let plain = connection.configuration.plainRequest, let method = fields.first(name: ":method"),
            let target = fields.first(name: ":path")
        else { return connection.refuse(self, status: "415") }
        let stream = NIOLoopBound(self, eventLoop: eventLoop)
        plain(
            PlainRequest(method: method, target: target) { answer in
                eventLoop.execute {
                    stream.value.connection?.answer(stream.value, answer, isHead: method == "HEAD")
                }
            })
    }

    func received(_ bytes: ByteBuffer) {
        guard !isFinished else { return }
        decoder.feed(bytes)
        do throws(GRPCStatus) {
            while let message = try decoder.next() { call?.received(message) }
        } catch {
            call?.finish(error)
        }
    }

    func inputEnded() {
        guard !isInputEnded else { return }
        isInputEnded = true
        guard !isFinished else { return }
        if decoder.isMidMessage {
            call?.finish(GRPCStatus(.internal, "the request ended within a message"))
        } else {
            call?.inputEnded()
        }
    }

    /// So many bytes of the window were used: they are given back while the service takes messages.
    func consumed(_ bytes: Int) {
        if isFinished || call?.wantsInput ?? true { connection?.release(self, bytes) } else { held += bytes }
    }

    func readIfNeeded() {
        guard held > 0 else { return }
        let bytes = held
        held = 0
        connection?.release(self, bytes)
    }

    func perform(_ operations: [GRPCServerOutgoing]) {
        guard let connection, let call else { return }
        for operation in operations where !isFinished {
            switch operation {
            case .message(let message): connection.send(message, of: self, call)
            case .finish(let status, let trailers):
                isFinished = true
                deadline?.cancel()
                connection.finish(self, status, trailers)
            }
        }
    }

    func abort() { connection?.reset(id, .enhanceYourCalm) }

    /// The stream is over, for whatever reason. The second call does nothing.
    func close() {
        deadline?.cancel()
        stall?.cancel()
        isFinished = true
        let (ended, open) = (call, connection)
        (call, connection) = (nil, nil)
        let left = held
        held = 0
        open?.release(nil, left)
        open?.noteWaiting(-pending.count)
        pending = GRPCSendQueue()
        ended?.closed()
    }
}

/// Calls that have something to send, from any thread: one wake-up of the loop for all of them.
final class GRPCOutbox: Sendable {
    private struct State {
        var calls: [GRPCServerCall] = []
        var isScheduled = false
    }
    let eventLoop: any EventLoop
    private let state = Mutex(State())

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func post(_ call: GRPCServerCall) {
        let isFirst = state.withLock { state -> Bool in
            state.calls.append(call)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if isFirst { eventLoop.execute { self.drain() } }
    }

    private func drain() {
        let calls = state.withLock { state -> [GRPCServerCall] in
            state.isScheduled = false
            defer { state.calls = [] }
            return state.calls
        }
        for call in calls { call.drain() }
    }
}
