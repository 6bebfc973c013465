// The tree against the simplest model of it: a dictionary that is sorted when it is looked at.
import KVCore
import Raft
import Testing

private func record(_ key: Int, _ revision: Int64) -> KeyValue {
    let text = "key/\(key % 7)/\(key)"
    return KeyValue(
        key: Key(text), value: [UInt8(truncatingIfNeeded: revision)], createRevision: Revision(1),
        modRevision: Revision(revision), version: 1)
}

private func all(_ tree: OrderedTree, _ range: KeyRange = .all) -> [KeyValue] {
    var found: [KeyValue] = []
    tree.forEach(range) {
        found.append($0); return true
    }
    return found
}

extension KeyRange {
    fileprivate static func below(_ key: Key) -> KeyRange { KeyRange(lower: Key([]), upper: key) }
}

@Suite struct OrderedTreeTests {
    @Test(arguments: [0, 1, 16, 17, 33, 257, 5000]) func `a tree built from records in order takes changes`(count: Int)
    {
        let sorted = (0..<count).map { record($0, 1) }.sorted { $0.key < $1.key }
        var builder = OrderedTreeBuilder()
        for one in sorted { builder.append(one) }
        guard var tree = builder.finish() else { return #expect(Bool(false), "no tree of \(count) records") }
        #expect(tree.count == count && all(tree) == sorted)
        for one in sorted { #expect(tree.get(one.key) == one && tree.rank(one.key) == tree.count(.below(one.key))) }
        for one in sorted.reversed() where one.key.bytes.last != UInt8(ascii: "3") { tree.remove(one.key) }
        for i in 0..<50 { tree.put(record(i, 2)) }
        var model = Dictionary(uniqueKeysWithValues: sorted.map { ($0.key, $0) })
        for one in sorted where one.key.bytes.last != UInt8(ascii: "3") { model[one.key] = nil }
        for i in 0..<50 { model[record(i, 2).key] = record(i, 2) }
        #expect(all(tree) == model.values.sorted { $0.key < $1.key })
    }

    @Test func `records out of order make no tree`() {
        var builder = OrderedTreeBuilder()
        for i in [1, 8, 1] { builder.append(record(i, 1)) }
        #expect(builder.finish() == nil)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func `random puts and removals match a dictionary`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var tree = OrderedTree()
        var model: [Key: KeyValue] = [:]
        var old: [(tree: OrderedTree, content: [KeyValue])] = []
        for step in 0..<6000 {
            let one = record(Int.random(in: 0..<900, using: &generator), Int64(step))
            if Bool.random(using: &generator) || step < 600 {
                #expect(tree.put(one) == model.updateValue(one, forKey: one.key))
            } else {
                #expect(tree.remove(one.key) == model.removeValue(forKey: one.key))
            }
            #expect(tree.count == model.count)
            if step % 1500 == 0 { old.append((tree, all(tree))) }
        }
        let sorted = model.values.sorted { $0.key < $1.key }
        #expect(all(tree) == sorted)
        for (tree, content) in old { #expect(all(tree) == content, "an older copy changed") }
        for _ in 0..<200 {
            let a = record(Int.random(in: 0..<900, using: &generator), 0).key
            let b = record(Int.random(in: 0..<900, using: &generator), 0).key
            let range = KeyRange(lower: min(a, b), upper: max(a, b))
            let expected = sorted.filter { range.contains($0.key) }
            #expect(all(tree, range) == expected)
            #expect(tree.count(range) == expected.count)
            #expect(tree.get(a) == model[a])
        }
    }

    @Test func `an emptied tree is empty and usable`() {
        var tree = OrderedTree()
        for i in 0..<2000 { tree.put(record(i, 1)) }
        for i in 0..<2000 { tree.remove(record(i, 1).key) }
        #expect(tree.count == 0)
        #expect(all(tree).isEmpty)
        tree.put(record(5, 2))
        #expect(all(tree).count == 1)
    }

    @Test func `keys compare as bytes and prefixes end where they should`() {
        #expect(Key("a") < Key("aa"))
        #expect(Key([0x7f]) < Key([0x80]))
        #expect(!(Key([]) < Key([])))
        #expect(Key([1, 0xff]).prefixEnd == Key([2]))
        #expect(Key([0xff, 0xff]).prefixEnd == nil)
        #expect(KeyRange.prefix(Key("a/")).contains(Key("a/b")))
        #expect(!KeyRange.prefix(Key("a/")).contains(Key("a0")))
    }
}
