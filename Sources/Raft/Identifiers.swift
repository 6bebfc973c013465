// The counters and names of Raft as distinct types, so that an index is never passed where a term is meant.
// They count up only. Arithmetic wraps instead of trapping: values also come from other peers, and `Message.isSane`
// refuses what is beyond `counterMax` before it is used.

/// No term or index of a sane message is greater; leaves room for additions that cannot wrap.
package let counterMax: UInt64 = 1 << 62

/// A period with at most one leader (Raft §5.1).
package struct Term: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ value: UInt64) { rawValue = value }
    package static let zero = Term(0)
    package var next: Term { Term(rawValue &+ 1) }
    package static func < (left: Term, right: Term) -> Bool { left.rawValue < right.rawValue }
    package var description: String { String(rawValue) }
}

/// A place in the log; the first entry has 1, and 0 stands before it.
package struct LogIndex: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ value: UInt64) { rawValue = value }
    package static let zero = LogIndex(0)
    package var next: LogIndex { LogIndex(rawValue &+ 1) }
    /// The place before; that of zero is zero.
    package var previous: LogIndex { LogIndex(rawValue == 0 ? 0 : rawValue - 1) }
    package static func < (left: LogIndex, right: LogIndex) -> Bool { left.rawValue < right.rawValue }
    package static func + (left: LogIndex, right: UInt64) -> LogIndex { LogIndex(left.rawValue &+ right) }
    /// How many places `self` is after `other`; 0 when it is not.
    package func distance(after other: LogIndex) -> UInt64 { rawValue > other.rawValue ? rawValue - other.rawValue : 0 }
    package var description: String { String(rawValue) }
}

/// A Raft member. Never reused within one cluster.
package struct PeerID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ value: UInt64) { rawValue = value }
    package static func < (left: PeerID, right: PeerID) -> Bool { left.rawValue < right.rawValue }
    package var description: String { String(rawValue) }
}

/// Names one durable write that the shell was asked for; counts up within one boot.
package struct SaveID: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: SaveID, right: SaveID) -> Bool { left.rawValue < right.rawValue }
}

/// Names a linearizable read; chosen by the shell, unique within one boot.
package struct ReadID: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ value: UInt64) { rawValue = value }
    package static func < (left: ReadID, right: ReadID) -> Bool { left.rawValue < right.rawValue }
}

/// The injected source of chance (SplitMix64): the same seed gives the same run.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    package var state: UInt64
    package init(seed: UInt64) { state = seed }
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
