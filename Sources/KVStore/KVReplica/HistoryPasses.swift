// What was read of the past lately, for all watches that begin there: when many resume at about the same revision (their
// client lost its connection), the first one that comes to a piece reads it and the others find it here. The past does not
// change, so that a piece is right as long as the state is the same one. Bounded in bytes; gone with the last such watch.
import KVCore

/// What one watch is to be told next, and how far it is then.
package struct HistoryPiece: Sendable {
    package var first: Revision
    package var last: Revision
    package var deliveries: [WatchDelivery]
}

/// Pieces of the past in memory.
package struct HistoryPasses: Sendable {
    package static let bytesMax = 32 << 20
    /// Of ranges whose deliveries are remembered with a piece.
    package static let rangesMax = 8

    private struct Pass {
        /// Revisions `after + 1 ...`, without a gap.
        var after: Revision
        var items: [RevisionEvents]
        var bytes: Int
        /// Who watches the same is told the same arrays.
        var told: [(range: KeyRange, piece: HistoryPiece)] = []
        var last: Revision { Revision(after.rawValue &+ Int64(items.count)) }

        /// Not what would make it greater than all may be.
        mutating func remember(_ range: KeyRange, _ piece: HistoryPiece) {
            if told.count >= HistoryPasses.rangesMax { bytes -= told.removeFirst().piece.ownBytes }
            guard bytes + piece.ownBytes <= HistoryPasses.bytesMax else { return }
            told.append((range, piece))
            bytes += piece.ownBytes
        }
    }
    /// The one that was needed last is the last.
    private var passes: [Pass] = []
    package private(set) var bytes = 0

    package init() {}

    package var isEmpty: Bool { passes.isEmpty }

    package mutating func add(_ items: [RevisionEvents], after: Revision) {
        guard let first = items.first, first.revision == after.next else { return }
        let size = items.reduce(0) { $0 + $1.bytes }
        guard size <= Self.bytesMax, !passes.contains(where: { $0.after == after && $0.items.count >= items.count })
        else { return }
        passes.append(Pass(after: after, items: items, bytes: size))
        bytes += size
        letGo()
    }

    private mutating func letGo() {
        while bytes > Self.bytesMax, !passes.isEmpty { bytes -= passes.removeFirst().bytes }
    }

    /// What comes after a revision, as far as one piece goes; nil: it must be read.
    package mutating func next(_ range: KeyRange, after: Revision) -> HistoryPiece? {
        guard let found = passes.lastIndex(where: { $0.after <= after && after < $0.last }) else { return nil }
        var pass = passes.remove(at: found)
        bytes -= pass.bytes
        defer {
            passes.append(pass)
            bytes += pass.bytes
            letGo()
        }
        let isWhole = pass.after == after
        if isWhole, let known = pass.told.first(where: { $0.range == range }) { return known.piece }
        let rest = pass.items[Int(after.rawValue &- pass.after.rawValue)...]
        guard let piece = HistoryPiece(rest, range) else { return nil }
        if isWhole { pass.remember(range, piece) }
        return piece
    }

    package mutating func removeAll() { self = HistoryPasses() }
}

extension HistoryPiece {
    /// What it takes beside the events' keys and values, which it shares with the past it was made of.
    fileprivate var ownBytes: Int {
        deliveries.reduce(64) { sum, delivery in
            guard case .events(_, let events) = delivery else { return sum }
            return sum + MemoryLayout<WatchDelivery>.stride + events.count * MemoryLayout<KVEvent>.stride
        }
    }

    /// nil: there are none.
    init?(_ items: ArraySlice<RevisionEvents>, _ range: KeyRange) {
        guard let first = items.first, let last = items.last else { return nil }
        self.first = first.revision
        self.last = last.revision
        deliveries = items.compactMap { item in
            if item.events.allSatisfy({ range.contains($0.current.key) }) {
                return item.events.isEmpty ? nil : .events(revision: item.revision, item.events)
            }
            let events = item.events.filter { range.contains($0.current.key) }
            return events.isEmpty ? nil : .events(revision: item.revision, events)
        }
    }
}
