// The file system through plain system calls: no Foundation, every failure named. Paths are absolute.
// Blocking; callers run it outside event loops.
import Glibc

/// A system call that failed.
package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    package var operation: String
    package var path: String
    package var code: Int32

    package init(_ operation: String, _ path: String, _ code: Int32 = errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package var isMissing: Bool { code == ENOENT || code == ENOTDIR }
    package var description: String { "\(operation) \(path): \(String(cString: strerror(code)))" }
}

package enum Files {
    package static let fileBytesMax = 64 << 20

    /// Makes a directory and those above it; one that is there already is fine.
    package static func makeDirectory(_ path: String, mode: mode_t = 0o755) throws(FileError) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT else { throw FileError("mkdir", path) }
        let parent = parent(of: path)
        guard parent != path, !parent.isEmpty else { throw FileError("mkdir", path, ENOENT) }
        try makeDirectory(parent, mode: 0o755)
        if mkdir(path, mode) != 0 && errno != EEXIST { throw FileError("mkdir", path) }
    }

    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    package static func lastComponent(_ path: String) -> String {
        String(path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...])
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// What stands at a path, links followed; nil when nothing does.
    package static func status(_ path: String) -> stat? {
        var found = stat()
        return stat(path, &found) == 0 ? found : nil
    }

    /// What stands at a path itself.
    package static func linkStatus(_ path: String) -> stat? {
        var found = stat()
        return lstat(path, &found) == 0 ? found : nil
    }

    package static func isDirectory(_ path: String) -> Bool {
        status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }
    package static func isRealDirectory(_ path: String) -> Bool {
        linkStatus(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }

    /// Writes the whole file, made or replaced in place; `mode` is set whatever the umask.
    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) throws(FileError) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw FileError("open", path) }
        defer { close(file) }
        try writeAll(bytes, file, path)
        guard fchmod(file, mode) == 0 else { throw FileError("chmod", path) }
    }

    package static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(FileError) {
        try write(Array(text.utf8), to: path, mode: mode)
    }

    private static func writeAll(_ bytes: [UInt8], _ file: Int32, _ path: String) throws(FileError) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileError("write", path) }
            offset += count
        }
    }

    /// The whole file, at most `limit` bytes of it.
    package static func read(_ path: String, limit: Int = fileBytesMax) throws(FileError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", path) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while bytes.count < limit {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw FileError("read", path) }
            if count == 0 { break }
            bytes += chunk[..<count].prefix(limit - bytes.count)
        }
        return bytes
    }

    package static func text(_ path: String, limit: Int = fileBytesMax) throws(FileError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Names in a directory, ordered, without `.` and `..`.
    package static func list(_ path: String) throws(FileError) -> [String] {
        guard let directory = opendir(path) else { throw FileError("opendir", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Removes a tree without following links or crossing into another file system; what is absent is fine.
    package static func removeTree(_ path: String) throws(FileError) {
        guard let found = linkStatus(path) else { return }
        try removeTree(path, found, device: found.st_dev)
    }

    private static func removeTree(_ path: String, _ found: stat, device: dev_t) throws(FileError) {
        guard found.st_mode & S_IFMT == S_IFDIR else {
            guard unlink(path) == 0 || errno == ENOENT else { throw FileError("unlink", path) }
            return
        }
        guard found.st_dev == device else { throw FileError("remove", path, EXDEV) }
        for name in try list(path) {
            let child = path + "/" + name
            if let status = linkStatus(child) { try removeTree(child, status, device: device) }
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw FileError("rmdir", path) }
    }

    package static func remove(_ path: String) throws(FileError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw FileError("unlink", path) }
    }

    package static func rename(_ from: String, to: String) throws(FileError) {
        guard Glibc.rename(from, to) == 0 else { throw FileError("rename", from) }
    }

    /// A symbolic link at `path`, in place of whatever link stood there.
    package static func link(_ target: String, at path: String) throws(FileError) {
        let temporary = path + "_tmp"
        try remove(temporary)
        guard symlink(target, temporary) == 0 else { throw FileError("symlink", temporary) }
        try rename(temporary, to: path)
    }

    package static func readLink(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), bytes.count) } ?? -1
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// The path without links and dots; nil when it does not exist.
    package static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    package static func changeMode(_ path: String, _ mode: mode_t) throws(FileError) {
        guard chmod(path, mode) == 0 else { throw FileError("chmod", path) }
    }

    package static func changeOwner(_ path: String, user: uid_t = uid_t.max, group: gid_t) throws(FileError) {
        guard lchown(path, user, group) == 0 else { throw FileError("chown", path) }
    }

    // MARK: mounts

    package static func mountTmpfs(at path: String, sizeBytes: Int64?) throws(FileError) {
        let options = sizeBytes.map { "size=\($0)" } ?? ""
        guard mount("tmpfs", path, "tmpfs", 0, options) == 0 else { throw FileError("mount tmpfs", path) }
    }

    package static func bindMount(_ source: String, at path: String) throws(FileError) {
        guard mount(source, path, nil, UInt(MS_BIND), nil) == 0 else { throw FileError("bind mount", path) }
    }

    /// Unmounts what is mounted at a path; a path that is no mount is fine.
    package static func unmount(_ path: String) throws(FileError) {
        guard umount2(path, Int32(MNT_DETACH)) == 0 || errno == EINVAL || errno == ENOENT else {
            throw FileError("umount", path)
        }
    }

    package static func isMountPoint(_ path: String) -> Bool {
        guard let own = linkStatus(path), let above = linkStatus(parent(of: path)) else { return false }
        return own.st_dev != above.st_dev
    }
}

/// The clocks of the machine, for shells only.
package enum Clock {
    /// Nanoseconds since 1970.
    package static func now() -> Nanoseconds {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * .second + Int64(time.tv_nsec)
    }
}
