// Files of the log: preallocated and written from front to back, so that a save is one write and one sync of data
// without a change of metadata. A segment whose entries are not needed is kept as a spare and written again. The only
// place that makes, renames and removes these files.
import Glibc

/// One open segment.
final class LogSegment: LogMediumSegment, Sendable {
    static let bytesDefault = 4 << 20
    let number: UInt64
    let path: String
    let capacity: Int
    private let descriptor: Int32
    private let call: ReadCall

    fileprivate init(
        _ number: UInt64, _ path: String, _ capacity: Int, _ descriptor: Int32, _ call: @escaping ReadCall
    ) {
        self.call = call
        self.number = number
        self.path = path
        self.capacity = capacity
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Durable when it returns. A failed sync is never tried again: what it left on disk is not known.
    func write(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
        try LogSegment.write(bytes, descriptor, offset, path)
        guard fdatasync(descriptor) == 0 else { throw .failed("\(path): fdatasync: errno \(errno)") }
    }

    fileprivate static func write(
        _ bytes: [UInt8], _ descriptor: Int32, _ offset: Int, _ path: String
    ) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                pwrite(descriptor, raw.baseAddress.map { $0 + done }, raw.count - done, off_t(offset + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw LogSegment.error(path) }
            done += count
        }
    }

    static func error(_ what: String) -> DiskError {
        let code = errno
        return code == ENOSPC || code == EDQUOT ? .full("\(what): errno \(code)") : .failed("\(what): errno \(code)")
    }

    func read() throws(DiskError) -> [UInt8] { try readable().bytes }

    func readable() throws(DiskError) -> (bytes: [UInt8], lost: Int) {
        try FileReading.bytes(of: descriptor, path, count: capacity, call)
    }
}

/// The folder of segments, and the mark beside it.
final class LogFolder: LogMedium {
    static let sparesMax = 4
    private let path: String
    private let mark: LogMarkFile
    private let call: ReadCall
    private var spares: [String] = []
    private var lastSpare = 0

    init(_ path: String, mark: LogMarkFile, read: @escaping ReadCall = FileReading.real) throws(DiskError) {
        self.path = path
        call = read
        self.mark = mark
        try makeFolder()
    }

    private func makeFolder() throws(DiskError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .failed("\(path): errno \(errno)") }
        // Its own name, and that of the mark, which is made before it.
        try DataDirectory.sync(path + "/..")
    }

    func readMark() -> [UInt8]? { mark.read() }
    func writeMark(_ bytes: [UInt8], isSynced: Bool) throws(DiskError) { try mark.write(bytes, isSynced: isSynced) }

    /// It can be looked at; a new folder takes its place.
    func setAside() throws(DiskError) {
        spares = []
        var aside = path + ".damaged"
        var number = 1
        while access(aside, F_OK) == 0 {
            number += 1
            aside = path + ".damaged-\(number)"
        }
        guard rename(path, aside) == 0 else { throw .failed("\(path): errno \(errno)") }
        try makeFolder()
    }

    /// The segments that are there, by number. Files of other names are not touched, but for spares.
    func open() throws(DiskError) -> [any LogMediumSegment] {
        guard let folder = opendir(path) else { throw .failed("\(path): errno \(errno)") }
        defer { closedir(folder) }
        var numbers: [UInt64] = []
        errno = 0
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix("spare-") { try removeFile("\(path)/\(name)") }
            if name.hasSuffix(".log"), let number = UInt64(name.dropLast(4)) { numbers.append(number) }
            errno = 0
        }
        // Without all names the log would look short.
        guard errno == 0 else { throw .failed("\(path): readdir: errno \(errno)") }
        var segments: [any LogMediumSegment] = []
        for number in numbers.sorted() { segments.append(try openSegment(number)) }
        return segments
    }

    private func name(_ number: UInt64) -> String {
        let digits = String(number)
        return "\(path)/\(String(repeating: "0", count: max(0, 16 - digits.utf8.count)))\(digits).log"
    }

    private func openSegment(_ number: UInt64) throws(DiskError) -> LogSegment {
        let file = name(number)
        let descriptor = Glibc.open(file, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw .failed("\(file): errno \(errno)") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .failed("\(file): errno \(errno)") }
        return LogSegment(number, file, Int(status.st_size), descriptor, call)
    }

    /// A segment with room for so many bytes: a spare, else a new file. Its name is durable when this returns.
    func make(_ number: UInt64, bytes: Int) throws(DiskError) -> any LogMediumSegment {
        if bytes > LogSegment.bytesDefault {
            try fill("\(path)/spare-large", bytes)
            return try adopt("\(path)/spare-large", number)
        }
        if spares.isEmpty { try prepareSpare() }
        guard let spare = spares.popLast() else { throw .failed("\(path): no spare segment") }
        return try adopt(spare, number)
    }

    private func adopt(_ spare: String, _ number: UInt64) throws(DiskError) -> LogSegment {
        guard rename(spare, name(number)) == 0 else { throw .failed("\(spare): rename: errno \(errno)") }
        try syncNames()
        return try openSegment(number)
    }

    var hasSpare: Bool { !spares.isEmpty }

    /// A file full of zeros.
    func prepareSpare() throws(DiskError) {
        lastSpare += 1
        let file = "\(path)/spare-\(lastSpare)"
        try fill(file, LogSegment.bytesDefault)
        spares.append(file)
    }

    private func fill(_ file: String, _ bytes: Int) throws(DiskError) {
        let zeros = [UInt8](repeating: 0, count: 1 << 18)
        try make(file) { descriptor throws(DiskError) in
            for offset in stride(from: 0, to: bytes, by: zeros.count) {
                try LogSegment.write(zeros, descriptor, offset, file)
            }
        }
    }

    /// Durable but for its name, or not there.
    private func make(_ file: String, _ write: (Int32) throws(DiskError) -> Void) throws(DiskError) {
        let descriptor = Glibc.open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LogSegment.error(file) }
        defer { close(descriptor) }
        do throws(DiskError) { try write(descriptor) } catch {
            unlink(file)
            throw error
        }
        guard fdatasync(descriptor) == 0 else { throw .failed("\(file): fdatasync: errno \(errno)") }
    }

    /// A page that cannot be read cannot be written in part either. The old file is kept until the next one is lost, since
    /// it may be all that is left.
    func replace(_ segment: any LogMediumSegment, with bytes: [UInt8]) throws(DiskError) -> any LogMediumSegment {
        let new = "\(path)/spare-readable", aside = "\(path)/unreadable"
        try make(new) { descriptor throws(DiskError) in try LogSegment.write(bytes, descriptor, 0, new) }
        if unlink(aside) != 0, errno != ENOENT { throw .errno(aside) }
        guard link(name(segment.number), aside) == 0 else { throw .errno(aside) }
        return try adopt(new, segment.number)
    }

    /// Nothing in it is needed; it may be written again.
    func retire(_ segment: any LogMediumSegment) throws(DiskError) {
        guard spares.count < Self.sparesMax, segment.capacity == LogSegment.bytesDefault else {
            return try removeFile(name(segment.number))
        }
        lastSpare += 1
        let file = "\(path)/spare-\(lastSpare)"
        guard rename(name(segment.number), file) == 0 else { throw .failed("\(file): rename: errno \(errno)") }
        spares.append(file)
    }

    func syncNames() throws(DiskError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .failed("\(path): errno \(errno)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .failed("\(path): fsync: errno \(errno)") }
    }

    private func removeFile(_ file: String) throws(DiskError) {
        guard unlink(file) == 0 else { throw .failed("\(file): unlink: errno \(errno)") }
    }
}
