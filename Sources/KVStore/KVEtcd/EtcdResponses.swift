// etcd v3's responses as protobuf bytes, from the store's own values. Every response carries the header: who answers,
// at which revision, in which term.
import KVCore
import KVReplica
import NetGRPC
import Raft

/// The header of every response.
struct EtcdHeader {
    var cluster: UInt64
    var member: UInt64
    var revision: Revision
    var term: Term

    func write(_ writer: inout ProtobufWriter, field: Int = 1) {
        writer.message(field) { header in
            header.uint64(1, cluster)
            header.uint64(2, member)
            header.int64(3, revision.rawValue)
            header.uint64(4, term.rawValue)
        }
    }
}

extension ProtobufWriter {
    /// A response with a header and a body.
    static func response(_ header: EtcdHeader, _ body: (inout ProtobufWriter) -> Void = { _ in }) -> [UInt8] {
        var writer = ProtobufWriter()
        header.write(&writer)
        body(&writer)
        return writer.bytes
    }

    mutating func record(_ field: Int, _ record: KeyValue) { message(field) { $0.fields(of: record) } }

    /// The fields of a record in the message itself.
    mutating func fields(of record: KeyValue) {
        byteArray(1, record.key.bytes)
        int64(2, record.createRevision.rawValue)
        int64(3, record.modRevision.rawValue)
        int64(4, record.version)
        byteArray(5, record.value)
        int64(6, record.lease.rawValue)
    }

    mutating func event(_ field: Int, _ event: KVEvent, withPrevious: Bool) {
        message(field) { one in
            one.int(1, event.kind == .delete ? 1 : 0)
            one.record(2, event.current)
            if withPrevious, let previous = event.previous { one.record(3, previous) }
        }
    }

    mutating func range(_ result: RangeResult) {
        for item in result.items { record(2, item) }
        bool(3, result.more)
        int64(4, result.count)
    }

    mutating func txn(_ result: TxnResult) {
        var turn = TxnTurn(result)
        answers(result, &turn)
    }

    private mutating func answers(_ result: TxnResult, _ turn: inout TxnTurn) {
        bool(2, result.succeeded)
        for one in result.results { message(3) { $0.op(one, &turn) } }
    }

    private mutating func op(_ result: OpResult, _ turn: inout TxnTurn) {
        turn.take(result)
        switch result {
        case .range(let range):
            message(1) {
                turn.write(&$0); $0.range(range)
            }
        case .put(let previous):
            message(2) {
                turn.write(&$0); if let previous { $0.record(2, previous) }
            }
        case .delete(let count, let previous):
            message(3) { writer in
                turn.write(&writer)
                writer.int64(2, count)
                for record in previous { writer.record(3, record) }
            }
        case .txn(let nested):
            message(4) {
                $0.message(1) { _ in }
                $0.answers(nested, &turn)
            }
        }
    }
}

/// The headers of answers within a transaction carry a revision alone, as etcd's: before the first change the one from
/// before. That of a nested transaction is empty.
private struct TxnTurn {
    private var revision: Revision
    private let revisionAfter: Revision

    init(_ result: TxnResult) {
        revisionAfter = result.revision
        revision = result.changed ? Revision(result.revision.rawValue - 1) : result.revision
    }

    mutating func take(_ result: OpResult) { if result.isChange { revision = revisionAfter } }

    func write(_ writer: inout ProtobufWriter) { writer.message(1) { $0.int64(3, revision.rawValue) } }
}

extension TxnResult {
    fileprivate var changed: Bool {
        results.contains { if case .txn(let nested) = $0 { nested.changed } else { $0.isChange } }
    }
}

extension OpResult {
    fileprivate var isChange: Bool {
        switch self {
        case .put: true
        case .delete(let count, _): count > 0
        case .range, .txn: false
        }
    }
}
