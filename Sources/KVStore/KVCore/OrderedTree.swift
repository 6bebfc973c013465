// Current state: a B+ tree of records in key order that is copied only along the path of a write (a snapshot is one
// reference). It exists so that readers on any thread keep an immutable snapshot while the one writer goes on. A node
// that more than one tree can reach is never changed: every mutation first asks whether the node is uniquely
// referenced.
import Glibc

/// A node: a leaf holds records, an inner node holds children and the smallest key of each child but the first.
/// Unchecked because it is mutable only while exactly one tree, on one thread, can reach it.
final class TreeNode: @unchecked Sendable {
    var records: [KeyValue]
    var separators: [Key]
    var children: [TreeNode]
    /// Records below.
    var count: Int

    init(records: [KeyValue]) {
        self.records = records
        separators = []
        children = []
        count = records.count
    }

    init(separators: [Key], children: [TreeNode], count: Int) {
        records = []
        self.separators = separators
        self.children = children
        self.count = count
    }

    var isLeaf: Bool { children.isEmpty }
    var width: Int { isLeaf ? records.count : children.count }

    func copy() -> TreeNode {
        if isLeaf { return TreeNode(records: records) }
        return TreeNode(separators: separators, children: children, count: count)
    }
}

/// Records in key order; copying it is O(1).
package struct OrderedTree: Sendable {
    /// A write behind a reader's snapshot copies a node of each level: narrow nodes keep that small.
    static let widthMax = 16
    static let widthMin = 4
    var root = TreeNode(records: [])

    package init() {}

    package var count: Int { root.count }

    package func get(_ key: Key) -> KeyValue? {
        var node = root
        while !node.isLeaf { node = node.children[Self.childIndex(node.separators, key)] }
        let i = Self.lowerBound(node.records, key)
        return i < node.records.count && node.records[i].key == key ? node.records[i] : nil
    }

    /// Stores the record; answers what the key held.
    @discardableResult
    package mutating func put(_ record: KeyValue) -> KeyValue? {
        var record = record
        return put(&record) { _, _ in }
    }

    /// The same; `complete` changes the record by what the key held, if it held something, in the same descent.
    mutating func put(_ record: inout KeyValue, _ complete: (inout KeyValue, KeyValue) -> Void) -> KeyValue? {
        let (previous, split) = Self.put(&root, &record, complete)
        if let split { grow(split) }
        return previous
    }

    @discardableResult
    package mutating func remove(_ key: Key) -> KeyValue? {
        guard get(key) != nil else { return nil }
        let previous = Self.remove(&root, key)
        while root.children.count == 1 { root = root.children[0] }
        return previous
    }

    private mutating func grow(_ split: Split) {
        root = TreeNode(
            separators: [split.separator], children: [root, split.right], count: root.count + split.right.count)
    }
}

// MARK: Search

extension OrderedTree {
    /// The first index whose key is not below `key`.
    static func lowerBound(_ records: [KeyValue], _ key: Key) -> Int {
        records.withUnsafeBufferPointer { records in
            key.bytes.withUnsafeBytes { bytes in
                var low = 0
                var high = records.count
                while low < high {
                    let middle = (low + high) / 2
                    if compare(records[middle].key.bytes, bytes) < 0 { low = middle + 1 } else { high = middle }
                }
                return low
            }
        }
    }

    static func childIndex(_ separators: [Key], _ key: Key) -> Int {
        separators.withUnsafeBufferPointer { separators in
            key.bytes.withUnsafeBytes { bytes in
                var low = 0
                var high = separators.count
                while low < high {
                    let middle = (low + high) / 2
                    if compare(separators[middle].bytes, bytes) > 0 { high = middle } else { low = middle + 1 }
                }
                return low
            }
        }
    }

    /// Below, equal or above zero, as `Key` orders.
    @inline(__always)
    private static func compare(_ left: borrowing [UInt8], _ right: UnsafeRawBufferPointer) -> Int {
        left.withUnsafeBytes { left in
            let count = min(left.count, right.count)
            if count > 0, let a = left.baseAddress, let b = right.baseAddress {
                let order = memcmp(a, b, count)
                if order != 0 { return Int(order) }
            }
            return left.count - right.count
        }
    }

    /// How many records have a key below `key`.
    package func rank(_ key: Key) -> Int {
        var node = root
        var rank = 0
        while !node.isLeaf {
            let index = Self.childIndex(node.separators, key)
            for i in 0..<index { rank += node.children[i].count }
            node = node.children[index]
        }
        return rank + Self.lowerBound(node.records, key)
    }

