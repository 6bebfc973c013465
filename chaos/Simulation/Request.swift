// What clients ask for. Each transaction has a number that no other has: whatever it writes says so, hence the oracle
// knows who wrote what, and what else must have happened with it.

import KVCore
import Raft

/// A transaction in the words of the simulation: keys are numbers.
struct Deal {
    indirect enum Deed {
        case put(Int, lease: UInt64)
        case delete(Range<Int>)
        case show(Range<Int>)
        case nested(Deal)
    }
    struct Guard {
        var key: Int
        /// When it was last written; zero: it is not there.
        var expected: Revision
    }
    var value: UInt64
    var guards: [Guard] = []
    var success: [Deed]
    var failure: [Deed] = []
    /// Puts and deletions answer what they replaced.
    var asksPrevious = false

    /// Whatever its guards say, it writes under its number.
    var alwaysWrites: Bool { Deal.writes(success) && (Deal.writes(failure) || guards.isEmpty) }

    private static func writes(_ deeds: [Deed]) -> Bool {
        deeds.contains { deed in
            switch deed {
            case .put: true
            case .nested(let deal): deal.alwaysWrites
            case .delete, .show: false
            }
        }
    }

    var txn: Txn {
        Txn(
            compares: guards.map { Compare.modRevision(of: Request.key($0.key), is: $0.expected) },
            success: success.map(op), failure: failure.map(op))
    }

    private func op(_ deed: Deed) -> Op {
        switch deed {
        case .put(let key, let lease):
            let id = Request.leaseID(lease)
            return .put(
                PutRequest(
                    key: Request.key(key), value: Request.encode(value), lease: id, returnPrevious: asksPrevious))
        case .delete(let keys): return .delete(Request.range(keys), returnPrevious: asksPrevious)
        case .show(let keys): return .range(RangeRequest(Request.range(keys)))
        case .nested(let deal): return .txn(deal.txn)
        }
    }

    /// The same wish under another number.
    func renamed(_ value: UInt64) -> Deal {
        func rename(_ deeds: [Deed]) -> [Deed] {
            deeds.map { deed in
                guard case .nested(let deal) = deed else { return deed }
                return .nested(deal.renamed(value))
            }
        }
        var deal = self
        deal.value = value
        deal.success = rename(success)
        deal.failure = rename(failure)
        return deal
    }
}

/// A read of one key or of some.
struct Reading {
    var keys: Range<Int>
    /// 0: all of them.
    var limit = 0
    /// At an earlier revision.
    var past: Revision?
    /// From what the host has, however old.
    var isSerializable = false

    var range: RangeRequest { RangeRequest(Request.range(keys), limit: Int64(limit)) }
}

/// One operation on its way to a host.
struct Request {
    enum Kind {
        /// With the term in which alone it may have an effect.
        case deal(Deal, fence: Term?)
        case read(Reading)
        /// A lease under an id of the client's choice, and then some keys of the client that end with it.
        case grant(lease: UInt64, ttlMilliseconds: Int64)
        case lend(Deal, lease: UInt64)
        case keep(lease: UInt64)
        case revoke(lease: UInt64)
        case compact(Revision)
    }
    var client: Int
    var serial: UInt64
    var kind: Kind
    var host: Int
    var tries = 0

    /// What is proposed; nil for a read.
    var command: Command? {
        switch kind {
        case .deal(let deal, _), .lend(let deal, _): return .txn(deal.txn)
        case .grant(let lease, let ttl): return .grantLease(Request.leaseID(lease), ttlMilliseconds: ttl)
        case .revoke(let lease): return .revokeLease(Request.leaseID(lease))
        case .compact(let revision): return .compact(revision)
        case .read, .keep: return nil
        }
    }

    var deal: Deal? {
        switch kind {
        case .deal(let deal, _), .lend(let deal, _): return deal
        case .read, .grant, .keep, .revoke, .compact: return nil
        }
    }
    var value: UInt64? { deal?.value }

    static func leaseID(_ number: UInt64) -> LeaseID { LeaseID(rawValue: Int64(clamping: number)) }

    // MARK: Keys and values

    /// From here on: keys that end with a lease.
    static let lentKeys = 1_000

    static func key(_ number: Int) -> Key {
        guard number >= lentKeys else { return Key([107, UInt8(truncatingIfNeeded: number)]) }
        let rest = number - lentKeys
        return Key([108, UInt8(truncatingIfNeeded: rest / 4), UInt8(truncatingIfNeeded: rest % 4)])
    }

    static func range(_ keys: Range<Int>) -> KeyRange {
        keys.count == 1
            ? KeyRange(key(keys.lowerBound)) : KeyRange(lower: key(keys.lowerBound), upper: key(keys.upperBound))
    }

    /// Mostly short; now and then up to 300 bytes.
    static func encode(_ value: UInt64) -> [UInt8] {
        let number = stride(from: 0, to: 64, by: 8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
        guard value % 7 == 0 else { return number }
        return number + [UInt8](repeating: number[0], count: Int(mix64(value) % 293))
    }

    static func decode(_ bytes: [UInt8]) -> UInt64 {
        bytes.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64($1.offset * 8) }
    }
}
