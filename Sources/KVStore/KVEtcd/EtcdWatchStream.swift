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

    private struct Create {
        var range = EtcdRange()
        var start: Int64 = 0
        var wantsProgress = false
        var wantsPrevious = false
        var noPut = false
        var noDelete = false
        var id: Int64 = 0
    }
    private struct State {
        var watches: [Int64: WatchID] = [:]
        var nextID: Int64 = 0
        var isClosed = false
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
        for watch in open.values { service.replica.cancel(watch) }
    }

    private func take(_ message: [UInt8]) throws(GRPCStatus) {
        var reader = ProtobufReader(message)
        var found: (field: Int, body: ProtobufReader)?
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                if (1...3).contains(reader.field) { found = (reader.field, try reader.message()) }
            }
        }
        guard let found else { return }
        switch found.field {
        case 1: try create(try EtcdWatchStream.create(found.body))
        case 2: try cancel(found.body)
        default: progress()
        }
    }

    private static func create(_ reader: ProtobufReader) throws(GRPCStatus) -> Create {
        var reader = reader
        var create = Create()
        var filters: [Int64] = []
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 1: create.range.key = try reader.byteArray()
                case 2: create.range.end = try reader.byteArray()
                case 3: create.start = try reader.int64()
                case 4: create.wantsProgress = try reader.bool()
                case 5: try reader.packedInts { filters.append($0) }
                case 6: create.wantsPrevious = try reader.bool()
                case 7: create.id = try reader.int64()
                default: continue
                }
            }
        }
        create.noPut = filters.contains(0)
        create.noDelete = filters.contains(1)
        // As in etcd, an empty key means the first possible one.
        if create.range.key.isEmpty { create.range.key = [0] }
        return create
    }

    private func create(_ wish: Create) throws(GRPCStatus) {
        let range = try wish.range.range()
        let id: Int64? = state.withLock { state in
            guard state.watches.count < Self.watchesMax else { return nil }
            if wish.id != 0 { return state.watches[wish.id] == nil ? wish.id : nil }
            while state.watches[state.nextID] != nil { state.nextID += 1 }
            defer { state.nextID += 1 }
            return state.nextID
        }
        guard let id else {
            return call.send(
                ProtobufWriter.response(service.header()) { writer in
                    writer.int64(2, -1)
                    writer.bool(3, true)
                    writer.bool(4, true)
                    writer.string(6, "etcdserver: mvcc: duplicate watch ID provided on the WatchStream")
                })
        }
        call.send(
            ProtobufWriter.response(service.header()) {
                $0.int64(2, id); $0.bool(3, true)
            })
        let after = wish.start > 0 ? Revision(wish.start - 1) : nil
        let watch = service.replica.watch(range, after: after) { [self] in deliver($0, id, wish) }
        let isClosed = state.withLock { state in
            if !state.isClosed { state.watches[id] = watch }
            return state.isClosed
        }
        if isClosed { service.replica.cancel(watch) }
    }

    private func deliver(_ delivery: WatchDelivery, _ id: Int64, _ wish: Create) {
        switch delivery {
        case .events(let revision, let all):
            let events = all.filter { $0.kind == .put ? !wish.noPut : !wish.noDelete }
            guard !events.isEmpty else { return }
            guard call.pendingBytes < Self.backlogBytesMax else { return give(up: "etcdserver: watcher is too slow") }
            call.send(
                ProtobufWriter.response(service.header(revision)) { writer in
                    writer.int64(2, id)
                    for event in events { writer.event(11, event, withPrevious: wish.wantsPrevious) }
                })
        case .progress(let revision):
            guard wish.wantsProgress else { return }
            call.send(ProtobufWriter.response(service.header(revision)) { $0.int64(2, id) })
        case .compacted(let revision):
            forget(id)
            call.send(
                ProtobufWriter.response(service.header()) { writer in
                    writer.int64(2, id)
                    writer.bool(4, true)
                    writer.int64(5, revision.rawValue)
                    writer.string(6, EtcdStatus.compacted.message)
                })
        case .reset: give(up: "etcdserver: the member's state was replaced")
        }
    }

    private func give(up reason: String) { call.finish(GRPCStatus(.unavailable, reason)) }

    private func forget(_ id: Int64) { _ = state.withLock { $0.watches.removeValue(forKey: id) } }

    private func cancel(_ reader: ProtobufReader) throws(GRPCStatus) {
        var reader = reader
        var id: Int64 = 0
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                if reader.field == 1 { id = try reader.int64() }
            }
        }
        guard let watch = state.withLock({ $0.watches.removeValue(forKey: id) }) else { return }
        service.replica.cancel(watch)
        call.send(
            ProtobufWriter.response(service.header()) {
                $0.int64(2, id); $0.bool(4, true)
            })
    }

    /// On the replica's thread, so that everything up to the told revision was delivered before.
    private func progress() {
        service.replica.barrier { [self] result in
            guard case .success = result else { return }
            let revision = service.replica.view().revision
            call.send(ProtobufWriter.response(service.header(revision)) { $0.int64(2, -1) })
        }
    }
}
