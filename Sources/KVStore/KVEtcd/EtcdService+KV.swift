// Range, Put, DeleteRange, Txn, Compact. Reads are gathered on the call's own event loop, so that they never hold the
// replica's, and those that look at a lot on threads of their own, so that they do not hold other clients' either.
import KVCore
import KVReplica
import NIOCore
import NetGRPC
import Raft

extension EtcdService {
    static let chunkBytes = 512 << 10

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
        view(call, at: request.revision, request.range) { [self] view in
            let revision = request.revision == nil ? view.revision : nil
            let tell: @Sendable (RangeResult) -> Void = { [self] result in
                call.reply(ProtobufWriter.response(header(revision)) { $0.range(result) })
            }
            let visits = view.visits(request)
            guard visits <= ReadPool.lightMax else {
                return ReadPool.run(call, visiting: visits) { tell(view.range(request)) }
            }
            // Few records may be many bytes: finding them is cheap then, writing them is not.
            let result = view.range(request)
            ReadPool.run(call, visiting: result.weight) { tell(result) }
        }
    }

    /// Hands over the store now or at a revision, on the call's event loop when it had to be fetched; ends the call
    /// when it cannot be read.
    func view(
        _ call: GRPCServerCall, at revision: Revision?, _ range: KeyRange, _ body: @escaping @Sendable (KVView) -> Void
    ) {
        guard !replica.isFenced else { return call.finish(EtcdStatus.corrupt) }
        guard let revision else { return body(replica.view()) }
        // Undoes what came since.
        ReadPool.run(call, visiting: .max) { [self] in
            replica.view(at: revision, range) { result in
                switch result {
                case .success(let view): call.eventLoop.execute { body(view) }
                case .failure(.refused(let error)): call.finish(EtcdStatus.status(error))
                case .failure(.unavailable): call.finish(EtcdStatus.timeout)
                }
            }
        }
    }

    /// The same answer in pieces, all of one view: keys only, and in the last piece everything else.
    func rangeStream(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let (request, isSerializable) = try EtcdRequests.range(ProtobufReader(message))
        let begin: @Sendable () -> Void = { [self] in
            view(call, at: request.revision, request.range) { [self] view in
                let revision = request.revision == nil ? view.revision : nil
                let pieces = RangePieces(request, in: view, bytesMax: Self.chunkBytes)
                stream(call, pieces, header(revision), isFirst: true)
            }
        }
        if isSerializable { return begin() }
        replica.barrier { result in
            switch result {
            case .success: call.eventLoop.execute(begin)
            case .failure(let error): call.finish(EtcdStatus.status(error))
            }
        }
    }

    /// As fast as the client takes it: the next piece is not looked for before the last one is on its way.
    private func stream(_ call: GRPCServerCall, _ pieces: RangePieces, _ header: EtcdHeader, isFirst: Bool = false) {
        guard !call.isClosed else { return }
        guard call.isWritable else { return call.onWritable { [self] in stream(call, pieces, header) } }
        ReadPool.run(call, visiting: pieces.visits, isDone: !isFirst) { [self] in
            var rest = pieces
            let piece = rest.take()
            let message = piece.items.isEmpty && !piece.isLast ? nil : ProtobufWriter.piece(piece, header)
            call.eventLoop.execute { [self, rest] in
                if let message { call.send(message) }
                if piece.isLast { call.finish() } else { stream(call, rest, header) }
            }
        }
    }

    func put(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        try bound(message)
        let request = try EtcdRequests.put(ProtobufReader(message))
        try propose(call, Txn(success: [.put(request)])) { writer, result in
            if case .put(let previous?)? = result.results.first { writer.record(2, previous) }
        }
    }

    func delete(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        try bound(message)
        let (range, returnPrevious) = try EtcdRequests.delete(ProtobufReader(message))
        try propose(call, Txn(success: [.delete(range, returnPrevious: returnPrevious)])) { writer, result in
            guard case .delete(let count, let previous)? = result.results.first else { return }
            writer.int64(2, count)
            for record in previous { writer.record(3, record) }
        }
    }

    func txn(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        try bound(message)
        let txn = try EtcdRequests.txn(
            ProtobufReader(message), operationsMax: configuration.operationsMax)
        if txn.readsPresentOnly { return read(call, txn) }
        try propose(call, txn) { writer, result in writer.txn(result) }
    }

    /// Needs no entry in the log, and no work of the replica.
    private func read(_ call: GRPCServerCall, _ txn: Txn) {
        replica.barrier { [self] result in
            if case .failure(let error) = result { return call.finish(EtcdStatus.status(error)) }
            call.eventLoop.execute { [self] in
                let view = replica.view()
                do throws(Refusal) {
                    let read = try ReadTxn(txn, in: view)
                    let tell: @Sendable (TxnResult) -> Void = { [self] result in
                        call.reply(ProtobufWriter.response(header(view.revision)) { $0.txn(result) })
                    }
                    guard read.visited <= ReadPool.lightMax else {
                        return ReadPool.run(call, visiting: read.visited) { tell(read.run()) }
                    }
                    let result = read.run()
                    ReadPool.run(call, visiting: result.weight) { tell(result) }
                } catch { call.finish(EtcdStatus.status(error)) }
            }
        }
    }

    private func bound(_ message: [UInt8]) throws(GRPCStatus) {
        guard message.count <= configuration.requestBytesMax else { throw EtcdStatus.tooLarge }
    }

    private func propose(
        _ call: GRPCServerCall, _ txn: Txn, _ body: @escaping @Sendable (inout ProtobufWriter, TxnResult) -> Void
    ) throws(GRPCStatus) {
        try refuseReadOnly(txn)
        replica.propose(txn, fence: nil) { [self] result in
            switch result {
            case .success(let result):
                ReadPool.run(call, visiting: result.weight, isDone: true) { [self] in
                    call.reply(ProtobufWriter.response(header(result.revision)) { body(&$0, result) })
                }
            case .failure(let error): call.finish(EtcdStatus.status(error))
            }
        }
    }

    func refuseReadOnly(_ txn: Txn) throws(GRPCStatus) {
        guard let prefix = configuration.readOnlyPrefix else { return }
        let kept = KeyRange.prefix(prefix)
        if txn.writes.contains(where: { $0.overlaps(kept) }) { throw EtcdStatus.readOnly }
    }

    func compact(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let revision = Revision(try EtcdRequests.numbers(message)[1] ?? 0)
        task(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.compact(to: revision) }
            return ProtobufWriter.response(header())
        }
    }
}

extension ProtobufWriter {
    fileprivate static func piece(_ piece: RangePieces.Piece, _ header: EtcdHeader) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(1) { inner in
            if piece.isLast { header.write(&inner) }
            for item in piece.items { inner.record(2, item) }
            if piece.isLast { inner.bool(3, piece.more); inner.int64(4, piece.count) }
        }
        return writer.bytes
    }
}

extension RangeResult {
    /// What it costs to write it down, in records.
    fileprivate var weight: Int { ReadPool.weight(items) }
}

extension TxnResult {
    /// Likewise.
    fileprivate var weight: Int {
        results.reduce(0) { sum, result in
            switch result {
            case .range(let range): sum + range.weight
            case .delete(_, let previous): sum + ReadPool.weight(previous)
            case .put(let previous): sum + ReadPool.weight(previous.map { [$0] } ?? [])
            case .txn(let nested): sum + nested.weight
            }
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
