// Writes a bbolt file from front to back: keys come in order, full pages go on as they fill, only one entry a page is
// remembered. The first two pages tell where the tree begins and how long the file is, which is known at the end: all is
// counted first, without a byte of it being made, and then written by what was found.

import NetGRPC

/// Where the tree of a file begins, and how many pages it has.
package struct BoltPlan: Hashable, Sendable {
    let root: UInt64
    let end: UInt64
    package var bytes: Int { Int(clamping: end) * BoltFormat.pageBytes }
}

/// One file being counted or written. Buckets come one after the other.
package final class BoltWriter {
    private struct Element {
        var flags: UInt32
        var keyBytes: Int
        var valueBytes: Int
    }
    private struct Child {
        /// Empty while it is counted.
        var key: [UInt8]
        var keyBytes: Int
        var page: UInt64
    }
    /// So many bytes of pages go on at once, or more where one record has more.
    package static let pieceBytes = 32 << 10
    private let plan: BoltPlan?
    private let sink: ([UInt8]) throws -> Void
    private var nextPage: UInt64 = 2
    /// Pages that have not gone on yet.
    private var gathered = PageBytes()
    /// What the next leaf holds: the elements, and their keys and values one after the other.
    private var elements: [Element] = []
    private var contents = ProtobufWriter()
    private var elementsBytes = BoltFormat.pageHeaderBytes
    private var children: [Child] = []
    private var lastKey: [UInt8]?
    private var buckets: [(name: [UInt8], value: [UInt8])] = []

    /// Nothing is made, only counted.
    package init() {
        plan = nil
        sink = { _ in }
    }

    /// The sink is given the file, piece by piece from its first byte on.
    package init(_ plan: BoltPlan, to sink: @escaping ([UInt8]) throws -> Void) {
        self.plan = plan
        self.sink = sink
        for page in 0..<2 {
            gathered.bytes += BoltWriter.meta(page: UInt64(page), plan)
            gathered.pad(to: (page + 1) * BoltFormat.pageBytes)
        }
    }

    private var isCounting: Bool { plan == nil }

    /// Writes a bucket; `fill` adds its keys in ascending order.
    package func bucket(_ name: String, _ fill: (BoltWriter) throws -> Void = { _ in }) throws {
        lastKey = nil
        try fill(self)
        var value = PageBytes()
        if elements.isEmpty, children.isEmpty {
            value.put(UInt64(0))
            value.put(UInt64(0))
            value.header(page: 0, flags: BoltFormat.leafFlag, count: 0, overflow: 0)
        } else {
            value.put(try finishTree())
            value.put(UInt64(0))
        }
        buckets.append((Array(name.utf8), value.bytes))
    }

    /// The next key of the bucket.
    package func add(_ key: [UInt8], _ value: [UInt8]) throws {
        if let lastKey, !lastKey.lexicographicallyPrecedes(key) { throw BoltError("keys are out of order") }
        guard !key.isEmpty, key.count + value.count < 1 << 30 else { throw BoltError("a record of this size") }
        lastKey = key
        try append(0, key, value)
    }

    /// The next key of the bucket, of so many bytes, which must follow the last one, and its value; both are asked for
    /// only when they are written.
    package func add(keyBytes: Int, valueBytes: Int, _ write: (inout ProtobufWriter) -> Void) throws {
        try make(room: BoltFormat.elementBytes + keyBytes + valueBytes)
        elements.append(Element(flags: 0, keyBytes: keyBytes, valueBytes: valueBytes))
        guard !isCounting else { return }
        let before = contents.bytes.count
        write(&contents)
        guard contents.bytes.count == before + keyBytes + valueBytes else {
            throw BoltError("a record of another size")
        }
    }

    /// Writes what is left.
    package func finish() throws -> BoltPlan {
        for bucket in buckets.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
            try append(BoltFormat.bucketElement, bucket.name, bucket.value)
        }
        let found = BoltPlan(root: try finishTree(), end: nextPage)
        if let plan, plan != found { throw BoltError("the file is \(found) and was to be \(plan)") }
        if !gathered.bytes.isEmpty { try sink(gathered.bytes) }
        return found
    }

    private static func meta(page: UInt64, _ plan: BoltPlan) -> [UInt8] {
        var meta = PageBytes()
        meta.put(BoltFormat.magic)
        meta.put(BoltFormat.version)
        meta.put(UInt32(BoltFormat.pageBytes))
        meta.put(UInt32(0))
        meta.put(plan.root)
        meta.put(UInt64(0))
        meta.put(BoltFormat.noFreelist)
        meta.put(plan.end)
        meta.put(page)
        meta.put(BoltFormat.checksum(meta.bytes))
        var bytes = PageBytes()
        bytes.header(page: page, flags: BoltFormat.metaFlag, count: 0, overflow: 0)
        bytes.bytes += meta.bytes
        return bytes.bytes
    }
}

