// One call as its caller sees it: messages out, messages in, one status at the end. Safe from any thread; one reader.
// Reading from the connection stops while received messages wait above the limit. It must never deliver a message
// after the end.
import NIOCore
import Synchronization

/// A streaming call. Cancel it, or read it to the end.
package final class GRPCCall: Sendable {
    typealias Outcome = Result<[UInt8]?, GRPCStatus>

    private struct State {
        var messages: [[UInt8]] = []
        var head = 0
        var bytes = 0
        var end: Result<Void, GRPCStatus>?
        var waiter: CheckedContinuation<Outcome, Never>?
        var port: (any GRPCCallPort)?
        var outbox: [GRPCOutgoing] = []
        var deadline: Scheduled<Void>?
    }

    let path: String
    let metadata: GRPCMetadata
    let timeout: TimeAmount?
    private let bytesMax: Int
    private let state = Mutex(State())

    init(path: String, metadata: GRPCMetadata, timeout: TimeAmount?, bytesMax: Int) {
        self.path = path
        self.metadata = metadata
        self.timeout = timeout
        self.bytesMax = bytesMax
    }

    /// Sends one message.
    package func send(_ message: [UInt8]) { post(.message(message)) }

    /// No more messages follow.
    package func finishSending() { post(.end) }

    /// Ends the call; `next` throws `.cancelled`.
    package func cancel() { fail(GRPCStatus(.cancelled, "cancelled by the caller")) }

    /// The next response message; nil after OK. Throws the status otherwise.
    package func next() async throws(GRPCStatus) -> [UInt8]? {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if let now = take(orWait: continuation) { continuation.resume(returning: now) }
            }
        } onCancel: {
            self.cancel()
        }
        return try outcome.get()
    }

    private func take(orWait continuation: CheckedContinuation<Outcome, Never>) -> Outcome? {
        let (outcome, port) = state.withLock { state -> (Outcome?, (any GRPCCallPort)?) in
            if state.head < state.messages.count {
                let message = state.messages[state.head]
                state.head += 1
                let wasFull = state.bytes >= bytesMax
                state.bytes -= message.count
                if state.head == state.messages.count { (state.messages, state.head) = ([], 0) }
                return (.success(message), wasFull && state.bytes < bytesMax ? state.port : nil)
            }
            if let end = state.end { return (end.map { nil }, nil) }
            precondition(state.waiter == nil, "a GRPCCall has one reader")
            state.waiter = continuation
            return (nil, nil)
        }
        port?.wantsMore()
        return outcome
    }

    private func post(_ outgoing: GRPCOutgoing) {
        let port = state.withLock { state -> (any GRPCCallPort)? in
            guard state.end == nil else { return nil }
            if state.port == nil { state.outbox.append(outgoing) }
            return state.port
        }
        port?.send(outgoing)
    }

    func setDeadline(_ task: Scheduled<Void>) {
        let isLate = state.withLock { state -> Bool in
            if state.end == nil { state.deadline = task }
            return state.end != nil
        }
        if isLate { task.cancel() }
    }
}

enum GRPCOutgoing: Sendable {
    case message([UInt8])
    case end
}

/// The connection's side of a call; any thread.
protocol GRPCCallPort: Sendable {
    func send(_ outgoing: GRPCOutgoing)
    func wantsMore()
    func cancel()
}

// What the connection calls.
extension GRPCCall {
    var isOver: Bool { state.withLock { $0.end != nil } }
    var hasRoom: Bool { state.withLock { $0.bytes < bytesMax } }

    /// The stream is open: what was sent before goes out first. Until all of it is out, what another thread sends
    /// queues behind it: the end of a request must not overtake its message.
    func attach(_ port: any GRPCCallPort) {
        while true {
            let (batch, isOver) = state.withLock { state -> ([GRPCOutgoing], Bool) in
                guard state.end == nil else { return ([], true) }
                if state.outbox.isEmpty { state.port = port }
                defer { state.outbox = [] }
                return (state.outbox, false)
            }
            if isOver { return port.cancel() }
            if batch.isEmpty { return }
            for outgoing in batch { port.send(outgoing) }
        }
    }

    func received(_ message: [UInt8]) {
        let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard state.end == nil else { return nil }
            if let waiter = state.waiter {
                state.waiter = nil
                return waiter
            }
            state.messages.append(message)
            state.bytes += message.count
            return nil
        }
        waiter?.resume(returning: .success(message))
    }

    func ended(_ outcome: Result<Void, GRPCStatus>) { _ = end(outcome) }

    func fail(_ status: GRPCStatus) { end(.failure(status))?.cancel() }

    /// Answers the stream that was open, when this is the end: one that opens later sees that it is too late.
    private func end(_ outcome: Result<Void, GRPCStatus>) -> (any GRPCCallPort)? {
        let ended = state.withLock { state -> State? in
            guard state.end == nil else { return nil }
            let before = state
            state.end = outcome
            (state.port, state.waiter, state.deadline) = (nil, nil, nil)
            state.outbox = []
            return before
        }
        ended?.deadline?.cancel()
        ended?.waiter?.resume(returning: outcome.map { nil })
        return ended?.port
    }
}
