// SQLite's files on a twin of them: a virtual file system under a name of its own, registered while this value lives.
// SQLite's facts (https://www.sqlite.org/vfs.html): an open file is memory of SQLite's that begins with its methods. Its
// answers are those of the file system for Unix: sectors of 4096 bytes, neighbours of a write stay as they are, the
// directory is synced together with a new journal.

import CSQLite
import Glibc
import Synchronization

/// One registered file system.
final class TwinVFS {
    private static let made = Atomic<UInt64>(0)
    let name: String
    private let files: FileTwin
    private let entry: UnsafeMutablePointer<sqlite3_vfs>
    private let words: UnsafeMutablePointer<CChar>

    init(_ files: FileTwin) {
        self.files = files
        name = "twin-\(Self.made.add(1, ordering: .relaxed).newValue)"
        let text = name.utf8CString
        words = .allocate(capacity: text.count)
        for (place, character) in text.enumerated() { words[place] = character }
        entry = .allocate(capacity: 1)
        entry.initialize(to: sqlite3_vfs())
        entry.pointee.iVersion = 2
        entry.pointee.szOsFile = Int32(MemoryLayout<OpenTwin>.size)
        entry.pointee.mxPathname = 256
        entry.pointee.zName = UnsafePointer(words)
        entry.pointee.pAppData = Unmanaged.passUnretained(files).toOpaque()
        entry.pointee.xOpen = openTwin
        entry.pointee.xDelete = { vfs, path, isSynced in
            guard let files = twin(vfs), let path else { return SQLITE_IOERR }
            return code(files.remove(String(cString: path), isSynced: isSynced != 0), .remove)
        }
        entry.pointee.xAccess = { vfs, path, _, answer in
            guard let files = twin(vfs), let path, let answer else { return SQLITE_IOERR }
            answer.pointee = files.exists(String(cString: path)) ? 1 : 0
            return SQLITE_OK
        }
        entry.pointee.xFullPathname = { _, path, capacity, answer in
            guard let path, let answer, strlen(path) < Int(capacity) else { return SQLITE_CANTOPEN }
            strcpy(answer, path)
            return SQLITE_OK
        }
        entry.pointee.xRandomness = { vfs, count, bytes in
            twin(vfs)?.fill(UnsafeMutableRawBufferPointer(start: bytes, count: Int(count)))
            return count
        }
        entry.pointee.xSleep = { _, microseconds in microseconds }
        entry.pointee.xCurrentTime = { _, day in
            day?.pointee = 2_440_587.5
            return SQLITE_OK
        }
        entry.pointee.xCurrentTimeInt64 = { _, milliseconds in
            milliseconds?.pointee = 210_866_760_000_000
            return SQLITE_OK
        }
        entry.pointee.xGetLastError = { _, _, _ in 0 }
        sqlite3_vfs_register(entry, 0)
    }

    /// No connection may be left.
    deinit {
        sqlite3_vfs_unregister(entry)
        entry.deallocate()
        words.deallocate()
    }
}

/// What SQLite's memory of an open file holds.
private struct OpenTwin {
    var base: sqlite3_file
    var handle: Unmanaged<TwinHandle>
}

private final class TwinHandle {
    let files: FileTwin
    let file: FileTwin.File
    let name: String
    /// Whose process opened it.
    let life: Int
    /// A new journal: its first sync is the directory's too.
    var syncsNames: Bool

    init(_ files: FileTwin, _ file: FileTwin.File, _ name: String, syncsNames: Bool) {
        (self.files, self.file, self.name, self.syncsNames) = (files, file, name, syncsNames)
        life = files.life
    }

    var isOfThisLife: Bool { life == files.life }
}

private enum Deed: Int32 {
    case write = 3, sync = 4, cut = 6, remove = 10
}

/// SQLite's number for how it went; the deed says which failure it was.
private func code(_ outcome: FileTwin.Outcome, _ deed: Deed) -> Int32 {
    switch outcome {
    case .done: SQLITE_OK
    case .full: SQLITE_FULL
    case .failed: SQLITE_IOERR | deed.rawValue << 8
    }
}

