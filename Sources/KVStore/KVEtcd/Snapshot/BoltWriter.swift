// Writes a bbolt file in one pass: keys come in order, full pages go to the file as they fill, only one entry a page is
// remembered. The meta pages are written last, so a file that was not finished is not a database.
import Glibc

/// One file being written. Buckets come one after the other.
package final class BoltWriter {
    private struct Element {
        var flags: UInt32
        var keyBytes: Int
        var valueBytes: Int
    }
    private struct Child {
        var key: [UInt8]
        var page: UInt64
    }
    /// So many bytes of pages go to the file at once.
    private static let gatheredBytesMax = 1 << 20
    private let descriptor: Int32
    private var nextPage: UInt64 = 2
    /// Pages that are not in the file yet, and the number of the first.
    private var gathered = PageBytes()
    private var gatheredFrom: UInt64 = 2
    /// What the next leaf holds: the elements, and their keys and values one after the other.
    private var elements: [Element] = []
    private var contents: [UInt8] = []
    private var elementsBytes = BoltFormat.pageHeaderBytes
    private var children: [Child] = []
    private var lastKey: [UInt8]?
    private var buckets: [(name: [UInt8], value: [UInt8])] = []

    /// The descriptor stays the caller's.
    package init(descriptor: Int32) { self.descriptor = descriptor }

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

    /// Writes what is left and the meta pages; answers the size of the file.
    package func finish() throws -> Int {
        for bucket in buckets.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
            try append(BoltFormat.bucketElement, bucket.name, bucket.value)
        }
        let root = try finishTree()
        try writeGathered()
        for page in 0..<2 {
            var meta = PageBytes(bytes: BoltWriter.meta(page: UInt64(page), root: root, end: nextPage))
            meta.pad(to: BoltFormat.pageBytes)
            try write(meta.bytes, at: UInt64(page))
        }
        return Int(nextPage) * BoltFormat.pageBytes
    }

    private static func meta(page: UInt64, root: UInt64, end: UInt64) -> [UInt8] {
        var meta = PageBytes()
        meta.put(BoltFormat.magic)
        meta.put(BoltFormat.version)
        meta.put(UInt32(BoltFormat.pageBytes))
        meta.put(UInt32(0))
        meta.put(root)
        meta.put(UInt64(0))
        meta.put(BoltFormat.noFreelist)
        meta.put(end)
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
        let bytes = BoltFormat.elementBytes + key.count + value.count
        if !elements.isEmpty, elementsBytes + bytes > BoltFormat.pageBytes { try flushLeaf() }
        elements.append(Element(flags: flags, keyBytes: key.count, valueBytes: value.count))
        contents += key
        contents += value
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
            out.bytes += contents
        }
        children.append(Child(key: Array(contents[..<first.keyBytes]), page: page))
        elements.removeAll(keepingCapacity: true)
        contents.removeAll(keepingCapacity: true)
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
        children.append(Child(key: [], page: page))
    }

    private func branches(_ below: [Child]) throws -> [Child] {
        var above: [Child] = []
        var start = 0
        while start < below.count {
            var end = start
            var bytes = BoltFormat.pageHeaderBytes
            while end < below.count,
                end - start < 2
                    || bytes + BoltFormat.elementBytes + below[end].key.count
                        <= BoltFormat.pageBytes
            {
                bytes += BoltFormat.elementBytes + below[end].key.count
                end += 1
            }
            above.append(Child(key: below[start].key, page: try branch(below[start..<end], bytes)))
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
                out.put(UInt32(clamping: child.key.count))
                out.put(child.page)
                position += child.key.count
            }
            for child in below { out.bytes += child.key }
        }
    }

    /// The next pages for so many bytes, filled by `body` from their number and how many more there are than one.
    private func allocate(_ bytes: Int, _ body: (UInt64, Int, inout PageBytes) -> Void) throws -> UInt64 {
        let page = nextPage
        let count = max(1, (bytes + BoltFormat.pageBytes - 1) / BoltFormat.pageBytes)
        let end = gathered.bytes.count + count * BoltFormat.pageBytes
        body(page, count - 1, &gathered)
        gathered.pad(to: end)
        nextPage += UInt64(count)
        if gathered.bytes.count >= Self.gatheredBytesMax { try writeGathered() }
        return page
    }

    private func writeGathered() throws {
        try write(gathered.bytes, at: gatheredFrom)
        gathered.bytes.removeAll(keepingCapacity: true)
        gatheredFrom = nextPage
    }

    private func write(_ pages: [UInt8], at number: UInt64) throws {
        var done = 0
        while done < pages.count {
            let count = pages[done...].withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress, $0.count, off_t(number) * off_t(BoltFormat.pageBytes) + off_t(done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw BoltError("the snapshot cannot be written: \(String(cString: strerror(errno)))")
            }
            done += count
        }
    }
}
