// Range, Put, DeleteRange, Txn, Compact. Reads are gathered on the call's own event loop, so that a large one never
// holds the replica's.
import KVCore
import KVReplica
import NIOCore
import NetGRPC
import Raft

extension EtcdService {
    func range(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let (request, isSerializable) = try EtcdRequests.range(ProtobufReader(message))
        if isSerializable { return answer(call, request) }
        replica.barrier { [self] result in
            switch result {
            case .success: call.eventLoop.execute { [self] in answer(call, request) }
            case .failure(let error): call.finish(EtcdStatus.status(error))
            }
        }
    }

    private func answer(_ call: GRPCServerCall, _ request: RangeRequest) {
        do throws(ReadError) {
            let present = replica.view()
            let view = try request.revision.map { at throws(ReadError) in try replica.view(at: at) } ?? present
            let result = view.range(request)
            call.reply(ProtobufWriter.response(header(present.revision)) { $0.range(result) })
        } catch {
            call.finish(EtcdStatus.status(error))
        }
    }

    func put(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let request = try EtcdRequests.put(ProtobufReader(message))
        try propose(call, Txn(success: [.put(request)])) { writer, result in
            if case .put(let previous?)? = result.results.first { writer.record(2, previous) }
        }
    }

    func delete(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let (range, returnPrevious) = try EtcdRequests.delete(ProtobufReader(message))
        try propose(call, Txn(success: [.delete(range, returnPrevious: returnPrevious)])) { writer, result in
            guard case .delete(let count, let previous)? = result.results.first else { return }
            writer.int64(2, count)
            for record in previous { writer.record(3, record) }
        }
    }

    func txn(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let txn = try EtcdRequests.txn(ProtobufReader(message))
        try propose(call, txn) { [self] writer, result in writer.txn(result, header(result.revision)) }
    }

    private func propose(
        _ call: GRPCServerCall, _ txn: Txn, _ body: @escaping @Sendable (inout ProtobufWriter, TxnResult) -> Void
    ) throws(GRPCStatus) {
        if let prefix = configuration.readOnlyPrefix {
            let kept = KeyRange.prefix(prefix)
            if txn.writes.contains(where: { $0.overlaps(kept) }) { throw EtcdStatus.readOnly }
        }
        replica.propose(txn, fence: nil) { [self] result in
            switch result {
            case .success(let result):
                call.reply(ProtobufWriter.response(header(result.revision)) { body(&$0, result) })
            case .failure(let error): call.finish(EtcdStatus.status(error))
            }
        }
    }

    func compact(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let revision = Revision(try EtcdRequests.numbers(message)[1] ?? 0)
        task(call) { [self] () async throws(ProposeError) in
            try await replica.compact(to: revision)
            return ProtobufWriter.response(header())
        }
    }
}

extension Txn {
    /// Every range that some branch may write.
    var writes: [KeyRange] {
        (success + failure).flatMap { op in
            switch op {
            case .put(let request): [KeyRange(request.key)]
            case .delete(let range, _): [range]
            case .txn(let nested): nested.writes
            case .range: [KeyRange]()
            }
        }
    }
}

extension KeyRange {
    func overlaps(_ other: KeyRange) -> Bool {
        (other.upper.map { lower < $0 } ?? true) && (upper.map { other.lower < $0 } ?? true)
    }
}
