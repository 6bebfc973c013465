// What a transaction must do and answer, given the state just before: the meaning of transactions once more, in the
// plainest way, over the oracle's history instead of a tree.

import KVCore

/// One transaction as the oracle executes it.
struct Dealing {
    private let oracle: Oracle
    private let before: Revision
    private var changed: [Key: KeyValue?] = [:]
    private(set) var events: [KVEvent] = []

    init(_ oracle: Oracle, before: Revision) {
        self.oracle = oracle
        self.before = before
    }

    mutating func run(_ deal: Deal) -> TxnResult {
        let succeeded = holds(deal)
        var results: [OpResult] = []
        for deed in succeeded ? deal.success : deal.failure { results.append(perform(deed, deal)) }
        return TxnResult(succeeded: succeeded, revision: events.isEmpty ? before : before.next, results: results)
    }

    /// Also those of nested transactions are decided by the state before all of it.
    private func holds(_ deal: Deal) -> Bool {
        deal.guards.allSatisfy { one in
            (oracle.record(of: Request.key(one.key), at: before)?.modRevision ?? .zero) == one.expected
        }
    }

    private mutating func perform(_ deed: Deal.Deed, _ deal: Deal) -> OpResult {
        switch deed {
        case .nested(let inner): return .txn(run(inner))
        case .show(let keys):
            let items = keys.compactMap { record(of: Request.key($0)) }
            return .range(RangeResult(items: items, more: false, count: Int64(items.count)))
        case .put(let number, let lease):
            let previous = put(Request.key(number), deal.value, lease)
            return .put(previous: deal.asksPrevious ? previous : nil)
        case .delete(let keys):
            let gone = keys.compactMap { delete(Request.key($0)) }
            return .delete(count: Int64(gone.count), previous: deal.asksPrevious ? gone : [])
        }
    }

    private func record(of key: Key) -> KeyValue? { changed[key] ?? oracle.record(of: key, at: before) }

    private mutating func put(_ key: Key, _ value: UInt64, _ lease: UInt64) -> KeyValue? {
        let old = record(of: key)
        let record = KeyValue(
            key: key, value: Request.encode(value), createRevision: old?.createRevision ?? before.next,
            modRevision: before.next, version: (old?.version ?? 0) + 1, lease: Request.leaseID(lease))
        changed[key] = .some(record)
        events.append(KVEvent(kind: .put, current: record, previous: old))
        return old
    }

    private mutating func delete(_ key: Key) -> KeyValue? {
        guard let old = record(of: key) else { return nil }
        changed[key] = .some(nil)
        events.append(KVEvent.deletion(of: key, at: before.next, old))
        return old
    }
}

extension KVEvent {
    static func deletion(of key: Key, at revision: Revision, _ previous: KeyValue?) -> KVEvent {
        let tombstone = KeyValue(key: key, value: [], createRevision: .zero, modRevision: revision, version: 0)
        return KVEvent(kind: .delete, current: tombstone, previous: previous)
    }
}
