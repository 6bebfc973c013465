// An entry of the log as it was read, ahead of its execution, and how much work that will be: what takes long is executed
// aside (see Execution). Both are the same on every peer, though each may decide for itself where it executes.
import Raft

/// An entry, read once.
struct ReadEntry: Sendable {
    enum Content: Sendable {
        /// No command.
        case nothing
        case refused(Refusal)
        case proposal(ClientProposal)
    }
    let entry: Entry
    private(set) var content = Content.nothing
    /// As its leader counted it.
    private(set) var logTime: Int64?

    /// A leader tells the time.
    var isTick: Bool {
        guard case .proposal(let proposal) = content, case .tick = proposal.command else { return false }
        return true
    }

    init(_ entry: Entry) {
        self.entry = entry
        guard entry.kind == .normal else { return }
        var reader = ByteReader(entry.data)
        do throws(DecodeError) {
            let version = try reader.byte()
            guard version >= EntryFormat.oldest else {
                content = .refused(.unsupportedVersion(version))
                return
            }
            logTime = try reader.signed()
            content = .proposal(try EntryFormat.decode(&reader))
        } catch { content = .refused(.malformed) }
    }
}

extension StateMachine {
    /// How many keys the entry deletes or looks at, at most, but for those that it names.
    func work(_ read: ReadEntry) -> Int {
        guard case .proposal(let proposal) = read.content, !read.entry.isFenced else { return 0 }
        switch proposal.command {
        // Nearly all name their keys, and then nothing more is looked at.
        case .txn(let txn):
            let keys = work(txn)
            return keys > 0 && TxnShape.check(txn) == nil ? keys : 0
        case .revokeLease(let id): return leases[id]?.keys.count ?? 0
        case .expireLeases(let ids): return ids.reduce(0) { $0 + (leases[$1]?.keys.count ?? 0) }
        default: return 0
        }
    }

    private func work(_ txn: Txn) -> Int {
        txn.compares.reduce(0) { $0 + work($1.range) } + work(txn.success) + work(txn.failure)
    }

    private func work(_ ops: [Op]) -> Int {
        ops.reduce(0) { sum, op in
            switch op {
            case .txn(let nested): sum + work(nested)
            case .delete(let range, _): sum + work(range)
            case .range(let request): sum + work(request.range)
            case .put: sum
            }
        }
    }

    private func work(_ range: KeyRange) -> Int { range.single == nil ? tree.count(range) : 0 }
}
