// One Watch call: any number of watches over one stream. What the replica delivers (a revision at a time, on its
// thread) is encoded and queued for the socket. A reader that is too slow, or a state that was replaced, ends the whole
// stream with `unavailable`: clients then resume every watch from the last revision they saw, so nothing is lost
// silently.
import KVCore
import KVReplica
import NetGRPC
import Raft
import Synchronization

final class EtcdWatchStream: Sendable {
    static let backlogBytesMax = 32 << 20
    static let watchesMax = 10_000
    static let fragmentBytesMax = EtcdRequests.requestBytesMax

    private struct Watch {
        var id: WatchID?
        /// It has been told of everything up to the present.
        var isSynced = false
    }
    private struct State {
        var watches: [Int64: Watch] = [:]
        var nextID: Int64 = 0
        var isClosed = false
        /// A progress request waits until all watches are synced.
        var owesProgress = false

        mutating func freeID() -> Int64 {
            while watches[nextID] != nil { nextID += 1 }
            defer { nextID += 1 }
            return nextID
        }
    }
    private let service: EtcdService
    private let call: GRPCServerCall
    private let state = Mutex(State())

    init(_ service: EtcdService, _ call: GRPCServerCall) {
        self.service = service
        self.call = call
    }

    func begin() {
        call.onClose { [self] in close() }
        call.onEnd { [call] in call.finish() }
        call.onMessage { [self] message in
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
        guard !wish.isEmpty else { return refuse("mvcc: watcher range is empty") }
        let id: Int64? = state.withLock { state in
            guard state.watches.count < Self.watchesMax else { return nil }
            let id = wish.id != 0 ? wish.id : state.freeID()
            guard state.watches[id] == nil else { return nil }
            state.watches[id] = Watch()
            return id
        }
        guard let id else { return refuse("mvcc: duplicate watch ID provided on the WatchStream") }
        // A watch of what is new begins exactly behind the revision that its creation is answered with.
        let present = service.replica.view().revision
        call.send(
            ProtobufWriter.response(service.header(present)) {
                $0.int64(2, id); $0.bool(3, true)
            })
        let after = wish.start > 0 ? Revision(wish.start - 1) : present
        let watch = service.replica.watch(wish.range, after: after, isWritable: { [call] in call.isWritable }) {
            [self] in deliver($0, id, wish)
        }
        let isWanted = state.withLock { state in
            guard !state.isClosed, state.watches[id] != nil else { return false }
            state.watches[id]?.id = watch
            if wish.start > present.rawValue { state.watches[id]?.isSynced = true }
            return true
        }
        if !isWanted { service.replica.cancel(watch) }
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
        payProgress()
    }

    /// On the replica's thread, so that everything up to the told revision was delivered before.
    private func progress() {
        service.replica.barrier { [self] result in
            guard case .success = result else { return }
            state.withLock { $0.owesProgress = true }
            payProgress()
        }
    }

    private func payProgress() {
        let isDue = state.withLock { state in
            guard state.owesProgress, state.watches.values.allSatisfy(\.isSynced) else { return false }
            state.owesProgress = false
            return true
        }
        guard isDue else { return }
        let revision = service.replica.view().revision
        call.send(ProtobufWriter.response(service.header(revision)) { $0.int64(2, -1) })
    }
}

// MARK: Deliveries

extension EtcdWatchStream {
    private func deliver(_ delivery: WatchDelivery, _ id: Int64, _ wish: EtcdWatchRequest.Create) {
        switch delivery {
        case .events(let revision, let all):
            let events = wish.wantsAll ? all : all.filter { $0.kind == .put ? !wish.noPut : !wish.noDelete }
            guard !events.isEmpty else { return }
            guard call.pendingBytes < Self.backlogBytesMax else { return give(up: "etcdserver: watcher is too slow") }
            send(events, revision, id, wish)
        case .progress(let revision):
            synced(id)
            guard wish.wantsProgress else { return }
            call.send(ProtobufWriter.response(service.header(revision)) { $0.int64(2, id) })
        case .compacted(let revision):
            state.withLock { _ = $0.watches.removeValue(forKey: id) }
            call.send(
                ProtobufWriter.response(service.header()) { writer in
                    writer.int64(2, id)
                    writer.bool(4, true)
                    writer.int64(5, revision.rawValue)
                    writer.string(6, EtcdStatus.compacted.message)
                })
            payProgress()
        case .reset: give(up: "etcdserver: the member's state was replaced")
        }
    }

    private func synced(_ id: Int64) {
        let isNews = state.withLock { state in
            guard let watch = state.watches[id], !watch.isSynced else { return false }
            state.watches[id]?.isSynced = true
            return true
        }
        if isNews { payProgress() }
    }

    /// One response, whose bytes all who are told the same share, or several marked as fragments when the client wants
    /// that and they are many.
    private func send(_ events: [KVEvent], _ revision: Revision, _ id: Int64, _ wish: EtcdWatchRequest.Create) {
        let bytes = service.eventBytes.response(events, withPrevious: wish.wantsPrevious) { service.header(revision) }
        guard wish.wantsFragments, bytes.count > Self.fragmentBytesMax else { return call.send(bytes, field: 2, id) }
        let header = service.header(revision)
        var start = 0
        while start < events.count {
            let end = Self.fragment(of: events, from: start, wish)
            call.send(
                ProtobufWriter.response(header) { writer in
                    writer.int64(2, id)
                    writer.bool(7, end < events.count)
                    for event in events[start..<end] { writer.event(11, event, withPrevious: wish.wantsPrevious) }
                })
            start = end
        }
    }

    private static func fragment(of events: [KVEvent], from start: Int, _ wish: EtcdWatchRequest.Create) -> Int {
        var end = start
        var bytes = 0
        while end < events.count {
            bytes += events[end].current.bytes + (wish.wantsPrevious ? events[end].previous?.bytes ?? 0 : 0)
            if end > start, bytes > fragmentBytesMax { break }
            end += 1
        }
        return end
    }

    private func give(up reason: String) { call.finish(GRPCStatus(.unavailable, reason)) }
}
