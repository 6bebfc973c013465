// What a client of the store may ask: reads and writes of keys, guarded by comparisons, all in one transaction (etcd
// v3's model). These are values: they are encoded into a Raft entry, applied by `StateMachine` on every peer alike, and
// answered with a `TxnResult`.

import Glibc

/// Counts transactions that changed something, as in etcd; the first revision of an empty store is 1.
package struct Revision: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
    package init(_ value: Int64) { rawValue = value }
    package static func < (left: Revision, right: Revision) -> Bool { left.rawValue < right.rawValue }
    package static let zero = Revision(0)
    package var next: Revision { Revision(rawValue &+ 1) }
    package var description: String { String(rawValue) }
}

/// A key: bytes in memcmp order.
package struct Key: Hashable, Sendable {
    package var bytes: [UInt8]
    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(_ text: String) { bytes = Array(text.utf8) }
}

/// Keys from `lower` (included) to `upper` (excluded; nil = to the end).
package struct KeyRange: Hashable, Sendable {
    package var lower: Key
    package var upper: Key?
    package init(lower: Key, upper: Key?) {
        self.lower = lower
        self.upper = upper
    }
}

/// Names a lease; 0 = none.
package struct LeaseID: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
    package static func < (left: LeaseID, right: LeaseID) -> Bool { left.rawValue < right.rawValue }
    package static let none = LeaseID(rawValue: 0)
}

/// A key with its value and history counters. `version` counts writes since creation.
package struct KeyValue: Hashable, Sendable {
    package var key: Key
    package var value: [UInt8]
    package var createRevision: Revision
    package var modRevision: Revision
    package var version: Int64
    package var lease: LeaseID

    package init(
        key: Key, value: [UInt8], createRevision: Revision, modRevision: Revision,
        version: Int64, lease: LeaseID = .none
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }
}

/// One change that watchers see. `current` of a deletion has an empty value and the deletion's revision as
/// `modRevision`.
package struct KVEvent: Hashable, Sendable {
    package enum Kind: UInt8, Sendable { case put, delete }
    package var kind: Kind
    package var current: KeyValue
    /// What the key held before; nil when it did not exist.
    package var previous: KeyValue?

    package init(kind: Kind, current: KeyValue, previous: KeyValue?) {
        self.kind = kind
        self.current = current
        self.previous = previous
    }
}

/// A comparison that guards a transaction, over one key or every key of a range. An absent key has version, revisions
/// and lease 0.
package struct Compare: Hashable, Sendable {
    package enum Relation: UInt8, Sendable { case equal, greater, less, notEqual }
    package enum Target: Hashable, Sendable {
        case version(Int64)
        case createRevision(Revision)
        case modRevision(Revision)
        case value([UInt8])
        case lease(LeaseID)
    }
    package var range: KeyRange
    package var relation: Relation
    package var target: Target

    package init(range: KeyRange, _ relation: Relation, _ target: Target) {
        self.range = range
        self.relation = relation
        self.target = target
    }

    /// The key was last written at exactly this revision (`.zero`: it is absent).
    package static func modRevision(of key: Key, is revision: Revision) -> Compare {
        Compare(range: KeyRange(key), .equal, .modRevision(revision))
    }
    package static func absent(_ key: Key) -> Compare { modRevision(of: key, is: .zero) }
}

/// One operation of a transaction.
package indirect enum Op: Hashable, Sendable {
    case range(RangeRequest)
    case put(PutRequest)
    case delete(KeyRange, returnPrevious: Bool)
    case txn(Txn)

    package static func put(_ key: Key, _ value: [UInt8], lease: LeaseID = .none) -> Op {
        .put(PutRequest(key: key, value: value, lease: lease))
    }
    package static func delete(_ key: Key) -> Op { .delete(KeyRange(key), returnPrevious: false) }
}

/// A write of one key.
package struct PutRequest: Hashable, Sendable {
    package var key: Key
    package var value: [UInt8]
    package var lease: LeaseID
    package var returnPrevious: Bool
    /// Keep the value (or lease) that the key has; refused when the key is absent.
    package var keepsValue: Bool
    package var keepsLease: Bool

    package init(
        key: Key, value: [UInt8], lease: LeaseID = .none,
        returnPrevious: Bool = false, keepsValue: Bool = false, keepsLease: Bool = false
    ) {
        self.key = key
        self.value = value
        self.lease = lease
        self.returnPrevious = returnPrevious
        self.keepsValue = keepsValue
        self.keepsLease = keepsLease
    }
}

