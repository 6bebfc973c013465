// What can be refused about a transaction without looking at the state: too many operations, empty keys, a key written
// twice. The rule for duplicates is etcd's: puts may repeat only across the two branches of one nested transaction.

enum TxnShape {
    static let depthMax = 8

    static func check(_ txn: Txn) -> Refusal? {
        var total = 0
        if let refusal = measure(txn, depth: 0, &total) { return refusal }
        for branch in [txn.success, txn.failure] where !isAlone(branch) {
            if writes(of: branch) == nil { return .duplicateKey }
        }
        return nil
    }

    /// One operation that writes one thing at most: nothing to compare, as in nearly every transaction.
    private static func isAlone(_ branch: [Op]) -> Bool {
        guard branch.count <= 1 else { return false }
        if case .txn? = branch.first { return false }
        return true
    }

    private static func measure(_ txn: Txn, depth: Int, _ total: inout Int) -> Refusal? {
        guard depth < depthMax else { return .nestedTooDeep }
        total += txn.compares.count + txn.success.count + txn.failure.count
        guard total <= StateMachine.operationsMax else { return .tooManyOperations }
        for op in txn.success + txn.failure {
            switch op {
            case .put(let request) where request.key.bytes.isEmpty: return .emptyKey
            case .txn(let nested):
                if let refusal = measure(nested, depth: depth + 1, &total) { return refusal }
            default: continue
            }
        }
        return nil
    }

    struct Writes {
        var puts: Set<Key> = []
        var deletes: [KeyRange] = []
        func deletes(_ key: Key) -> Bool { deletes.contains { $0.contains(key) } }
    }

    /// nil: some key is written twice.
    private static func writes(of ops: [Op]) -> Writes? {
        var all = Writes()
        for case .delete(let range, _) in ops { all.deletes.append(range) }
        for case .txn(let nested) in ops {
            guard let then = writes(of: nested.success), let otherwise = writes(of: nested.failure) else { return nil }
            for key in then.puts where all.puts.contains(key) || all.deletes(key) { return nil }
            for key in otherwise.puts {
                if all.puts.contains(key) || all.deletes(key) { return nil }
            }
            all.puts.formUnion(then.puts)
            all.puts.formUnion(otherwise.puts)
            all.deletes += then.deletes + otherwise.deletes
        }
        for case .put(let request) in ops {
            if all.deletes(request.key) || !all.puts.insert(request.key).inserted { return nil }
        }
        return all
    }
}
