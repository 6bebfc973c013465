// Transactions with etcd v3's meaning: every comparison, also of nested transactions, is decided against the state
// before; the chosen operations are checked as a whole, then executed in order; later reads see earlier writes; one
// revision for all of it. Nothing is written before everything is known to be allowed. What a replica remembers of the
// past is its own affair (memory, disk, a snapshot's window) and decides nothing here: a range at a revision is only
// checked, and answered with nothing; whoever asked reads it beside the transaction, for the past does not change.

extension StateMachine {
    /// Records that the comparisons and ranges of one transaction look at.
    static let visitedMax = 1_000_000

    mutating func transact(_ txn: Txn, _ change: inout Change) -> Outcome {
        var decisions: [Bool] = []
        if let refusal = TxnShape.check(txn) { return .refused(refusal) }
        var visited = 0
        if let refusal = decide(txn, &decisions, &visited) { return .refused(refusal) }
        if visited > Self.visitedMax { return .refused(.tooManyOperations) }
        var next = decisions[...]
        let result = run(txn, &next, &change)
        return .txn(result)
    }

    /// Decides the comparisons (depth first, in order) and checks the operations that will run.
    private func decide(_ txn: Txn, _ decisions: inout [Bool], _ visited: inout Int) -> Refusal? {
        for compare in txn.compares { visited += tree.visits(compare) }
        // Every replica does this work while it applies, and does nothing else meanwhile.
        guard visited <= Self.visitedMax else { return .tooManyOperations }
        let succeeded = txn.compares.allSatisfy { tree.satisfies($0) }
        decisions.append(succeeded)
        for op in succeeded ? txn.success : txn.failure {
            if let refusal = check(op, &decisions, &visited) { return refusal }
        }
        return nil
    }

    private func check(_ op: Op, _ decisions: inout [Bool], _ visited: inout Int) -> Refusal? {
        switch op {
        case .txn(let nested): return decide(nested, &decisions, &visited)
        case .delete: return nil
        case .range(let request):
            visited += view.visits(request)
            guard let at = request.revision, at > .zero else { return nil }
            if at > revision { return .future(revision) }
            return at < compactRevision ? .compacted(compactRevision) : nil
        case .put(let request):
            if request.keepsValue || request.keepsLease, tree.get(request.key) == nil { return .keyNotFound }
            let namesLease = request.lease != .none && !request.keepsLease
            return namesLease && leases[request.lease] == nil ? .leaseNotFound : nil
        }
    }

    private mutating func run(_ txn: Txn, _ decisions: inout ArraySlice<Bool>, _ change: inout Change) -> TxnResult {
        let succeeded = decisions.popFirst() ?? false
        var results: [OpResult] = []
        for op in succeeded ? txn.success : txn.failure {
            switch op {
            case .txn(let nested): results.append(.txn(run(nested, &decisions, &change)))
            case .range(let request): results.append(.range(read(request)))
            case .put(let request):
                let previous = write(request, &change)
                results.append(.put(previous: request.returnPrevious ? previous : nil))
            case .delete(let range, let returnPrevious):
                let gone = delete(range, &change)
                results.append(.delete(count: Int64(gone.count), previous: returnPrevious ? gone : []))
            }
        }
        let after = change.events.isEmpty ? revision : change.revision
        return TxnResult(succeeded: succeeded, revision: after, results: results)
    }

    private mutating func write(_ request: PutRequest, _ change: inout Change) -> KeyValue? {
        let record = KeyValue(
            key: request.key, value: request.keepsValue ? [] : request.value, createRevision: change.revision,
            modRevision: change.revision, version: 1, lease: request.keepsLease ? .none : request.lease)
        return put(record, &change) { record, old in
            record.key = old.key  // Equal: one of the two buffers is enough.
            record.createRevision = old.createRevision
            record.version = old.version &+ 1
            if request.keepsValue { record.value = old.value }
            if request.keepsLease { record.lease = old.lease }
        }
    }

    private mutating func delete(_ range: KeyRange, _ change: inout Change) -> [KeyValue] {
        if let key = range.single { return remove(key, &change).map { [$0] } ?? [] }
        var keys: [Key] = []
        tree.forEach(range) {
            keys.append($0.key); return true
        }
        return keys.compactMap { remove($0, &change) }
    }

    private func read(_ request: RangeRequest) -> RangeResult {
        request.isOfPast ? RangeResult(items: [], more: false, count: 0) : view.range(request)
    }
}

// MARK: Comparisons

extension OrderedTree {
    /// How many records a comparison looks at, at most.
    func visits(_ compare: Compare) -> Int { compare.range.single == nil ? count(compare.range) : 1 }

    func satisfies(_ compare: Compare) -> Bool {
        if let key = compare.range.single { return Self.holds(compare, get(key)) }
        var found = false
        var all = true
        forEach(compare.range) { record in
            found = true
            all = Self.holds(compare, record)
            return all
        }
        return found ? all : Self.holds(compare, nil)
    }

    private static func holds(_ compare: Compare, _ record: KeyValue?) -> Bool {
        switch compare.target {
        case .version(let value): return holds(compare.relation, record?.version ?? 0, value)
        case .createRevision(let value): return holds(compare.relation, record?.createRevision ?? .zero, value)
        case .modRevision(let value): return holds(compare.relation, record?.modRevision ?? .zero, value)
        case .lease(let value): return holds(compare.relation, record?.lease ?? .none, value)
        case .value(let value):
            // As in etcd: the value of an absent key equals nothing and is unequal to nothing.
            guard let record else { return false }
            return holds(compare.relation, Key(record.value), Key(value))
        }
    }

    private static func holds<T: Comparable>(_ relation: Compare.Relation, _ left: T, _ right: T) -> Bool {
        switch relation {
        case .equal: left == right
        case .greater: left > right
        case .less: left < right
        case .notEqual: left != right
        }
    }
}
