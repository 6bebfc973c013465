// What callers put into the replica's mailbox: from any thread, one lock and at most one wake-up a batch.
// What asks for work is bounded by `pendingProposalsMax`; above, it is refused at once. What gives work back (a cancelled
// watch, the end) always enters: it is no more than what entered before it.
import KVCore
import Raft
import Synchronization

typealias OutcomeHandler = @Sendable (Result<Outcome, ReplicaFailure>) -> Void

/// One thing asked of the loop.
enum ReplicaInput: Sendable {
    case propose(Command, fence: Term?, OutcomeHandler)
    case keepAlive(LeaseID, OutcomeHandler)
    case read(@Sendable (ReplicaFailure?) -> Void)
    /// Nothing but an answer.
    case ping(@Sendable (ReplicaFailure?) -> Void)
    /// `fromDisk`: called in its place when memory does not reach back so far any more.
    case watch(
        WatchID, KeyRange, after: Revision?, @Sendable (WatchDelivery) -> Void, fromDisk: (@Sendable () -> Void)?)
    case cancel(WatchID)
    case observe(@Sendable (Leadership) -> Void)
    /// Anything rare. nil: the replica has ended.
    case run(@Sendable (ReplicaLoop?) -> Void)

    /// More of it may be asked without anything being finished in between.
    var isBounded: Bool {
        switch self {
        case .propose, .keepAlive, .read, .ping, .watch: true
        case .cancel, .observe, .run: false
        }
    }

    /// Answers it without the loop.
    func refuse(_ failure: ReplicaFailure) {
        switch self {
        case .propose(_, _, let done), .keepAlive(_, let done): done(.failure(failure))
        case .read(let done), .ping(let done): done(failure)
        case .watch(_, _, _, let deliver, _): deliver(.ended(failure == .stopped ? .stopped : .overloaded))
        case .run(let body): body(nil)
        case .cancel, .observe: break
        }
    }
}

/// Inputs that wait for the loop.
final class Mailbox: Sendable {
    private struct Box {
        var inputs: [ReplicaInput] = []
        var isScheduled = false
        var isClosed = false
    }
    private let box = Mutex(Box())
    private let inputsMax: Int

    init(inputsMax: Int) { self.inputsMax = inputsMax }

    enum Posted { case first, queued, overloaded, stopped }

    /// `.first`: the loop has to be woken.
    func post(_ input: ReplicaInput) -> Posted {
        box.withLock { box in
            if box.isClosed { return .stopped }
            if input.isBounded, box.inputs.count >= inputsMax { return .overloaded }
            box.inputs.append(input)
            defer { box.isScheduled = true }
            return box.isScheduled ? .queued : .first
        }
    }

    func take() -> [ReplicaInput] {
        box.withLock { box in
            box.isScheduled = false
            defer { box.inputs = [] }
            return box.inputs
        }
    }

    var isClosed: Bool { box.withLock { $0.isClosed } }

    /// Nothing enters any more; answers what is still inside.
    func close() -> [ReplicaInput] {
        box.withLock { box in
            box.isClosed = true
            defer { box.inputs = [] }
            return box.inputs
        }
    }
}
