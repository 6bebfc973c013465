// Reads the buckets of a bbolt file, mapped into memory. Whatever the file holds, every offset is checked: it answers
// records or throws, and never goes round in circles.
import Glibc

/// An opened file.
package final class BoltReader {
    private let base: UnsafeRawBufferPointer
    private let count: Int
    private let pageBytes: Int
    private let root: UInt64
    private var visits = 0

    /// `bytes`: how much of the file is the database; nil: all of it.
    package init(path: String, bytes: Int? = nil) throws(BoltError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BoltError("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_size > 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw BoltError("\(path) is empty or no file")
        }
        let size = Int(facts.st_size)
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw BoltError("\(path): \(String(cString: strerror(errno)))")
        }
        base = UnsafeRawBufferPointer(start: address, count: size)
        count = min(size, bytes ?? size)
        do throws(BoltError) { (pageBytes, root) = try BoltReader.meta(base, count) } catch {
            munmap(address, size)
            throw error
        }
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: base.baseAddress), base.count) }

    /// Every key of a bucket in order; false: there is no such bucket. The body answers false to stop.
    @discardableResult
    package func forEach(
        _ bucket: String, _ body: (_ key: [UInt8], _ value: [UInt8]) throws -> Bool
    ) throws -> Bool {
        var found: [UInt8]?
        visits = 0
        _ = try walk(root, depth: 0) { flags, key, value in
            guard flags & BoltFormat.bucketElement != 0, key.elementsEqual(bucket.utf8) else { return true }
            found = Array(value)
            return false
        }
        guard let found else { return false }
        guard found.count >= BoltFormat.bucketBytes else { throw BoltError("bucket \(bucket) is malformed") }
        let page = found.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self).littleEndian }
        if page == 0 {
            return try found.withUnsafeBytes { inline in
                let all = UnsafeRawBufferPointer(rebasing: inline[BoltFormat.bucketBytes...])
                _ = try elements(all) { _, key, value in try body(Array(key), Array(value)) }
                return true
            }
        }
        _ = try walk(page, depth: 0) { _, key, value in try body(Array(key), Array(value)) }
        return true
    }

    private typealias Visit = (UInt32, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Bool

    private func walk(_ page: UInt64, depth: Int, _ visit: Visit) throws -> Bool {
        visits += 1
        guard depth < BoltFormat.depthMax, visits <= count / pageBytes + 1 else { throw BoltError("pages in a circle") }
        let bytes = try self.page(page)
        guard number(bytes, 8, UInt16.self) & BoltFormat.branchFlag != 0 else { return try elements(bytes, visit) }
        for i in 0..<Int(number(bytes, 10, UInt16.self)) {
            let at = BoltFormat.pageHeaderBytes + i * BoltFormat.elementBytes
            guard at + BoltFormat.elementBytes <= bytes.count else { throw BoltError("page \(page) is malformed") }
            if try !walk(number(bytes, at + 8, UInt64.self), depth: depth + 1, visit) { return false }
        }
        return true
    }

    /// The page with those that continue it.
    private func page(_ page: UInt64) throws -> UnsafeRawBufferPointer {
        guard page >= 2, page < UInt64(count / pageBytes) else { throw BoltError("page \(page) is not in the file") }
        let start = Int(page) * pageBytes
        let head = UnsafeRawBufferPointer(rebasing: base[start..<(start + pageBytes)])
        let pages = Int(number(head, 12, UInt32.self)) + 1
        guard pages <= (count - start) / pageBytes, number(head, 0, UInt64.self) == page else {
            throw BoltError("page \(page) is malformed")
        }
        return UnsafeRawBufferPointer(rebasing: base[start..<(start + pages * pageBytes)])
    }

    private func elements(_ bytes: UnsafeRawBufferPointer, _ visit: Visit) throws -> Bool {
        guard bytes.count >= BoltFormat.pageHeaderBytes, number(bytes, 8, UInt16.self) & BoltFormat.leafFlag != 0 else {
            throw BoltError("a page is no leaf")
        }
        for i in 0..<Int(number(bytes, 10, UInt16.self)) {
            let at = BoltFormat.pageHeaderBytes + i * BoltFormat.elementBytes
            guard at + BoltFormat.elementBytes <= bytes.count else { throw BoltError("a leaf is malformed") }
            let start = at + Int(number(bytes, at + 4, UInt32.self))
            let middle = start + Int(number(bytes, at + 8, UInt32.self))
            let end = middle + Int(number(bytes, at + 12, UInt32.self))
            guard end <= bytes.count else { throw BoltError("a leaf is malformed") }
            let key = UnsafeRawBufferPointer(rebasing: bytes[start..<middle])
            let value = UnsafeRawBufferPointer(rebasing: bytes[middle..<end])
            if try !visit(number(bytes, at, UInt32.self), key, value) { return false }
        }
        return true
    }

    /// The better of the two meta pages: its page size and root.
    private static func meta(
        _ base: UnsafeRawBufferPointer, _ count: Int
    ) throws(BoltError) -> (pageBytes: Int, root: UInt64) {
        var best: (id: UInt64, pageBytes: Int, root: UInt64)?
        for at in [0, BoltFormat.pageBytes] {
            let start = at + BoltFormat.pageHeaderBytes
            guard start + BoltFormat.metaBytes + 8 <= count else { continue }
            let meta = UnsafeRawBufferPointer(rebasing: base[start..<(start + BoltFormat.metaBytes + 8)])
            guard number(meta, 0, UInt32.self) == BoltFormat.magic, number(meta, 4, UInt32.self) == BoltFormat.version,
                number(meta, 8, UInt32.self) == UInt32(BoltFormat.pageBytes),
                number(meta, BoltFormat.metaBytes, UInt64.self)
                    == BoltFormat.checksum(meta[..<BoltFormat.metaBytes])
            else { continue }
            let id = number(meta, 48, UInt64.self)
            if id >= best?.id ?? 0 { best = (id, BoltFormat.pageBytes, number(meta, 16, UInt64.self)) }
        }
        guard let best else { throw BoltError("it is no bbolt database with pages of \(BoltFormat.pageBytes) bytes") }
        return (best.pageBytes, best.root)
    }
}

/// A little-endian number; zero where the bytes end.
private func number<Number: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ at: Int, _ type: Number.Type
) -> Number {
    guard at >= 0, at + MemoryLayout<Number>.size <= bytes.count else { return 0 }
    return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
}
