// What a client says on a Watch stream, read from its bytes. Pure.
import KVCore
import NetGRPC

/// One message of a Watch stream.
package enum EtcdWatchRequest {
    case create(Create)
    case cancel(Int64)
    case progress

    /// A watch that is wished for.
    package struct Create {
        var range = KeyRange.all
        var start: Int64 = 0
        var wantsProgress = false
        var wantsPrevious = false
        var wantsFragments = false
        var noPut = false
        var noDelete = false
        var id: Int64 = 0
        /// No kind of change is left out.
        var wantsAll: Bool { !noPut && !noDelete }
        /// No key can be in the range.
        var isEmpty: Bool { range.upper.map { !(range.lower < $0) } ?? false }
    }

    /// nil: it says nothing that is known.
    package init?(_ message: [UInt8]) throws(GRPCStatus) {
        var reader = ProtobufReader(message)
        var found: (field: Int, body: ProtobufReader)?
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                if (1...3).contains(reader.field) { found = (reader.field, try reader.message()) }
            }
        }
        switch found?.field {
        case nil: return nil
        case 1: self = .create(try Create(found?.body ?? reader))
        case 2: self = .cancel(try EtcdWatchRequest.id(found?.body ?? reader))
        default: self = .progress
        }
    }

    private static func id(_ body: ProtobufReader) throws(GRPCStatus) -> Int64 {
        var reader = body
        var id: Int64 = 0
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                if reader.field == 1 { id = try reader.int64() }
            }
        }
        return id
    }
}

extension EtcdWatchRequest.Create {
    init(_ body: ProtobufReader) throws(GRPCStatus) {
        var reader = body
        var keys = EtcdRange()
        var filters: [Int64] = []
        var create = EtcdWatchRequest.Create()
        try EtcdRequests.reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 1: keys.key = try reader.byteArray()
                case 2: keys.end = try reader.byteArray()
                case 3: create.start = try reader.int64()
                case 4: create.wantsProgress = try reader.bool()
                case 5: try reader.packedInts { filters.append($0) }
                case 6: create.wantsPrevious = try reader.bool()
                case 7: create.id = try reader.int64()
                case 8: create.wantsFragments = try reader.bool()
                default: continue
                }
            }
        }
        create.noPut = filters.contains(0)
        create.noDelete = filters.contains(1)
        // As in etcd, an empty key means the first possible one.
        if keys.key.isEmpty { keys.key = [0] }
        create.range = try keys.range()
        self = create
    }
}
