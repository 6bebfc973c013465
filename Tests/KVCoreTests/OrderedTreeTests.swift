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

@Suite struct OrderedTreeTests {
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
