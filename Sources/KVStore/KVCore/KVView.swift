// An immutable snapshot of the store at one revision: what every read is served from, on any thread.
// It exists so that reads never wait for the writer. It knows no Raft: how fresh it is was decided by whoever took it.

/// The store at one revision.
package struct KVView: Sendable {
    package var revision: Revision
    package var compactRevision: Revision
    var tree: OrderedTree

    package init() {
        revision = Revision(1)
        compactRevision = .zero
        tree = OrderedTree()
    }

    init(revision: Revision, compactRevision: Revision, tree: OrderedTree) {
        self.revision = revision
        self.compactRevision = compactRevision
        self.tree = tree
    }

    package var keyCount: Int { tree.count }

    package func get(_ key: Key) -> KeyValue? { tree.get(key) }

    /// Visits records in key order; the body answers false to stop.
    package func forEach(_ range: KeyRange, _ body: (KeyValue) throws -> Bool) rethrows {
        try tree.forEach(range, body)
    }

    package func count(_ range: KeyRange) -> Int { tree.count(range) }

    /// Serves a range request at this view's revision (`request.revision` is ignored here). As in etcd, `count` is of
    /// the whole range, before bounds on revisions and before the limit.
    package func range(_ request: RangeRequest) -> RangeResult {
        let total = Int64(tree.count(request.range))
        if request.countOnly { return RangeResult(items: [], more: false, count: total) }
        let limit = request.limit > 0 ? Int(clamping: request.limit) : Int.max
        var items = request.isSorted ? sorted(request) : filtered(request, limit: limit)
        let more = items.count > limit
        if more { items.removeLast(items.count - limit) }
        if request.keysOnly { for i in items.indices { items[i].value = [] } }
        return RangeResult(items: items, more: more, count: total)
    }

    /// How many records a request looks at, at most; costs as little as a search.
    package func visits(_ request: RangeRequest) -> Int {
        if request.countOnly || request.range.single != nil { return 1 }
        let total = tree.count(request.range)
        let stopsEarly = !request.isSorted && !request.isFiltered && request.limit > 0
        return stopsEarly ? min(total, Int(clamping: request.limit)) : total
    }

    private func filtered(_ request: RangeRequest, limit: Int) -> [KeyValue] {
        var items: [KeyValue] = []
        if let key = request.range.single {
            if let item = tree.get(key), request.admits(item) { items.append(item) }
            return items
        }
        tree.forEach(request.range) { item in
            if request.admits(item) { items.append(item) }
            return items.count <= limit
        }
        return items
    }

    /// With a limit, no more than that and one are kept while looking.
    private func sorted(_ request: RangeRequest) -> [KeyValue] {
        let limit = request.limit > 0 ? Int(clamping: request.limit) : Int.max
        guard limit < tree.count(request.range) else {
            return filtered(request, limit: .max).sorted(by: request.isBefore)
        }
        var best = Best(limit + 1, request.isBefore)
        tree.forEach(request.range) { item in
            if request.admits(item) { best.offer(item) }
            return true
        }
        return best.sorted()
    }
}

/// The first few of many in an order: a heap whose top is the last of them.
private struct Best {
    private var heap: [KeyValue] = []
    private let count: Int
    private let isBefore: (KeyValue, KeyValue) -> Bool

    init(_ count: Int, _ isBefore: @escaping (KeyValue, KeyValue) -> Bool) {
        self.count = count
        self.isBefore = isBefore
    }

    mutating func offer(_ item: KeyValue) {
        if heap.count < count {
            heap.append(item)
            rise(heap.count - 1)
        } else if let top = heap.first, isBefore(item, top) {
            heap[0] = item
            sink()
        }
    }

    func sorted() -> [KeyValue] { heap.sorted(by: isBefore) }

    private mutating func rise(_ start: Int) {
        var i = start
        while i > 0, isBefore(heap[(i - 1) / 2], heap[i]) {
            heap.swapAt(i, (i - 1) / 2)
            i = (i - 1) / 2
        }
    }

    private mutating func sink() {
        var i = 0
        while true {
            var last = i
            for child in [2 * i + 1, 2 * i + 2] where child < heap.count && isBefore(heap[last], heap[child]) {
                last = child
            }
            if last == i { return }
            heap.swapAt(i, last)
            i = last
        }
    }
}

extension RangeRequest {
    var isSorted: Bool { sortTarget != .key || sortOrder == .descending }

    var isFiltered: Bool { modRevisions != nil || createRevisions != nil }

    func isBefore(_ a: KeyValue, _ b: KeyValue) -> Bool {
        let isDescending = sortOrder == .descending
        switch order(a, b) {
        case let order where order != 0: return isDescending ? order > 0 : order < 0
        default: return isDescending ? b.key < a.key : a.key < b.key
        }
    }

    func admits(_ item: KeyValue) -> Bool {
        (modRevisions.map { $0.contains(item.modRevision.rawValue) } ?? true)
            && (createRevisions.map { $0.contains(item.createRevision.rawValue) } ?? true)
    }

    /// Below, equal or above zero as `a` sorts before, with or after `b`.
    func order(_ a: KeyValue, _ b: KeyValue) -> Int {
        func compare<T: Comparable>(_ x: T, _ y: T) -> Int { x < y ? -1 : (y < x ? 1 : 0) }
        switch sortTarget {
        case .key: return compare(a.key, b.key)
        case .version: return compare(a.version, b.version)
        case .createRevision: return compare(a.createRevision, b.createRevision)
        case .modRevision: return compare(a.modRevision, b.modRevision)
        case .value: return compare(Key(a.value), Key(b.value))
        }
    }
}

/// Why a read at a revision is refused.
package enum ReadError: Error, Hashable, Sendable {
    /// History below this revision is gone.
    case compacted(Revision)
    /// The store has not reached the revision; here is where it is.
    case future(Revision)
}
