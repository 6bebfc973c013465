// Writes a bbolt file from front to back: keys come in order, full pages go on as they fill, only one entry a page is
// remembered. The first two pages tell where the tree begins and how long the file is, which is known at the end: all is
// counted first, without a byte of it being made, and then written by what was found.

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
        var keyBytes: UInt32
        var valueBytes: UInt32
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
    private let sink: (UnsafeRawBufferPointer) throws -> Void
    private var nextPage: UInt64 = 2
    /// Pages that have not gone on yet.
    private let gathered = PageBuffer(capacity: pieceBytes + BoltFormat.pageBytes)
    /// What the next leaf holds: how many elements, what is known of each unless it is only counted, and their keys and
    /// values one after the other.
    private var elementsCount = 0
    private var firstKeyBytes = 0
    private var elements: [Element] = []
    private let contents = PageBuffer()
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
    package init(_ plan: BoltPlan, to sink: @escaping (UnsafeRawBufferPointer) throws -> Void) {
        self.plan = plan
        self.sink = sink
        for page in 0..<2 {
            writeMeta(page: UInt64(page), plan)
            gathered.pad(to: (page + 1) * BoltFormat.pageBytes)
        }
    }

    private var isCounting: Bool { plan == nil }

    /// Writes a bucket; `fill` adds its keys in ascending order.
    package func bucket(_ name: String, _ fill: (BoltWriter) throws -> Void = { _ in }) throws {
        lastKey = nil
        try fill(self)
        let value = PageBuffer()
        if elementsCount == 0, children.isEmpty {
            value.put(UInt64(0))
            value.put(UInt64(0))
            value.header(page: 0, flags: BoltFormat.leafFlag, count: 0, overflow: 0)
        } else {
            value.put(try finishTree())
            value.put(UInt64(0))
        }
        buckets.append((Array(name.utf8), Array(value.bytes)))
    }

    /// The next key of the bucket.
    package func add(_ key: [UInt8], _ value: [UInt8]) throws {
        if let lastKey, !lastKey.lexicographicallyPrecedes(key) { throw BoltError("keys are out of order") }
        guard !key.isEmpty else { throw BoltError("a record without a key") }
        lastKey = key
        try append(0, key, value)
    }

    /// The next key of the bucket, of so many bytes, which must follow the last one, and its value; both are asked for
    /// only when they are written.
    @inline(__always)
    func add(keyBytes: Int, valueBytes: Int, _ write: (inout RecordWriter) -> Void) throws {
        try make(room: keyBytes, valueBytes, flags: 0)
        guard !isCounting else { return }
        guard contents.record(keyBytes + valueBytes, write) else { throw BoltError("a record of another size") }
    }

    /// Writes what is left.
    package func finish() throws -> BoltPlan {
        for bucket in buckets.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
            try append(BoltFormat.bucketElement, bucket.name, bucket.value)
        }
        let found = BoltPlan(root: try finishTree(), end: nextPage)
        if let plan, plan != found { throw BoltError("the file is \(found) and was to be \(plan)") }
        if gathered.count > 0 { try sink(gathered.bytes) }
        return found
    }

    private func writeMeta(page: UInt64, _ plan: BoltPlan) {
        gathered.header(page: page, flags: BoltFormat.metaFlag, count: 0, overflow: 0)
        let start = gathered.count
        gathered.put(BoltFormat.magic)
        gathered.put(BoltFormat.version)
        gathered.put(UInt32(BoltFormat.pageBytes))
        gathered.put(UInt32(0))
        gathered.put(plan.root)
        gathered.put(UInt64(0))
        gathered.put(BoltFormat.noFreelist)
        gathered.put(plan.end)
        gathered.put(page)
        gathered.put(BoltFormat.checksum(gathered.bytes[start...]))
    }
}

// MARK: Pages

extension BoltWriter {
    private func append(_ flags: UInt32, _ key: [UInt8], _ value: [UInt8]) throws {
        try make(room: key.count, value.count, flags: flags)
        guard !isCounting else { return }
        contents.append(key)
        contents.append(value)
    }

    /// In the leaf that is being filled, or in the next one.
    @inline(__always)
    private func make(room keyBytes: Int, _ valueBytes: Int, flags: UInt32) throws {
        let bytes = BoltFormat.elementBytes + keyBytes + valueBytes
        guard bytes < 1 << 30 else { throw BoltError("a record of \(bytes) bytes") }
        if elementsCount > 0, elementsBytes + bytes > BoltFormat.pageBytes { try flushLeaf() }
        elementsBytes += bytes
        if elementsCount == 0 { firstKeyBytes = keyBytes }
        elementsCount += 1
        guard !isCounting else { return }
        elements.append(Element(flags: flags, keyBytes: UInt32(keyBytes), valueBytes: UInt32(valueBytes)))
    }

    private func flushLeaf() throws {
        guard elementsCount > 0 else { return }
        let page = try allocate(elementsBytes) { page, overflow, out in
            out.header(page: page, flags: BoltFormat.leafFlag, count: elements.count, overflow: overflow)
            var position = UInt32(clamping: elements.count * BoltFormat.elementBytes)
            for element in elements {
                out.put(element.flags)
                out.put(position)
                out.put(element.keyBytes)
                out.put(element.valueBytes)
                // The next one's place is told from where it is itself.
                position = position + element.keyBytes + element.valueBytes - UInt32(BoltFormat.elementBytes)
            }
            out.append(contents.bytes)
        }
        let key = isCounting ? [] : Array(contents.bytes[..<firstKeyBytes])
        children.append(Child(key: key, keyBytes: firstKeyBytes, page: page))
        elements.removeAll(keepingCapacity: true)
        elementsCount = 0
        contents.removeAll()
        elementsBytes = BoltFormat.pageHeaderBytes
    }

    /// Branch pages over the leaves until one page is left: the root.
    private func finishTree() throws -> UInt64 {
        if elementsCount > 0 { try flushLeaf() }
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
            for child in below { out.append(child.key) }
        }
    }

    /// The next pages for so many bytes, filled by `body` from their number and how many more there are than one.
    private func allocate(_ bytes: Int, _ body: (UInt64, Int, PageBuffer) -> Void) throws -> UInt64 {
        let page = nextPage
        let count = max(1, (bytes + BoltFormat.pageBytes - 1) / BoltFormat.pageBytes)
        nextPage += UInt64(count)
        guard !isCounting else { return page }
        let end = gathered.count + count * BoltFormat.pageBytes
        body(page, count - 1, gathered)
        gathered.pad(to: end)
        if gathered.count >= Self.pieceBytes {
            try sink(gathered.bytes)
            gathered.removeAll()
        }
        return page
    }
}
