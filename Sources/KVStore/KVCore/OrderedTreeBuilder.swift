// A tree from records that come in key order, as a disk or a snapshot gives them: full leaves, no search, no copy. It
// must not answer a tree when they did not come in order.

/// Takes records, then is finished once.
package struct OrderedTreeBuilder {
    private var leaves: [TreeNode] = []
    private var records: [KeyValue] = []
    private var last: Key?
    private var isOrdered = true

    package init() { records.reserveCapacity(OrderedTree.widthMax) }

    package mutating func append(_ record: KeyValue) {
        if let last, !(last < record.key) { isOrdered = false }
        last = record.key
        records.append(record)
        if records.count == OrderedTree.widthMax { closeLeaf() }
    }

    private mutating func closeLeaf() {
        leaves.append(TreeNode(records: records))
        records = []
        records.reserveCapacity(OrderedTree.widthMax)
    }

    /// nil: the keys were not in order, or one came twice.
    package mutating func finish() -> OrderedTree? {
        guard isOrdered else { return nil }
        if !records.isEmpty { closeLeaf() }
        var tree = OrderedTree()
        var level = leaves.map { (smallest: $0.records[0].key, node: $0) }
        leaves = []
        while level.count > 1 { level = Self.above(level) }
        if let top = level.first { tree.root = top.node }
        return tree
    }

    /// Groups of neighbours of about the same width, so that none is too narrow.
    private static func above(_ level: [(smallest: Key, node: TreeNode)]) -> [(smallest: Key, node: TreeNode)] {
        let groups = (level.count + OrderedTree.widthMax - 1) / OrderedTree.widthMax
        return (0..<groups).map { group in
            let part = level[level.count * group / groups..<level.count * (group + 1) / groups]
            let children = part.map(\.node)
            let node = TreeNode(
                separators: part.dropFirst().map(\.smallest), children: children,
                count: children.reduce(0) { $0 + $1.count })
            return (part[part.startIndex].smallest, node)
        }
    }
}
