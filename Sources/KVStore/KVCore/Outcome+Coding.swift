// The byte forms of records, events, leases, sessions and outcomes: in `state.sqlite`, in snapshots and between peers.
// Results with records are never stored (`Outcome.kept`); they appear here as settled transactions.

extension ByteWriter {
    package mutating func put(_ record: KeyValue) {
        put(record.key.bytes)
        put(record.value)
        put(record.createRevision.rawValue)
        put(record.modRevision.rawValue)
        put(record.version)
        put(record.lease.rawValue)
    }

    package mutating func put(_ event: KVEvent) {
        put(byte: event.kind.rawValue)
        put(event.current)
        put(optional: event.previous) { $0.put($1) }
    }

    /// Without its keys: they are found again from the records.
    package mutating func put(_ lease: Lease) {
        put(lease.id.rawValue)
        put(lease.ttlMilliseconds)
        put(lease.deadline)
    }

    package mutating func put(_ session: Session) {
        put(session.client.rawValue)
        put(session.lastUsed)
        put(session.floor)
        put(list: session.outcomes.keys.sorted()) { writer, serial in
            writer.put(serial)
            writer.put(session.outcomes[serial] ?? .refused(.malformed))
        }
    }

    package mutating func put(_ outcome: Outcome) {
        switch outcome.kept {
        case .txn(let result): put(byte: 0); put(result)
        case .txnSettled(let succeeded, let revision): put(byte: 1); put(flag: succeeded); put(revision.rawValue)
        case .lease(let id, let ttl): put(byte: 2); put(id.rawValue); put(ttl)
        case .kept(let rest): put(byte: 3); put(list: rest) { $0.put($1) }
        case .done(let revision): put(byte: 4); put(revision.rawValue)
        case .fenced: put(byte: 5)
        case .refused(let refusal): put(byte: 6); put(refusal)
        }
    }

    private mutating func put(_ result: TxnResult) {
        put(flag: result.succeeded)
        put(result.revision.rawValue)
        put(list: result.results) { writer, one in
            if case .delete(let count, _) = one { writer.put(count &+ 1) } else { writer.put(Int64(0)) }
        }
    }

    mutating func put(_ refusal: Refusal) {
        switch refusal {
        case .malformed: put(byte: 0)
        case .unsupportedVersion(let version): put(byte: 1); put(byte: version)
        case .compacted(let revision): put(byte: 2); put(revision.rawValue)
        case .future(let revision): put(byte: 3); put(revision.rawValue)
        case .leaseNotFound: put(byte: 4)
        case .leaseExists: put(byte: 5)
        case .duplicateKey: put(byte: 6)
        case .keyNotFound: put(byte: 7)
        case .emptyKey: put(byte: 8)
        case .tooManyOperations: put(byte: 9)
        case .nestedTooDeep: put(byte: 10)
        case .sessionExpired: put(byte: 11)
        case .tooManySessions: put(byte: 12)
        case .serialTooOld: put(byte: 13)
        case .tooManyLeases: put(byte: 14)
        case .tooManyMembers: put(byte: 15)
        }
    }
}

extension ByteReader {
    package mutating func record() throws(DecodeError) -> KeyValue {
        KeyValue(
            key: Key(try data()), value: try data(), createRevision: Revision(try signed()),
            modRevision: Revision(try signed()), version: try signed(), lease: LeaseID(rawValue: try signed()))
    }

    package mutating func event() throws(DecodeError) -> KVEvent {
        guard let kind = KVEvent.Kind(rawValue: try byte()) else { throw DecodeError() }
        let current = try record()
        let previous = try optional { (r: inout ByteReader) throws(DecodeError) in try r.record() }
        return KVEvent(kind: kind, current: current, previous: previous)
    }

    package mutating func lease() throws(DecodeError) -> Lease {
        Lease(id: LeaseID(rawValue: try signed()), ttlMilliseconds: try signed(), deadline: try signed())
    }

    package mutating func session() throws(DecodeError) -> Session {
        let client = ClientID(rawValue: try unsigned())
        let lastUsed = try signed()
        let floor = try unsigned()
        var outcomes: [UInt64: Outcome] = [:]
        for _ in 0..<(try count()) {
            let serial = try unsigned()
            outcomes[serial] = try outcome()
        }
        return Session(client: client, lastUsed: lastUsed, floor: floor, outcomes: outcomes)
    }

    package mutating func outcome() throws(DecodeError) -> Outcome {
        switch try byte() {
        case 0: return .txn(try txnResult())
        case 1: return .txnSettled(succeeded: try flag(), revision: Revision(try signed()))
        case 2: return .lease(LeaseID(rawValue: try signed()), ttlMilliseconds: try signed())
        case 3: return .kept(try list { (r: inout ByteReader) throws(DecodeError) in try r.signed() })
        case 4: return .done(Revision(try signed()))
        case 5: return .fenced
        case 6: return .refused(try refusal())
        default: throw DecodeError()
        }
    }

    private mutating func txnResult() throws(DecodeError) -> TxnResult {
        let succeeded = try flag()
        let revision = Revision(try signed())
        let results = try list { (r: inout ByteReader) throws(DecodeError) -> OpResult in
            let raw = try r.signed()
            return raw > 0 ? .delete(count: raw - 1, previous: []) : .put(previous: nil)
        }
        return TxnResult(succeeded: succeeded, revision: revision, results: results)
    }

    mutating func refusal() throws(DecodeError) -> Refusal {
        switch try byte() {
        case 0: return .malformed
        case 1: return .unsupportedVersion(try byte())
        case 2: return .compacted(Revision(try signed()))
        case 3: return .future(Revision(try signed()))
        case 4: return .leaseNotFound
        case 5: return .leaseExists
        case 6: return .duplicateKey
        case 7: return .keyNotFound
        case 8: return .emptyKey
        case 9: return .tooManyOperations
        case 10: return .nestedTooDeep
        case 11: return .sessionExpired
        case 12: return .tooManySessions
        case 13: return .serialTooOld
        case 14: return .tooManyLeases
        case 15: return .tooManyMembers
        default: throw DecodeError()
        }
    }
}
