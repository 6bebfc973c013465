// One Watch call: any number of watches over one stream. What the replica delivers (a revision at a time, on its
// thread) is encoded and queued for the socket. A reader that is too slow, or a state that was replaced, ends the whole
// stream with `unavailable`: clients then resume every watch from the last revision they saw, so nothing is lost
// silently.
import KVCore
import KVReplica
import NIOCore
import NetGRPC
import Raft
import Synchronization

final class EtcdWatchStream: Sendable {
    static let backlogBytesMax = 32 << 20
    static let watchesMax = 10_000
    private static let progressPause = TimeAmount.seconds(1)

    /// Names one watch of one stream for good: its number may be used again after its end.
    private struct Ticket: Sendable {
        var id: Int64
        var serial: UInt64
    }
    private struct Watch {
        var serial: UInt64
        var id: WatchID?
        /// It has been told of everything up to the present.
        var isSynced = false
    }
    private struct State {
        var watches: [Int64: Watch] = [:]
        var nextID: Int64 = 0
        var lastSerial: UInt64 = 0
        var isClosed = false
        /// A progress request waits until all watches are synced.
        var owesProgress = false
        /// It will be asked again, as there was no quorum.
        var asksAgain = false
        var canPay: Bool { owesProgress && watches.values.allSatisfy(\.isSynced) }

        private mutating func freeID() -> Int64 {
            while watches[nextID] != nil { nextID += 1 }
            defer { nextID += 1 }
            return nextID
        }

        mutating func begin(_ wished: Int64) -> Result<Ticket, Refusal> {
            guard watches[wished] == nil || wished == 0 else {
                return .failure(Refusal(reason: EtcdStatus.duplicateWatch))
            }
            guard watches.count < EtcdWatchStream.watchesMax else {
                return .failure(Refusal(reason: EtcdStatus.fullStream))
            }
            let id = wished != 0 ? wished : freeID()
            lastSerial += 1
            watches[id] = Watch(serial: lastSerial)
            return .success(Ticket(id: id, serial: lastSerial))
        }

        func isOpen(_ ticket: Ticket) -> Bool { watches[ticket.id]?.serial == ticket.serial }
    }
    private struct Refusal: Error { var reason: String }
    private let service: EtcdService
    private let call: GRPCServerCall
    private let state = Mutex(State())

    init(_ service: EtcdService, _ call: GRPCServerCall) {
        self.service = service
        self.call = call
    }

    func begin() {
        call.onClose { [self] in close() }
        // A client that has sent its last request is still told what it asked for.
        call.onMessageWhileWritable { [self] message in
            do throws(GRPCStatus) { try take(message) } catch { call.finish(error) }
        }
    }

    private func close() {
        let open = state.withLock { state in
            state.isClosed = true
            defer { state.watches = [:] }
            return state.watches
        }
        for watch in open.values { if let id = watch.id { service.replica.cancel(id) } }
    }

    private func take(_ message: [UInt8]) throws(GRPCStatus) {
        switch try EtcdWatchRequest(message) {
        case .create(let wish): create(wish)
        case .cancel(let id): cancel(id)
        case .progress: progress()
        case nil: return
        }
    }
}

// MARK: Requests

extension EtcdWatchStream {
    private func create(_ wish: EtcdWatchRequest.Create) {
        guard !wish.isEmpty else { return refuse(EtcdStatus.emptyWatch) }
        let ticket: Ticket
        switch state.withLock({ $0.begin(wish.id) }) {
        case .success(let begun): ticket = begun
        case .failure(let refusal): return refuse(refusal.reason)
        }
        // A watch of what is new begins exactly behind the revision that its creation is answered with.
        let present = service.replica.view().revision
        call.send(
            ProtobufWriter.response(service.header(present)) {
                $0.int64(2, ticket.id); $0.bool(3, true)
            })
        let after = wish.start > 0 ? Revision(wish.start - 1) : present
        let watch = service.replica.watch(wish.range, after: after, isWritable: { [call] in call.isWritable }) {
            [self] in deliver($0, ticket, wish)
        }
        let isWanted = state.withLock { state in
            guard !state.isClosed, state.isOpen(ticket) else { return false }
            state.watches[ticket.id]?.id = watch
            return true
        }
        if !isWanted { return service.replica.cancel(watch) }
        // Nothing is told to a watch of the future when it begins: it is synced when it is known.
        if wish.start > present.rawValue { service.replica.afterInputs { [self] in synced(ticket) } }
    }

    private func refuse(_ reason: String) {
        call.send(
            ProtobufWriter.response(service.header()) { writer in
                writer.int64(2, -1)
                writer.bool(3, true)
                writer.bool(4, true)
                writer.string(6, reason)
            })
    }

    private func cancel(_ id: Int64) {
        guard let watch = state.withLock({ $0.watches.removeValue(forKey: id) }) else { return }
        if let id = watch.id { service.replica.cancel(id) }
        call.send(
            ProtobufWriter.response(service.header()) {
                $0.int64(2, id); $0.bool(4, true)
            })
        payLater()
    }

    private func progress() {
        state.withLock { $0.owesProgress = true }
        askProgress()
    }

