// The directory that one replica owns: made with mode 0700, locked for as long as the process lives, so that two
// processes never write one log. The names of its files are decided here.
import Glibc

/// An opened and locked data directory.
package final class DataDirectory: Sendable {
    package let path: String
    private let lock: Int32

    package init(_ path: String) throws(DiskError) {
        self.path = path
        try DataDirectory.make(path)
        lock = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw .failed("\(path)/lock: errno \(errno)") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw .locked("\(path) is in use by another process")
        }
    }

    deinit { close(lock) }

    var logPath: String { path + "/raft.log" }
    var statePath: String { path + "/state.sqlite" }
    /// It can be looked at. The first one that was set aside stays, of later ones the last.
    func setAsideState() throws(DiskError) {
        let suffix = access(path + "/state.sqlite.damaged", F_OK) == 0 ? ".damaged-2" : ".damaged"
        for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
            let file = "\(path)/\(name)"
            let aside = file + suffix
            if unlink(aside) != 0, errno != ENOENT { throw .errno(aside) }
            if rename(file, aside) != 0, errno != ENOENT { throw .errno(file) }
        }
    }

    /// Makes the names in it durable.
    static func sync(_ path: String) throws(DiskError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .errno(path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .errno(path) }
    }

    var markPath: String { path + "/raft.mark" }
    private var newMarkPath: String { markPath + ".new" }

    /// One that cannot be read stays where it is, beside a new one, until it is known who else can tell.
    func openMark(_ read: @escaping ReadCall) throws(DiskError) -> (file: LogMarkFile, wasLost: Bool) {
        let mark = try LogMarkFile(path: markPath, read: read)
        guard try mark.isLost() else { return (mark, false) }
        if unlink(newMarkPath) != 0, errno != ENOENT { throw .errno(newMarkPath) }
        return (try LogMarkFile(path: newMarkPath, read: read), true)
    }

    func replaceMark() throws(DiskError) {
        guard rename(newMarkPath, markPath) == 0 else { throw .errno(newMarkPath) }
        try Self.sync(path)
    }

    /// Its owner has not caught up since it began with nothing, and may have been here before.
    private var newbornPath: String { path + "/newborn" }
    var isNewborn: Bool { access(newbornPath, F_OK) == 0 }

    /// To be said before anything is in the log.
    func markNewborn() throws(DiskError) {
        let descriptor = open(newbornPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .errno(newbornPath) }
        close(descriptor)
        try Self.sync(path)
    }

    /// If a power cut takes that back, it only has to catch up again.
    func forgetNewborn() throws(DiskError) {
        guard unlink(newbornPath) == 0 || errno == ENOENT else { throw .errno(newbornPath) }
    }

    /// With its parents; one that is there stays as it is.
    package static func make(_ path: String) throws(DiskError) {
        var made = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            made += made.isEmpty && !path.hasPrefix("/") ? String(part) : "/" + part
            if mkdir(made, 0o700) != 0, errno != EEXIST { throw .failed("\(made): errno \(errno)") }
        }
    }

    /// A log of an earlier format cannot be read, and without it this peer does not know what it voted.
    func refuseOldLog() throws(DiskError) {
        guard access(path + "/raft.sqlite", F_OK) != 0 else {
            throw .failed("\(path)/raft.sqlite is a log of an earlier format: remove the directory and join anew")
        }
    }
}