    package func count(_ range: KeyRange) -> Int {
        let upper = range.upper.map { rank($0) } ?? count
        return max(0, upper - rank(range.lower))
    }

    /// Visits the records of a range in key order until the body answers false.
    package func forEach(_ range: KeyRange, _ body: (KeyValue) throws -> Bool) rethrows {
        _ = try Self.visit(root, from: range.lower, upTo: range.upper, body)
    }

    private static func visit(
        _ node: TreeNode, from lower: Key?, upTo upper: Key?, _ body: (KeyValue) throws -> Bool
    ) rethrows -> Bool {
        if node.isLeaf {
            var i = lower.map { lowerBound(node.records, $0) } ?? 0
            while i < node.records.count {
                if let upper, !(node.records[i].key < upper) { return false }
                if try !body(node.records[i]) { return false }
                i += 1
            }
            return true
        }
        let first = lower.map { childIndex(node.separators, $0) } ?? 0
        for i in first..<node.children.count {
            if i > first, let upper, !(node.separators[i - 1] < upper) { return false }
            if try !visit(node.children[i], from: i == first ? lower : nil, upTo: upper, body) { return false }
        }
        return true
    }
}

// MARK: Change

extension OrderedTree {
    struct Split {
        var separator: Key
        var right: TreeNode
    }

    private static func put(
        _ node: inout TreeNode, _ record: inout KeyValue, _ complete: (inout KeyValue, KeyValue) -> Void
    ) -> (KeyValue?, Split?) {
        if !isKnownUniquelyReferenced(&node) { node = node.copy() }
        guard !node.isLeaf else { return putLeaf(node, &record, complete) }
        let index = childIndex(node.separators, record.key)
        let (previous, split) = put(&node.children[index], &record, complete)
        if previous == nil { node.count += 1 }
        guard let split else { return (previous, nil) }
        node.separators.insert(split.separator, at: index)
        node.children.insert(split.right, at: index + 1)
        return (previous, node.children.count > widthMax ? splitInner(node) : nil)
    }

    private static func putLeaf(
        _ node: TreeNode, _ record: inout KeyValue, _ complete: (inout KeyValue, KeyValue) -> Void
    ) -> (KeyValue?, Split?) {
        let i = lowerBound(node.records, record.key)
        if i < node.records.count, node.records[i].key == record.key {
            let previous = node.records[i]
            complete(&record, previous)
            node.records[i] = record
            return (previous, nil)
        }
        node.records.insert(record, at: i)
        node.count += 1
        return (nil, node.records.count > widthMax ? splitLeaf(node, appending: i == node.count - 1) : nil)
    }

    /// Keys that arrive in order leave full leaves behind.
    private static func splitLeaf(_ node: TreeNode, appending: Bool) -> Split {
        let middle = appending ? widthMax : node.records.count / 2
        let right = TreeNode(records: Array(node.records[middle...]))
        node.records = Array(node.records[..<middle])
        node.count = node.records.count
        return Split(separator: right.records[0].key, right: right)
    }

    private static func splitInner(_ node: TreeNode) -> Split {
        let middle = node.children.count / 2
        let children = Array(node.children[middle...])
        let count = children.reduce(0) { $0 + $1.count }
        let right = TreeNode(separators: Array(node.separators[middle...]), children: children, count: count)
        let separator = node.separators[middle - 1]
        node.children = Array(node.children[..<middle])
        node.separators = Array(node.separators[..<(middle - 1)])
        node.count -= count
        return Split(separator: separator, right: right)
    }

    /// The key must be there.
    private static func remove(_ node: inout TreeNode, _ key: Key) -> KeyValue {
        if !isKnownUniquelyReferenced(&node) { node = node.copy() }
        node.count -= 1
        if node.isLeaf { return node.records.remove(at: lowerBound(node.records, key)) }
        let index = childIndex(node.separators, key)
        let previous = remove(&node.children[index], key)
        if node.children[index].width < widthMin { mergeChild(node, index) }
        return previous
    }

    private static func mergeChild(_ node: TreeNode, _ index: Int) {
        guard node.children.count > 1 else { return }
        let left = index > 0 ? index - 1 : index
        let a = node.children[left]
        let b = node.children[left + 1]
        guard a.width + b.width <= widthMax else { return }
        let merged =
            a.isLeaf
            ? TreeNode(records: a.records + b.records)
            : TreeNode(
                separators: a.separators + [node.separators[left]] + b.separators, children: a.children + b.children,
                count: a.count + b.count)
        node.children[left] = merged
        node.children.remove(at: left + 1)
        node.separators.remove(at: left)
    }
}
