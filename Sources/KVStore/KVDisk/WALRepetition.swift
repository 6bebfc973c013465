// What a start sees of the WAL may be on no disk: after a failed sync the kernel takes what it could not write for
// written, shows it to every process, and no later sync of the file brings it to the disk or says so. A checkpoint would
// then move it into the database and sync that; after a power cut an older part of the WAL would come back over it. So
// the process that saw the failure ends, and the next one writes the WAL again, as it sees it, and syncs it, before
// SQLite reads a byte. The database's own file needs none of that: while its sync has not succeeded, all of it is in the WAL.
// SQLite's facts: https://www.sqlite.org/fileformat2.html#the_write_ahead_log, https://www.sqlite.org/vfs.html
import CSQLite
import Glibc

struct WALRepetition {
    private static let headBytes = 32
    private static let frameHeadBytes = 24
    private static let magic: UInt32 = 0x377f_0682
    private static let pageBytesMax = 65_536
    /// So much is written at a time. SQLite's own files take less than 128 KiB at once, as no page is larger than half of that.
    private static let pieceBytes = 64 << 10

    private let file: UnsafeMutablePointer<sqlite3_file>
    private let methods: sqlite3_io_methods
    private let path: String

    /// Of the database at this path, in the named file system of SQLite's. Nothing to do when there is no WAL.
    static func run(_ databasePath: String, vfs name: String?) throws(DiskError) {
        let path = databasePath + "-wal"
        guard databasePath != ":memory:", let files = sqlite3_vfs_find(name) else { return }
        var exists: Int32 = 0
        guard files.pointee.xAccess?(files, path, SQLITE_ACCESS_EXISTS, &exists) == SQLITE_OK, exists != 0 else {
            return
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Int(files.pointee.szOsFile), alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(files.pointee.szOsFile))
        defer { memory.deallocate() }
        let file = memory.assumingMemoryBound(to: sqlite3_file.self)
        // SQLite keeps the pointer as long as the file is open.
        guard let words = strdup(path) else { throw .failed("\(path): out of memory") }
        defer { free(words) }
        let code = files.pointee.xOpen?(files, words, file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_WAL, nil)
        guard code == SQLITE_OK, let methods = file.pointee.pMethods else { throw .failed("\(path) cannot be opened") }
        defer { _ = methods.pointee.xClose?(file) }
        try WALRepetition(file: file, methods: methods.pointee, path: path).run()
    }

    private func run() throws(DiskError) {
        let end = try usedEnd()
        guard end > 0 else { return }
        var offset = 0
        while offset < end {
            var piece = [UInt8](repeating: 0, count: min(Self.pieceBytes, end - offset))
            guard try read(&piece, at: offset) else { throw .failed("\(path) became shorter") }
            let code = piece.withUnsafeBytes { methods.xWrite?(file, $0.baseAddress, Int32($0.count), Int64(offset)) }
            try check(code, "written again")
            offset += piece.count
        }
        try check(methods.xSync?(file, SQLITE_SYNC_NORMAL), "synced")
    }

    /// Where the frames of its present beginning end; what lies behind is of an earlier one. Nothing where it has none.
    private func usedEnd() throws(DiskError) -> Int {
        var size: Int64 = 0
        try check(methods.xFileSize?(file, &size), "measured")
        var head = [UInt8](repeating: 0, count: Self.headBytes)
        guard size >= Int64(Self.headBytes), try read(&head, at: 0) else { return 0 }
        let pageBytes = Int(word(head, 8))
        guard word(head, 0) & ~1 == Self.magic, pageBytes >= 512, pageBytes <= Self.pageBytesMax else { return 0 }
        let salts = head[16..<24]
        var end = Self.headBytes
        var frame = [UInt8](repeating: 0, count: Self.frameHeadBytes)
        while end + Self.frameHeadBytes + pageBytes <= Int(size), try read(&frame, at: end), frame[8..<16] == salts {
            end += Self.frameHeadBytes + pageBytes
        }
        return end
    }

    private func word(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// False: it ends before.
    private func read(_ bytes: inout [UInt8], at offset: Int) throws(DiskError) -> Bool {
        let count = Int32(bytes.count)
        let code = bytes.withUnsafeMutableBytes { methods.xRead?(file, $0.baseAddress, count, Int64(offset)) }
        if code == SQLITE_IOERR | 2 << 8 { return false }
        try check(code, "read")
        return true
    }

    private func check(_ code: Int32?, _ deed: String) throws(DiskError) {
        guard let code, code != SQLITE_OK else { return }
        switch code & 0xff {
        case SQLITE_FULL: throw .full("\(path) could not be \(deed)")
        case SQLITE_IOERR where code == SQLITE_IOERR | 1 << 8: throw .damaged("\(path) could not be \(deed)")
        default: throw .failed("\(path) could not be \(deed): \(code)")
        }
    }
}
