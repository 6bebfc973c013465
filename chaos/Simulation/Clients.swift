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
    }
    static let keys = 6
    var client: Int
    var serial: UInt64
    var key: Int
    var kind: Kind
    var host: Int

    var storeKey: Key { Key([107, UInt8(truncatingIfNeeded: key)]) }

    /// What is proposed; nil for a read.
    var txn: Txn? {
        switch kind {
        case .put(let value, _): return Txn(success: [.put(storeKey, Request.encode(value))])
        case .swap(let value, let expected):
            return Txn(
                compares: [.modRevision(of: storeKey, is: expected)], success: [.put(storeKey, Request.encode(value))])
        case .read: return nil
        }
    }

    var value: UInt64? {
        switch kind {
        case .put(let value, _), .swap(let value, _): return value
        case .read: return nil
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
        case value(UInt64, Revision)
        /// Certainly not done and never will be.
        case refused
        /// Committed, but without effect, since its fence's term was over.
        case fenced
        case unknown
    }
    var request: Request
    var outcome: Outcome
}

/// A caller with at most one operation under way.
struct Client {
    var serial: UInt64 = 0
    var current: Request?
    /// What its operation may not precede: the key's revision at invocation.
    var floor = Revision.zero
    var hint: Int?
    /// Writes acknowledged since the faults ended.
    var writesHealed = 0
}
