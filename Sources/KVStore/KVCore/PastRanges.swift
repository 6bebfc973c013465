// Ranges at a revision inside transactions. The transaction that is replicated only checks that the revision may be
// read; the answers are put in by the replica that was asked, from whatever it has of the past.

extension RangeRequest {
    /// At a revision of its own.
    package var isOfPast: Bool { revision.map { $0 > .zero } ?? false }
}

extension Txn {
    /// Cheap: most transactions have none.
    package var hasRanges: Bool {
        func isRead(_ op: Op) -> Bool {
            switch op {
            case .range(let request): request.isOfPast
            case .txn: true
            case .put, .delete: false
            }
        }
        return success.contains(where: isRead) || failure.contains(where: isRead)
    }

    /// Every range at a revision, in whichever branch.
    package var pastRanges: [RangeRequest] {
        (success + failure).flatMap { op -> [RangeRequest] in
            switch op {
            case .range(let request): request.isOfPast ? [request] : []
            case .txn(let nested): nested.pastRanges
            case .put, .delete: []
            }
        }
    }

    /// The result with the answers in their places; those that are missing are left to `missing`.
    package func filled(
        _ result: TxnResult, _ answers: [RangeRequest: RangeResult], missing: inout [RangeRequest]
    ) -> TxnResult {
        var result = result
        for (place, op) in (result.succeeded ? success : failure).enumerated() where place < result.results.count {
            switch (op, result.results[place]) {
            case (.range(let request), .range) where request.isOfPast:
                if let answer = answers[request] {
                    result.results[place] = .range(answer)
                } else {
                    missing.append(request)
                }
            case (.txn(let nested), .txn(let inner)):
                result.results[place] = .txn(nested.filled(inner, answers, missing: &missing))
            default: continue
            }
        }
        return result
    }
}
