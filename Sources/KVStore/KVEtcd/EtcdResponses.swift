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

    mutating func txn(_ result: TxnResult, _ header: EtcdHeader) {
        bool(2, result.succeeded)
        for one in result.results { message(3) { $0.op(one, header) } }
    }

    private mutating func op(_ result: OpResult, _ header: EtcdHeader) {
        switch result {
        case .range(let range):
            message(1) {
                header.write(&$0); $0.range(range)
            }
        case .put(let previous):
            message(2) {
                header.write(&$0); if let previous { $0.record(2, previous) }
            }
        case .delete(let count, let previous):
            message(3) { writer in
                header.write(&writer)
                writer.int64(2, count)
                for record in previous { writer.record(3, record) }
            }
        case .txn(let nested):
            message(4) {
                header.write(&$0); $0.txn(nested, header)
            }
        }
    }
}
