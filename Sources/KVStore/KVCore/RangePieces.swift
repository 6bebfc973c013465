// A range served in pieces of bounded size, all of one view: what is not asked for yet is not gathered. An order other than
// the keys' needs all of it before the first piece.

/// What is left of a range. A value: whoever keeps it goes on from there, and the store goes on beside it.
package struct RangePieces: Sendable {
    package struct Piece: Hashable, Sendable {
        package var items: [KeyValue] = []
        package var isLast = false
        /// Of the whole range; said by the last piece.
        package var more = false
        package var count: Int64 = 0
    }

    /// Records that are looked at for one piece, at most. It may be empty then.
    package static let visitsMax = 10_000
    private let view: KVView
    private let request: RangeRequest
    private let bytesMax: Int
    private var next: Key
    /// Of the limit.
    private var left: Int64
    /// Records that may have to be looked at.
    private var visitsLeft: Int
    /// What an order other than the keys' has brought together, and how much of it was given.
    private var sorted: RangeResult?
    private var given = 0

    /// A piece ends with the record that reaches `bytesMax`.
    package init(_ request: RangeRequest, in view: KVView, bytesMax: Int) {
        self.view = view
        self.request = request
        self.bytesMax = bytesMax
        next = request.range.lower
        left = request.limit > 0 ? request.limit : .max
        visitsLeft = view.visits(request)
    }

    /// What the next piece looks at, at most.
    package var visits: Int { request.isSorted ? visitsLeft : min(visitsLeft, Self.visitsMax) }

    package mutating func take() -> Piece {
        if request.countOnly { return Piece(isLast: true, count: view.range(request).count) }
        return request.isSorted ? takeSorted() : takeNext()
    }

    private mutating func takeNext() -> Piece {
        var piece = Piece(isLast: true)
        var bytes = 0, visited = 0, left = left, goesOn: Key?
        view.forEach(KeyRange(lower: next, upper: request.range.upper)) { item in
            guard bytes < bytesMax, visited < Self.visitsMax else {
                goesOn = item.key
                return false
            }
            visited += 1
            guard request.admits(item) else { return true }
            piece.more = left == 0
            guard !piece.more else { return false }
            left -= 1
            piece.items.append(item)
            if request.keysOnly { piece.items[piece.items.count - 1].value = [] }
            bytes += piece.items[piece.items.count - 1].bytes
            return true
        }
        (self.left, visitsLeft) = (left, max(0, visitsLeft - visited))
        if let goesOn { (next, piece.isLast) = (goesOn, false) } else { piece.count = Int64(view.count(request.range)) }
        return piece
    }

    private mutating func takeSorted() -> Piece {
        let result = sorted ?? view.range(request)
        (sorted, visitsLeft) = (result, 0)
        var piece = Piece(), bytes = 0
        while given < result.items.count, bytes < bytesMax {
            piece.items.append(result.items[given])
            bytes += result.items[given].bytes
            given += 1
        }
        if given == result.items.count {
            piece = Piece(items: piece.items, isLast: true, more: result.more, count: result.count)
        }
        return piece
    }
}
