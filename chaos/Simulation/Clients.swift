// Clients that write unique values and read them back, one operation at a time each.

import KVCore
import Raft

/// One operation on its way to a host.
struct Request {
    enum Kind {
        case put(value: UInt64, fence: Term?)
        /// Only while the key was last written at `expected`.
        case swap(value: UInt64, expected: Revision)
        case read
        /// A lease under an id of the client's choice, and then a key of the client that ends with it.
        case grant(lease: UInt64, ttlMilliseconds: Int64)
        case lend(value: UInt64, lease: UInt64)
        case keep(lease: UInt64)
        case revoke(lease: UInt64)
    }
    static let keys = 6
    var client: Int
    var serial: UInt64
    var key: Int
    var kind: Kind
    var host: Int
    var tries = 0

    var storeKey: Key {
        if case .lend = kind { return Key([108, UInt8(truncatingIfNeeded: client)]) }
        return Key([107, UInt8(truncatingIfNeeded: key)])
    }

    /// What is proposed; nil for a read.
    var command: Command? {
        switch kind {
        case .put(let value, _): return .txn(Txn(success: [.put(storeKey, Request.encode(value))]))
        case .swap(let value, let expected):
            let guards = [Compare.modRevision(of: storeKey, is: expected)]
            return .txn(Txn(compares: guards, success: [.put(storeKey, Request.encode(value))]))
        case .lend(let value, let lease):
            return .txn(Txn(success: [.put(storeKey, Request.encode(value), lease: Request.leaseID(lease))]))
        case .grant(let lease, let ttl): return .grantLease(Request.leaseID(lease), ttlMilliseconds: ttl)
        case .revoke(let lease): return .revokeLease(Request.leaseID(lease))
        case .read, .keep: return nil
        }
    }

    static func leaseID(_ number: UInt64) -> LeaseID { LeaseID(rawValue: Int64(clamping: number)) }

    var value: UInt64? {
        switch kind {
        case .put(let value, _), .swap(let value, _), .lend(let value, _): return value
        case .read, .grant, .keep, .revoke: return nil
        }
    }

    static func encode(_ value: UInt64) -> [UInt8] {
        stride(from: 0, to: 64, by: 8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
    }

    static func decode(_ bytes: [UInt8]) -> UInt64 {
        bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(min(56, $1.offset * 8)) }
    }
}

/// A host's answer.
struct Reply {
    enum Outcome {
        case written(Revision)
        /// The comparison did not hold.
        case unchanged
        /// What the key holds, and the store's revision.
        case value(UInt64, Revision)
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
    }
    var request: Request
    var outcome: Outcome
}

/// A caller with at most one operation under way.
struct Client {
    var serial: UInt64 = 0
    var current: Request?
    /// What its operation may not precede: what any client had seen when it began.
    var floor = Revision.zero
    var hint: Int?
    /// When its operation began.
    var begun: UInt64 = 0
    /// Granted, and not used yet.
    var lease: UInt64?
    /// A key of the client ends with it; kept alive now and then.
    var held: UInt64?
    /// Writes acknowledged since the faults ended.
    var writesHealed = 0
}