/// A read of a range at one revision.
package struct RangeRequest: Hashable, Sendable {
    package enum SortTarget: UInt8, Sendable { case key, version, createRevision, modRevision, value }
    package enum SortOrder: UInt8, Sendable { case none, ascending, descending }
    package var range: KeyRange
    /// At most so many; 0 = all.
    package var limit: Int64
    /// nil = now.
    package var revision: Revision?
    package var sortTarget: SortTarget
    package var sortOrder: SortOrder
    package var keysOnly: Bool
    package var countOnly: Bool
    /// Bounds on revisions; nil = none.
    package var modRevisions: ClosedRange<Int64>?
    package var createRevisions: ClosedRange<Int64>?

    package init(
        _ range: KeyRange, limit: Int64 = 0, revision: Revision? = nil,
        keysOnly: Bool = false, countOnly: Bool = false
    ) {
        self.range = range
        self.limit = limit
        self.revision = revision
        self.sortTarget = .key
        self.sortOrder = .none
        self.keysOnly = keysOnly
        self.countOnly = countOnly
    }
}

/// Comparisons, and what is done when all hold (`success`) or not (`failure`); atomic.
package struct Txn: Hashable, Sendable {
    package var compares: [Compare]
    package var success: [Op]
    package var failure: [Op]

    package init(compares: [Compare] = [], success: [Op], failure: [Op] = []) {
        self.compares = compares
        self.success = success
        self.failure = failure
    }
}

/// The answer to one operation.
package indirect enum OpResult: Hashable, Sendable {
    case range(RangeResult)
    case put(previous: KeyValue?)
    case delete(count: Int64, previous: [KeyValue])
    case txn(TxnResult)
}

/// What a range read found; `count` is the number in the range before `limit`.
package struct RangeResult: Hashable, Sendable {
    package var items: [KeyValue]
    package var more: Bool
    package var count: Int64
    package init(items: [KeyValue], more: Bool, count: Int64) {
        self.items = items
        self.more = more
        self.count = count
    }
}

/// The answer to a transaction. `revision` is the store's revision after it: the `modRevision` of every key that it
/// wrote.
package struct TxnResult: Hashable, Sendable {
    package var succeeded: Bool
    package var revision: Revision
    package var results: [OpResult]
    package init(succeeded: Bool, revision: Revision, results: [OpResult]) {
        self.succeeded = succeeded
        self.revision = revision
        self.results = results
    }
}

extension Key: Comparable {
    package static func < (left: Key, right: Key) -> Bool {
        left.bytes.withUnsafeBytes { a in
            right.bytes.withUnsafeBytes { b in
                let n = min(a.count, b.count)
                guard n > 0, let x = a.baseAddress, let y = b.baseAddress else { return a.count < b.count }
                let order = memcmp(x, y, n)
                return order == 0 ? a.count < b.count : order < 0
            }
        }
    }
    /// The smallest key above every key that starts with this one; nil where there is none.
    package var prefixEnd: Key? {
        var end = bytes
        while let last = end.last {
            if last < 0xff {
                end[end.count - 1] = last + 1
                return Key(end)
            }
            end.removeLast()
        }
        return nil
    }
    package var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension KeyRange {
    /// Exactly one key.
    package init(_ key: Key) { self.init(lower: key, upper: Key(key.bytes + [0])) }
    /// Every key that starts with `prefix`.
    package static func prefix(_ prefix: Key) -> KeyRange { KeyRange(lower: prefix, upper: prefix.prefixEnd) }
    package static let all = KeyRange(lower: Key([]), upper: nil)
    package func contains(_ key: Key) -> Bool { !(key < lower) && (upper.map { key < $0 } ?? true) }
    /// The one key, when this range can hold only one.
    package var single: Key? { upper == Key(lower.bytes + [0]) ? lower : nil }
}
