// Transactions that read ranges at a revision. The past does not change, so it is read here, from memory or disk, before
// the transaction is proposed; the transaction itself, applied by every replica alike, only refuses revisions that are
// compacted or still to come. What only this member lacks (it was sent a snapshot) is refused before anything is done.
import KVCore
import Raft

extension Replica {
    func proposeWithPast(_ txn: Txn, fence: Term?) async -> Result<TxnResult, ProposeError> {
        do throws(ProposeError) {
            let requests = txn.pastRanges
            if requests.contains(where: { $0.revision ?? .zero > view().revision }) { try await barrier() }
            var answers: [RangeRequest: RangeResult] = [:]
            for request in requests where answers[request] == nil { answers[request] = try await past(request) }
            let result = await withUnsafeContinuation {
                (waiting: UnsafeContinuation<Result<TxnResult, ProposeError>, Never>) in
                proposeWhole(txn, fence: fence) { waiting.resume(returning: $0) }
            }
            var missing: [RangeRequest] = []
            let filled = txn.filled(try result.get(), answers, missing: &missing)
            // Of revisions that had not come when it was asked.
            for request in missing where answers[request] == nil {
                do throws(ProposeError) { answers[request] = try await past(request) } catch { throw .unknownOutcome }
            }
            guard !missing.isEmpty else { return .success(filled) }
            missing = []
            let whole = txn.filled(filled, answers, missing: &missing)
            // It is done, and what it read cannot be told any more.
            return missing.isEmpty ? .success(whole) : .failure(.unknownOutcome)
        } catch { return .failure(error) }
    }

    /// nil: whether it may be read is for the transaction to say.
    private func past(_ request: RangeRequest) async throws(ProposeError) -> RangeResult? {
        guard let revision = request.revision else { return nil }
        let found = await withUnsafeContinuation { (waiting: UnsafeContinuation<Result<KVView, HistoryError>, Never>) in
            view(at: revision, request.range) { waiting.resume(returning: $0) }
        }
        switch found {
        case .success(let view): return view.range(request)
        case .failure(.unavailable): throw .overloaded
        case .failure(.refused(.future)): return nil
        case .failure(.refused(.compacted(let floor))):
            if revision < view().compactRevision { return nil }
            throw .refused(.compacted(floor))
        }
    }
}