    /// The answer comes on the replica's thread behind all deliveries up to the revision that the view then shows;
    /// anywhere else the view may be ahead of what was delivered.
    private func askProgress() {
        service.replica.barrier { [self] result in
            guard case .success = result else { return askAgain() }
            let isDue = state.withLock { state in
                guard state.canPay else { return false }
                state.owesProgress = false
                return true
            }
            guard isDue else { return }
            let revision = service.replica.view().revision
            call.send(ProtobufWriter.response(service.header(revision)) { $0.int64(2, -1) })
        }
    }

    private func askAgain() {
        let isFirst = state.withLock { state in
            defer { state.asksAgain = true }
            return !state.asksAgain && !state.isClosed
        }
        guard isFirst else { return }
        call.eventLoop.scheduleTask(in: Self.progressPause) { [self] in
            let isWanted = state.withLock { state in
                state.asksAgain = false
                return state.owesProgress && !state.isClosed
            }
            if isWanted { askProgress() }
        }
    }

    /// The last watch that progress waited for is synced or gone.
    private func payLater() { if state.withLock({ $0.canPay }) { askProgress() } }
}

// MARK: Deliveries

extension EtcdWatchStream {
    private func deliver(_ delivery: WatchDelivery, _ ticket: Ticket, _ wish: EtcdWatchRequest.Create) {
        switch delivery {
        case .events(let revision, let all):
            let events = wish.wantsAll ? all : all.filter { $0.kind == .put ? !wish.noPut : !wish.noDelete }
            guard !events.isEmpty else { return }
            guard call.pendingBytes < Self.backlogBytesMax else { return call.finish(EtcdStatus.slowWatcher) }
            send(events, revision, ticket, wish)
        case .progress(let revision):
            synced(ticket)
            guard wish.wantsProgress else { return }
            let message = ProtobufWriter.response(service.header(revision)) { $0.int64(2, ticket.id) }
            whileOpen(ticket) { call.send(message) }
        case .compacted(let revision): end(ticket, EtcdStatus.compacted.message, compacted: revision)
        case .tooMany: end(ticket, EtcdStatus.fullMember)
        case .reset: call.finish(EtcdStatus.stateReplaced)
        case .ended(.overloaded): end(ticket, EtcdStatus.tooManyRequests.message)
        case .ended(.stopped): call.finish(EtcdStatus.stopped)
        case .ended(.unreadable): call.finish(EtcdStatus.unreadablePast)
        }
    }

    private func end(_ ticket: Ticket, _ reason: String, compacted: Revision = .zero) {
        let message = ProtobufWriter.response(service.header()) { writer in
            writer.int64(2, ticket.id)
            writer.bool(4, true)
            writer.int64(5, compacted.rawValue)
            writer.string(6, reason)
        }
        whileOpen(ticket) { state in
            state.watches.removeValue(forKey: ticket.id)
            call.send(message)
        }
        payLater()
    }

    /// On the replica's thread: nothing of a watch enters the call behind its `canceled`. What is sent from here is only
    /// queued, so that nothing of the call happens within the lock.
    private func whileOpen(_ ticket: Ticket, _ body: (inout State) -> Void) {
        state.withLock { if $0.isOpen(ticket) { body(&$0) } }
    }

    private func whileOpen(_ ticket: Ticket, _ body: () -> Void) { whileOpen(ticket) { (_: inout State) in body() } }

    private func synced(_ ticket: Ticket) {
        let canPay = state.withLock { state in
            guard state.isOpen(ticket), state.watches[ticket.id]?.isSynced == false else { return false }
            state.watches[ticket.id]?.isSynced = true
            return state.canPay
        }
        if canPay { askProgress() }
    }

    /// One response, whose bytes all who are told the same share, or several marked as fragments when the client wants
    /// that and they are many.
    private func send(_ events: [KVEvent], _ revision: Revision, _ ticket: Ticket, _ wish: EtcdWatchRequest.Create) {
        let bytes = service.eventBytes.response(events, withPrevious: wish.wantsPrevious) { service.header(revision) }
        guard wish.wantsFragments, bytes.count > fragmentBytesMax else {
            return whileOpen(ticket) { call.send(bytes, field: 2, ticket.id) }
        }
        let header = service.header(revision)
        var start = 0
        while start < events.count {
            let end = fragment(of: events, from: start, wish)
            let part = ProtobufWriter.response(header) { writer in
                writer.int64(2, ticket.id)
                writer.bool(7, end < events.count)
                for event in events[start..<end] { writer.event(11, event, withPrevious: wish.wantsPrevious) }
            }
            whileOpen(ticket) { call.send(part) }
            start = end
        }
    }

    private var fragmentBytesMax: Int { service.configuration.requestBytesMax }

    private func fragment(of events: [KVEvent], from start: Int, _ wish: EtcdWatchRequest.Create) -> Int {
        var end = start
        var bytes = 0
        while end < events.count {
            bytes += events[end].current.bytes + (wish.wantsPrevious ? events[end].previous?.bytes ?? 0 : 0)
            if end > start, bytes > fragmentBytesMax { break }
            end += 1
        }
        return end
    }
}
