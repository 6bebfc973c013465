// A transaction that writes nothing and asks for nothing older than now, answered from a view: it needs no entry in the log, and its work is done by whoever asks, on
// whatever thread, not by every replica while it applies. The meaning is that of StateMachine+Txn.

extension Txn {
    /// No branch can change anything, or reads at a revision of its own.
    package var readsPresentOnly: Bool {
        func isRead(_ op: Op) -> Bool {
            switch op {
            case .put, .delete: false
            case .range(let request): request.revision ?? .zero == .zero
            case .txn(let nested): nested.readsPresentOnly
            }
        }
        return success.allSatisfy(isRead) && failure.allSatisfy(isRead)
    }
}

/// The ranges that will be read, chosen by the comparisons.
package struct ReadTxn: Sendable {
    private let view: KVView
    private let txn: Txn
    private let decisions: [Bool]
    /// How many records will be looked at, about.
    package let visited: Int

    /// Throws when the transaction is malformed, or would look at more than a transaction may.
    package init(_ txn: Txn, in view: KVView) throws(Refusal) {
        if let refusal = TxnShape.check(txn) { throw refusal }
        self.view = view
        self.txn = txn
        var decisions: [Bool] = []
        var visited = 0
        try Self.decide(txn, view, &decisions, &visited)
        self.decisions = decisions
        self.visited = visited
    }

    package func run() -> TxnResult {
        var next = decisions[...]
        return run(txn, &next)
    }

    private static func decide(
        _ txn: Txn, _ view: KVView, _ decisions: inout [Bool], _ visited: inout Int
    ) throws(Refusal) {
        for compare in txn.compares { visited += view.tree.visits(compare) }
        guard visited <= StateMachine.visitedMax else { throw .tooManyOperations }
        let succeeded = txn.compares.allSatisfy { view.tree.satisfies($0) }
        decisions.append(succeeded)
        for op in succeeded ? txn.success : txn.failure {
            switch op {
            case .txn(let nested): try decide(nested, view, &decisions, &visited)
            case .range(let request): visited += view.visits(request)
            case .put, .delete: continue
            }
        }
        guard visited <= StateMachine.visitedMax else { throw .tooManyOperations }
    }

    private func run(_ txn: Txn, _ decisions: inout ArraySlice<Bool>) -> TxnResult {
        let succeeded = decisions.popFirst() ?? false
        var results: [OpResult] = []
        for op in succeeded ? txn.success : txn.failure {
            switch op {
            case .txn(let nested): results.append(.txn(run(nested, &decisions)))
            case .range(let request): results.append(.range(view.range(request)))
            case .put, .delete: continue
            }
        }
        return TxnResult(succeeded: succeeded, revision: view.revision, results: results)
    }
}