// MARK: Pages

extension BoltWriter {
    private func append(_ flags: UInt32, _ key: [UInt8], _ value: [UInt8]) throws {
        try make(room: BoltFormat.elementBytes + key.count + value.count)
        elements.append(Element(flags: flags, keyBytes: key.count, valueBytes: value.count))
        guard !isCounting else { return }
        contents.raw(key)
        contents.raw(value)
    }

    /// In the leaf that is being filled, or in the next one.
    private func make(room bytes: Int) throws {
        if !elements.isEmpty, elementsBytes + bytes > BoltFormat.pageBytes { try flushLeaf() }
        elementsBytes += bytes
    }

    private func flushLeaf() throws {
        guard let first = elements.first else { return }
        let page = try allocate(elementsBytes) { page, overflow, out in
            out.header(page: page, flags: BoltFormat.leafFlag, count: elements.count, overflow: overflow)
            var position = elements.count * BoltFormat.elementBytes
            for (i, element) in elements.enumerated() {
                out.put(element.flags)
                out.put(UInt32(clamping: position - i * BoltFormat.elementBytes))
                out.put(UInt32(clamping: element.keyBytes))
                out.put(UInt32(clamping: element.valueBytes))
                position += element.keyBytes + element.valueBytes
            }
            out.bytes += contents.bytes
        }
        let key = isCounting ? [] : Array(contents.bytes[..<first.keyBytes])
        children.append(Child(key: key, keyBytes: first.keyBytes, page: page))
        elements.removeAll(keepingCapacity: true)
        contents.removeAll()
        elementsBytes = BoltFormat.pageHeaderBytes
    }

    /// Branch pages over the leaves until one page is left: the root.
    private func finishTree() throws -> UInt64 {
        if !elements.isEmpty || children.isEmpty { try flushLeaf() }
        if children.isEmpty { try writeEmptyLeaf() }
        while children.count > 1 { children = try branches(children) }
        guard let root = children.first?.page else { throw BoltError("an empty tree") }
        children = []
        return root
    }

    private func writeEmptyLeaf() throws {
        let page = try allocate(BoltFormat.pageHeaderBytes) { page, _, out in
            out.header(page: page, flags: BoltFormat.leafFlag, count: 0, overflow: 0)
        }
        children.append(Child(key: [], keyBytes: 0, page: page))
    }

    private func branches(_ below: [Child]) throws -> [Child] {
        var above: [Child] = []
        var start = 0
        while start < below.count {
            var end = start
            var bytes = BoltFormat.pageHeaderBytes
            while end < below.count,
                end - start < 2
                    || bytes + BoltFormat.elementBytes + below[end].keyBytes
                        <= BoltFormat.pageBytes
            {
                bytes += BoltFormat.elementBytes + below[end].keyBytes
                end += 1
            }
            let page = try branch(below[start..<end], bytes)
            above.append(Child(key: below[start].key, keyBytes: below[start].keyBytes, page: page))
            start = end
        }
        return above
    }

    private func branch(_ below: ArraySlice<Child>, _ bytes: Int) throws -> UInt64 {
        try allocate(bytes) { page, overflow, out in
            out.header(page: page, flags: BoltFormat.branchFlag, count: below.count, overflow: overflow)
            var position = below.count * BoltFormat.elementBytes
            for (i, child) in below.enumerated() {
                out.put(UInt32(clamping: position - i * BoltFormat.elementBytes))
                out.put(UInt32(clamping: child.keyBytes))
                out.put(child.page)
                position += child.keyBytes
            }
            for child in below { out.bytes += child.key }
        }
    }

    /// The next pages for so many bytes, filled by `body` from their number and how many more there are than one.
    private func allocate(_ bytes: Int, _ body: (UInt64, Int, inout PageBytes) -> Void) throws -> UInt64 {
        let page = nextPage
        let count = max(1, (bytes + BoltFormat.pageBytes - 1) / BoltFormat.pageBytes)
        nextPage += UInt64(count)
        guard !isCounting else { return page }
        let end = gathered.bytes.count + count * BoltFormat.pageBytes
        body(page, count - 1, &gathered)
        gathered.pad(to: end)
        if gathered.bytes.count >= Self.pieceBytes {
            try sink(gathered.bytes)
            gathered.bytes.removeAll(keepingCapacity: true)
        }
        return page
    }
}
