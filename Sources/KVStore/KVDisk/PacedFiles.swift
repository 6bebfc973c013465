// SQLite's files for Unix, with two additions. What is written to a database or its WAL is also sent on to the disk, a
// little at a time: otherwise all of it goes at the next sync, tens of megabytes before whatever the log syncs meanwhile
// on the same disk. Nothing is durable by this, and nothing is left out: SQLite's own syncs stay where they are. And a
// place that the disk does not give back is told apart from an altered one.
// SQLite's facts (https://www.sqlite.org/vfs.html): an open file is memory of SQLite's that begins with its methods.
import CSQLite
import Glibc
import Synchronization

enum PacedFiles {
    /// So much waits for the disk before a writer does.
    static let bytesMax = 256 << 10

    /// SQLite's name for these files; nil: they cannot be had, and its own will do.
    static let name: String? = register()

    /// Behind the memory of the original's open file.
    fileprivate struct Pace {
        let methods: UnsafePointer<sqlite3_io_methods>
        /// One of our own: what it is told of failed writes is told to SQLite's, too.
        let descriptor: Int32
        /// Bytes since the last time.
        var waiting = 0
        /// The file system has no such call.
        var isOff = false
    }

    fileprivate struct Original: Sendable {
        nonisolated(unsafe) let files: UnsafeMutablePointer<sqlite3_vfs>
        /// Of an open file, with room for what stands behind it at its alignment.
        let fileBytes: Int
    }

    /// Set before the first file is opened.
    fileprivate static let original: Original? = {
        guard let files = sqlite3_vfs_find(nil) else { return nil }
        let alignment = MemoryLayout<Pace>.alignment
        let bytes = (Int(files.pointee.szOsFile) + alignment - 1) / alignment * alignment
        return Original(files: files, fileBytes: bytes)
    }()

    private static func register() -> String? {
        guard let original else { return nil }
        let name = "tern-paced"
        // Both stay for as long as the process.
        let entry = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        entry.initialize(to: original.files.pointee)
        entry.pointee.pNext = nil
        entry.pointee.zName = UnsafePointer(strdup(name))
        entry.pointee.szOsFile = Int32(original.fileBytes + MemoryLayout<Pace>.size)
        entry.pointee.xOpen = openPaced
        return sqlite3_vfs_register(entry, 0) == SQLITE_OK ? name : nil
    }

    /// The original's methods with ours in three places; there are few originals.
    private static let tables = Mutex<[UInt: UInt]>([:])

    fileprivate static func methods(
        for original: UnsafePointer<sqlite3_io_methods>
    ) -> UnsafePointer<sqlite3_io_methods>? {
        let number = tables.withLock { tables in
            if let known = tables[UInt(bitPattern: original)] { return known }
            let made = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
            made.initialize(to: original.pointee)
            made.pointee.xRead = readToldApart
            made.pointee.xWrite = writePaced
            made.pointee.xClose = closePaced
            tables[UInt(bitPattern: original)] = UInt(bitPattern: made)
            return UInt(bitPattern: made)
        }
        return UnsafePointer(bitPattern: number)
    }
}

private func pace(_ file: UnsafeMutablePointer<sqlite3_file>) -> UnsafeMutablePointer<PacedFiles.Pace>? {
    guard let original = PacedFiles.original else { return nil }
    return (UnsafeMutableRawPointer(file) + original.fileBytes).assumingMemoryBound(to: PacedFiles.Pace.self)
}

private func openPaced(
    _ files: UnsafeMutablePointer<sqlite3_vfs>?, _ path: UnsafePointer<CChar>?,
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32, _ answer: UnsafeMutablePointer<Int32>?
) -> Int32 {
    guard let file, let original = PacedFiles.original, let open = original.files.pointee.xOpen else {
        return SQLITE_CANTOPEN
    }
    let code = open(original.files, path, file, flags, answer)
    let isPaced = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL) != 0
    guard code == SQLITE_OK, isPaced, let path, let own = file.pointee.pMethods,
        let methods = PacedFiles.methods(for: own), let place = pace(file)
    else { return code }
    let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    // It can be written by SQLite's own way alone.
    guard descriptor >= 0 else { return code }
    place.initialize(to: PacedFiles.Pace(methods: own, descriptor: descriptor))
    file.pointee.pMethods = methods
    return code
}

/// What the disk does not give back SQLite's own files tell in a way that its statements take for an altered page.
private func readToldApart(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ into: UnsafeMutableRawPointer?, _ count: Int32, _ offset: Int64
) -> Int32 {
    guard let file, let place = pace(file), let read = place.pointee.methods.pointee.xRead else {
        return SQLITE_IOERR
    }
    let code = read(file, into, count, offset)
    return code == SQLITE_IOERR | 33 << 8 ? SQLITE_IOERR | 1 << 8 : code
}

private func writePaced(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ bytes: UnsafeRawPointer?, _ count: Int32, _ offset: Int64
) -> Int32 {
    guard let file, let place = pace(file), let write = place.pointee.methods.pointee.xWrite else {
        return SQLITE_IOERR
    }
    let code = write(file, bytes, count, offset)
    place.pointee.waiting += Int(count)
    guard code == SQLITE_OK, place.pointee.waiting >= PacedFiles.bytesMax, !place.pointee.isOff else { return code }
    place.pointee.waiting = 0
    guard tern_file_send_on(place.pointee.descriptor) != 0, errno != EINTR else { return code }
    // A file system that has no such call.
    guard [EIO, ENOSPC, EDQUOT].contains(errno) else {
        place.pointee.isOff = true
        return code
    }
    return SQLITE_IOERR | 3 << 8
}

private func closePaced(_ file: UnsafeMutablePointer<sqlite3_file>?) -> Int32 {
    guard let file, let place = pace(file) else { return SQLITE_IOERR }
    let (methods, descriptor) = (place.pointee.methods, place.pointee.descriptor)
    let code = methods.pointee.xClose?(file) ?? SQLITE_IOERR
    // Not before: with any descriptor of a file go all of the process's locks on it.
    close(descriptor)
    return code
}