private func twin(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> FileTwin? {
    guard let data = vfs?.pointee.pAppData else { return nil }
    return Unmanaged<FileTwin>.fromOpaque(data).takeUnretainedValue()
}

private func handle(_ file: UnsafeMutablePointer<sqlite3_file>?) -> TwinHandle? {
    guard let file else { return nil }
    return UnsafeMutableRawPointer(file).assumingMemoryBound(to: OpenTwin.self).pointee.handle.takeUnretainedValue()
}

private func openTwin(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ path: UnsafePointer<CChar>?,
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32, _ answer: UnsafeMutablePointer<Int32>?
) -> Int32 {
    guard let file else { return SQLITE_CANTOPEN }
    file.pointee.pMethods = nil
    guard let files = twin(vfs), let path else { return SQLITE_CANTOPEN }
    let name = String(cString: path), isNew = !files.exists(name)
    guard let found = files.open(name, makes: flags & SQLITE_OPEN_CREATE != 0) else { return SQLITE_CANTOPEN }
    let isJournal = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0
    let opened = TwinHandle(files, found, name, syncsNames: isNew && isJournal)
    UnsafeMutableRawPointer(file).initializeMemory(
        as: OpenTwin.self,
        repeating: OpenTwin(base: sqlite3_file(pMethods: twinMethods), handle: .passRetained(opened)), count: 1)
    answer?.pointee = flags
    return SQLITE_OK
}

/// Never changed after it was made.
nonisolated(unsafe) private let twinMethods: UnsafePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    methods.initialize(to: sqlite3_io_methods())
    methods.pointee.iVersion = 1
    methods.pointee.xClose = { file in
        guard let file else { return SQLITE_OK }
        let opened = UnsafeMutableRawPointer(file).assumingMemoryBound(to: OpenTwin.self)
        opened.pointee.handle.release()
        return SQLITE_OK
    }
    methods.pointee.xRead = readTwin
    methods.pointee.xWrite = { file, bytes, count, offset in
        guard let opened = handle(file), opened.isOfThisLife else { return code(.failed, .write) }
        let buffer = UnsafeRawBufferPointer(start: bytes, count: Int(count))
        return code(opened.files.write(buffer, at: Int(offset), opened.file), .write)
    }
    methods.pointee.xTruncate = { file, count in
        guard let opened = handle(file), opened.isOfThisLife else { return code(.failed, .cut) }
        return code(opened.files.cut(opened.file, to: Int(count)), .cut)
    }
    methods.pointee.xSync = { file, _ in
        guard let opened = handle(file), opened.isOfThisLife else { return code(.failed, .sync) }
        let outcome = opened.files.sync(opened.file, withNames: opened.syncsNames)
        if outcome == .done { opened.syncsNames = false }
        return code(outcome, .sync)
    }
    methods.pointee.xFileSize = { file, answer in
        answer?.pointee = Int64(handle(file)?.file.bytes.count ?? 0)
        return SQLITE_OK
    }
    methods.pointee.xLock = { _, _ in SQLITE_OK }
    methods.pointee.xUnlock = { _, _ in SQLITE_OK }
    methods.pointee.xCheckReservedLock = { _, answer in
        answer?.pointee = 0
        return SQLITE_OK
    }
    methods.pointee.xFileControl = { file, question, answer in
        guard question == SQLITE_FCNTL_HAS_MOVED, let opened = handle(file), let answer else { return SQLITE_NOTFOUND }
        answer.assumingMemoryBound(to: Int32.self).pointee = opened.files.isMoved(opened.name, opened.file) ? 1 : 0
        return SQLITE_OK
    }
    methods.pointee.xSectorSize = { _ in 4096 }
    methods.pointee.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
    return UnsafePointer(methods)
}()

/// What lies behind the end reads as zeroes, and says so.
private func readTwin(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ bytes: UnsafeMutableRawPointer?, _ count: Int32, _ offset: Int64
) -> Int32 {
    guard let opened = handle(file), let bytes else { return SQLITE_IOERR | 1 << 8 }
    let buffer = UnsafeMutableRawBufferPointer(start: bytes, count: Int(count))
    let start = Int(offset)
    if let bad = opened.file.unreadable, bad.overlaps(start..<start + buffer.count) { return SQLITE_IOERR | 1 << 8 }
    let there = max(0, min(buffer.count, opened.file.bytes.count - start))
    if there > 0 {
        opened.file.bytes.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[start..<start + there])) }
    }
    guard there < buffer.count else { return SQLITE_OK }
    for place in there..<buffer.count { buffer[place] = 0 }
    return SQLITE_IOERR | 2 << 8
}
