// etcd v3's requests, read from their protobuf bytes into the store's own values. Unknown fields are skipped, as
// protobuf wants. What a client may not ask is refused here, before it costs a Raft entry; the texts are etcd's,
// because clients match them.
import KVCore
import NetGRPC

/// A key with etcd's range end: none = this key, a single zero byte = from the key to the end.
struct EtcdRange {
    var key: [UInt8] = []
    var end: [UInt8] = []

    func range() throws(GRPCStatus) -> KeyRange {
        guard !key.isEmpty else { throw EtcdStatus.emptyKey }
        if end.isEmpty { return KeyRange(Key(key)) }
        let lower = key == [0] ? Key([]) : Key(key)
        return KeyRange(lower: lower, upper: end == [0] ? nil : Key(end))
    }
}

package enum EtcdRequests {
    /// Nested transactions deeper than this are refused.
    static let depthMax = 8
    static func reading<T>(_ body: () throws(ProtobufError) -> T) throws(GRPCStatus) -> T {
        do throws(ProtobufError) { return try body() } catch {
            throw EtcdStatus.malformed(error)
        }
    }

    package static func range(
        _ reader: ProtobufReader
    ) throws(GRPCStatus) -> (request: RangeRequest, isSerializable: Bool) {
        var reader = reader
        var range = EtcdRange()
        var numbers: [Int: Int64] = [:]
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 1: range.key = try reader.byteArray()
                case 2: range.end = try reader.byteArray()
                case 3...13: numbers[reader.field] = try reader.int64()
                default: continue
                }
            }
        }
        var request = RangeRequest(try range.range(), limit: numbers[3] ?? 0)
        if let revision = numbers[4], revision > 0 { request.revision = Revision(revision) }
        guard let order = RangeRequest.SortOrder(rawValue: UInt8(clamping: numbers[5] ?? 0)),
            let target = RangeRequest.SortTarget(rawValue: UInt8(clamping: numbers[6] ?? 0))
        else { throw EtcdStatus.invalidSort }
        request.sortOrder = order
        request.sortTarget = target
        request.keysOnly = numbers[8] ?? 0 != 0
        request.countOnly = numbers[9] ?? 0 != 0
        request.modRevisions = bounds(numbers[10], numbers[11])
        request.createRevisions = bounds(numbers[12], numbers[13])
        return (request, numbers[7] ?? 0 != 0)
    }

    private static func bounds(_ lower: Int64?, _ upper: Int64?) -> ClosedRange<Int64>? {
        let low = lower ?? 0
        let high = upper ?? 0
        guard low != 0 || high != 0 else { return nil }
        let top = high == 0 ? Int64.max : high
        // An empty interval admits nothing: no revision is negative.
        return low <= top ? low...top : -1 ... -1
    }

    package static func put(_ reader: ProtobufReader) throws(GRPCStatus) -> PutRequest {
        var reader = reader
        var request = PutRequest(key: Key([]), value: [])
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 1: request.key = Key(try reader.byteArray())
                case 2: request.value = try reader.byteArray()
                case 3: request.lease = LeaseID(rawValue: try reader.int64())
                case 4: request.returnPrevious = try reader.bool()
                case 5: request.keepsValue = try reader.bool()
                case 6: request.keepsLease = try reader.bool()
                default: continue
                }
            }
        }
        if request.key.bytes.isEmpty { throw EtcdStatus.emptyKey }
        if request.keepsValue, !request.value.isEmpty { throw EtcdStatus.valueProvided }
        if request.keepsLease, request.lease != .none { throw EtcdStatus.leaseProvided }
        return request
    }

    package static func delete(_ reader: ProtobufReader) throws(GRPCStatus) -> (range: KeyRange, returnPrevious: Bool) {
        var reader = reader
        var range = EtcdRange()
        var returnPrevious = false
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 1: range.key = try reader.byteArray()
                case 2: range.end = try reader.byteArray()
                case 3: returnPrevious = try reader.bool()
                default: continue
                }
            }
        }
        return (try range.range(), returnPrevious)
    }

    package static func txn(
        _ reader: ProtobufReader, depth: Int = 0, operationsMax: Int
    ) throws(GRPCStatus) -> Txn {
        guard depth < depthMax else { throw EtcdStatus.tooManyOperations }
        var reader = reader
        var parts: [(field: Int, body: ProtobufReader)] = []
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                if (1...3).contains(reader.field) { parts.append((reader.field, try reader.message())) }
            }
        }
        let counts = (1...3).map { field in parts.count { $0.field == field } }
        let most = counts.max() ?? 0
        guard most <= operationsMax else { throw EtcdStatus.tooManyOperations }
        let left = operationsMax - most
        var txn = Txn(success: [])
        for part in parts {
            switch part.field {
            case 1: txn.compares.append(try compare(part.body))
            case 2: txn.success.append(try op(part.body, depth: depth, left))
            default: txn.failure.append(try op(part.body, depth: depth, left))
            }
        }
        return txn
    }

    private static func op(_ reader: ProtobufReader, depth: Int, _ left: Int) throws(GRPCStatus) -> Op {
        var reader = reader
        var found: (field: Int, body: ProtobufReader)?
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                if (1...4).contains(reader.field) { found = (reader.field, try reader.message()) }
            }
        }
        guard let found else { throw EtcdStatus.keyNotFound }
        switch found.field {
        case 1: return .range(try range(found.body).request)
        case 2: return .put(try put(found.body))
        case 3:
            let (range, returnPrevious) = try delete(found.body)
            return .delete(range, returnPrevious: returnPrevious)
        default: return .txn(try txn(found.body, depth: depth + 1, operationsMax: left))
        }
    }

    private static func compare(_ reader: ProtobufReader) throws(GRPCStatus) -> Compare {
        var reader = reader
        var range = EtcdRange()
        var numbers: [Int: Int64] = [:]
        var value: [UInt8] = []
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                switch reader.field {
                case 3: range.key = try reader.byteArray()
                case 7: value = try reader.byteArray()
                case 64: range.end = try reader.byteArray()
                case 1, 2, 4, 5, 6, 8: numbers[reader.field] = try reader.int64()
                default: continue
                }
            }
        }
        guard let relation = Compare.Relation(rawValue: UInt8(clamping: numbers[1] ?? 0)) else {
            throw EtcdStatus.badCompare
        }
        let target: Compare.Target
        switch numbers[2] ?? 0 {
        case 0: target = .version(numbers[4] ?? 0)
        case 1: target = .createRevision(Revision(numbers[5] ?? 0))
        case 2: target = .modRevision(Revision(numbers[6] ?? 0))
        case 3: target = .value(value)
        case 4: target = .lease(LeaseID(rawValue: numbers[8] ?? 0))
        default: throw EtcdStatus.badCompare
        }
        return Compare(range: try range.range(), relation, target)
    }

    /// Strings of a repeated field.
    package static func strings(_ field: Int, _ bytes: [UInt8]) throws(GRPCStatus) -> [String] {
        var reader = ProtobufReader(bytes)
        var found: [String] = []
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                if reader.field == field, reader.wireType == .bytes { found.append(try reader.string()) }
            }
        }
        return found
    }

    /// A field of bytes, or an embedded message; nil: it is not there.
    package static func message(_ field: Int, _ bytes: [UInt8]) throws(GRPCStatus) -> [UInt8]? {
        var reader = ProtobufReader(bytes)
        var found: [UInt8]?
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                if reader.field == field, reader.wireType == .bytes { found = try reader.byteArray() }
            }
        }
        return found
    }

    static func bytes(_ field: Int, _ bytes: [UInt8]) throws(GRPCStatus) -> [UInt8] { try message(field, bytes) ?? [] }

    /// Integer fields of a flat message.
    package static func numbers(_ bytes: [UInt8]) throws(GRPCStatus) -> [Int: Int64] {
        var reader = ProtobufReader(bytes)
        var numbers: [Int: Int64] = [:]
        try reading { () throws(ProtobufError) in
            while try reader.next() {
                if reader.wireType == .varint { numbers[reader.field] = try reader.int64() }
            }
        }
        return numbers
    }
}
