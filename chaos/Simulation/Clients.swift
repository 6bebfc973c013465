// Clients that write unique values and read them back, one operation at a time each.

import KVCore
import Raft

/// A host's answer.
struct Reply {
    enum Outcome {
        case txn(TxnResult)
        /// What a read shows, as of which revision.
        case shown(RangeResult, Revision)
        /// The past before this is gone.
        case compacted(Revision)
        /// The past does not reach so far.
        case future(Revision)
        case done
        /// Certainly not done and never will be.
        case refused
        /// Committed, but without effect, since its fence's term was over.
        case fenced
        case unknown
        case granted
        case kept
        case revoked
        /// The lease has ended already.
        case leaseGone

        /// For the trace.
        var kind: UInt64 {
            switch self {
            case .txn(let result): UInt64(bitPattern: result.revision.rawValue) &* 2 &+ (result.succeeded ? 1 : 0)
            case .shown(let result, let revision): UInt64(bitPattern: revision.rawValue &* 64 &+ result.count)
            case .compacted(let revision), .future(let revision): UInt64(bitPattern: revision.rawValue)
            case .done: 1
            case .refused: 2
            case .fenced: 3
            case .unknown: 4
            case .granted: 5
            case .kept: 6
            case .revoked: 7
            case .leaseGone: 8
            }
        }
    }
    var request: Request
    var outcome: Outcome
}

/// What a client has to get done before all is well again.
enum Errand {
    case write
    /// A read without a proposal, at somebody who does not lead.
    case follow
    /// Granted, used, kept alive, revoked.
    case lease
}

/// A caller with at most one operation under way.
struct Client {
    var serial: UInt64 = 0
    var current: Request?
    /// What its operation may not precede: what any client had seen when it began.
    var floor = Revision.zero
    /// What it may not read any more: compacted when it began.
    var compacted = Revision.zero
    var hint: Int?
    /// When its operation began.
    var begun: UInt64 = 0
    /// Granted, and not used yet.
    var lease: UInt64?
    /// Keys of the client end with it; kept alive now and then.
    var held: UInt64?
    var isKept = false
    /// After the faults.
    var errands: [Errand] = []
    /// It goes on without an errand.
    var isBusy = false
}
