// Files with keys and certificates: read whole, written atomically (temporary file, fsync, rename, fsync of the
// directory) with the mode given, 0600 unless told. It must never leave a half-written key behind.
import Glibc

/// Reading and atomic writing of small secret files.
package enum PEMFile {
    /// Files above this size are refused.
    package static let fileBytesMax = 1 << 20

    package static func read(_ path: String) throws(PKIError) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw .file(path: path, errno: errno) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .file(path: path, errno: errno) }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk.prefix(count)
            guard bytes.count <= fileBytesMax else { throw .file(path: path, errno: EFBIG) }
        }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func write(_ text: String, to path: String, mode: UInt32 = 0o600) throws(PKIError) {
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(mode))
        guard file >= 0 else { throw .file(path: temporary, errno: errno) }
        let failure = writeAll(Array(text.utf8), to: file, mode: mode)
        close(file)
        let renamed = failure == 0 ? (rename(temporary, path) == 0 ? 0 : errno) : failure
        guard renamed == 0 else {
            unlink(temporary)
            throw .file(path: path, errno: renamed)
        }
        try syncDirectory(of: path)
    }

    private static func writeAll(_ bytes: [UInt8], to file: Int32, mode: UInt32) -> Int32 {
        guard fchmod(file, mode_t(mode)) == 0 else { return errno }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return errno }
            done += count
        }
        return fsync(file) == 0 ? 0 : errno
    }

    private static func syncDirectory(of path: String) throws(PKIError) {
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .file(path: parent, errno: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .file(path: parent, errno: errno) }
    }
}
