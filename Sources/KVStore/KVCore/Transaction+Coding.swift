// The byte form of transactions inside a command. Nesting is bounded, so that hostile bytes cannot exhaust the stack.
// Changing any of this means a new `EntryFormat.newest`: logs on disk outlive programs.

extension ByteWriter {
    package mutating func put(_ txn: Txn) {
        put(list: txn.compares) { $0.put($1) }
        put(list: txn.success) { $0.put($1) }
        put(list: txn.failure) { $0.put($1) }
    }

    package mutating func put(_ range: KeyRange) {
        put(range.lower.bytes)
        if range.single != nil {
            put(byte: 2)
        } else {
            put(optional: range.upper) { $0.put($1.bytes) }
        }
    }

    mutating func put(_ compare: Compare) {
        put(compare.range)
        put(byte: compare.relation.rawValue)
        switch compare.target {
        case .version(let value): put(byte: 0); put(value)
        case .createRevision(let revision): put(byte: 1); put(revision.rawValue)
        case .modRevision(let revision): put(byte: 2); put(revision.rawValue)
        case .value(let bytes): put(byte: 3); put(bytes)
        case .lease(let id): put(byte: 4); put(id.rawValue)
        }
    }

    mutating func put(_ op: Op) {
        switch op {
        case .range(let request): put(byte: 0); put(request)
        case .put(let request): put(byte: 1); put(request)
        case .delete(let range, let returnPrevious): put(byte: 2); put(range); put(flag: returnPrevious)
        case .txn(let txn): put(byte: 3); put(txn)
        }
    }

    mutating func put(_ request: PutRequest) {
        put(request.key.bytes)
        put(request.value)
        put(request.lease.rawValue)
        put(byte: (request.returnPrevious ? 1 : 0) | (request.keepsValue ? 2 : 0) | (request.keepsLease ? 4 : 0))
    }

    mutating func put(_ request: RangeRequest) {
        put(request.range)
        put(request.limit)
        put(optional: request.revision) { $0.put($1.rawValue) }
        put(byte: request.sortTarget.rawValue)
        put(byte: request.sortOrder.rawValue)
        put(byte: (request.keysOnly ? 1 : 0) | (request.countOnly ? 2 : 0))
        put(optional: request.modRevisions) { $0.put($1) }
        put(optional: request.createRevisions) { $0.put($1) }
    }

    private mutating func put(_ range: ClosedRange<Int64>) {
        put(range.lowerBound)
        put(range.upperBound)
    }
}

extension ByteReader {
    /// Nested transactions below this depth are malformed.
    static let depthMax = 16

    package mutating func txn(depth: Int) throws(DecodeError) -> Txn {
        guard depth < Self.depthMax else { throw DecodeError() }
        let compares = try list { (r: inout ByteReader) throws(DecodeError) in try r.compare() }
        let success = try list { (r: inout ByteReader) throws(DecodeError) in try r.op(depth: depth) }
        let failure = try list { (r: inout ByteReader) throws(DecodeError) in try r.op(depth: depth) }
        return Txn(compares: compares, success: success, failure: failure)
    }

    package mutating func keyRange() throws(DecodeError) -> KeyRange {
        let lower = Key(try data())
        switch try byte() {
        case 0: return KeyRange(lower: lower, upper: nil)
        case 1: return KeyRange(lower: lower, upper: Key(try data()))
        case 2: return KeyRange(lower)
        default: throw DecodeError()
        }
    }

    mutating func compare() throws(DecodeError) -> Compare {
        let range = try keyRange()
        guard let relation = Compare.Relation(rawValue: try byte()) else { throw DecodeError() }
        switch try byte() {
        case 0: return Compare(range: range, relation, .version(try signed()))
        case 1: return Compare(range: range, relation, .createRevision(Revision(try signed())))
        case 2: return Compare(range: range, relation, .modRevision(Revision(try signed())))
        case 3: return Compare(range: range, relation, .value(try data()))
        case 4: return Compare(range: range, relation, .lease(LeaseID(rawValue: try signed())))
        default: throw DecodeError()
        }
    }

    mutating func op(depth: Int) throws(DecodeError) -> Op {
        switch try byte() {
        case 0: return .range(try rangeRequest())
        case 1: return .put(try putRequest())
        case 2: return .delete(try keyRange(), returnPrevious: try flag())
        case 3: return .txn(try txn(depth: depth + 1))
        default: throw DecodeError()
        }
    }

    mutating func putRequest() throws(DecodeError) -> PutRequest {
        var request = PutRequest(key: Key(try data()), value: try data(), lease: LeaseID(rawValue: try signed()))
        let flags = try byte()
        guard flags < 8 else { throw DecodeError() }
        request.returnPrevious = flags & 1 != 0
        request.keepsValue = flags & 2 != 0
        request.keepsLease = flags & 4 != 0
        return request
    }

    mutating func rangeRequest() throws(DecodeError) -> RangeRequest {
        var request = RangeRequest(try keyRange(), limit: try signed())
        request.revision = try optional { (r: inout ByteReader) throws(DecodeError) in Revision(try r.signed()) }
        guard let target = RangeRequest.SortTarget(rawValue: try byte()),
            let order = RangeRequest.SortOrder(rawValue: try byte())
        else { throw DecodeError() }
        request.sortTarget = target
        request.sortOrder = order
        let flags = try byte()
        guard flags < 4 else { throw DecodeError() }
        request.keysOnly = flags & 1 != 0
        request.countOnly = flags & 2 != 0
        request.modRevisions = try optional { (r: inout ByteReader) throws(DecodeError) in try r.bounds() }
        request.createRevisions = try optional { (r: inout ByteReader) throws(DecodeError) in try r.bounds() }
        return request
    }

    private mutating func bounds() throws(DecodeError) -> ClosedRange<Int64> {
        let lower = try signed()
        let upper = try signed()
        guard lower <= upper else { throw DecodeError() }
        return lower...upper
    }
}
