// The state database as shipped (SQLite, schema, folding, checkpoints, loading, installation) on a twin of its files.

import CSQLite
import KVDisk
import Synchronization

/// The database of one host, over all its lives.
package final class StateTwin {
    static let path = "state.sqlite"
    package let files: FileTwin
    package let members = MembersTwin()
    private let vfs: TwinVFS
    package private(set) var store: StateStore?
    /// So often a file that could not be read was set aside.
    private(set) var setAsides = 0
    /// Of the last operation: where the next one may be struck.
    private var stepsSeen = 8

    package init(seed: UInt64) {
        files = FileTwin(seed: seed)
        vfs = TwinVFS(files)
    }

    deinit { end() }

    /// A process begins; what it opens it must let go before the next one does.
    package func open(isStruck: Bool = false) throws(DiskError) -> StateStore {
        end()
        files.begin()
        if isStruck { files.stepsLeft = files.below(stepsSeen) }
        let store = try StateStore.open(path: StateTwin.path, vfs: vfs.name, members: members) {
            () throws(DiskError) in
            guard !files.isEnded else { throw .failed("the process has ended") }
            for name in [StateTwin.path, StateTwin.path + "-wal"] { files.empty(name) }
        }
        self.store = store
        return store
    }

    /// An empty database in place of files that cannot be read.
    func openAnew() throws(DiskError) -> StateStore {
        setAsides += 1
        for name in [StateTwin.path, StateTwin.path + "-wal"] { files.setAside(name) }
        let store = try StateStore(path: StateTwin.path, vfs: vfs.name, members: members)
        self.store = store
        return store
    }

    /// `isStruck`: the process ends at some step of it, if it has so many.
    package func perform<Result>(
        isStruck: Bool, _ body: (StateStore) throws(DiskError) -> Result
    ) throws(DiskError) -> Result {
        guard let store, !files.isEnded else { throw .failed("the process has ended") }
        let before = files.steps
        files.stepsLeft = isStruck ? files.below(stepsSeen + 2) : nil
        defer {
            stepsSeen = max(8, files.steps - before)
            files.stepsLeft = nil
        }
        let isTroubled = files.trouble != nil
        let result: Result
        do throws(DiskError) { result = try body(store) } catch {
            // As the shell does when it is told so.
            if isTroubled, files.trouble == nil { files.end() }
            throw error
        }
        if files.isEnded { throw .failed("the process has ended") }
        return result
    }

    /// The mistake: the table of records is taken to be as far as the history is.
    func forgetUnfolded() {
        end()
        files.begin()
        var handle: OpaquePointer?
        defer { sqlite3_close_v2(handle) }
        guard sqlite3_open_v2(StateTwin.path, &handle, SQLITE_OPEN_READWRITE, vfs.name) == SQLITE_OK else { return }
        sqlite3_exec(
            handle,
            """
            PRAGMA locking_mode=EXCLUSIVE;
            UPDATE folded SET revision = (SELECT max(revision) FROM history) WHERE EXISTS(SELECT 1 FROM history);
            """, nil, nil, nil)
    }

    /// The process is gone.
    package func end() {
        files.end()
        store = nil
    }

    package func losePower() {
        end()
        files.losePower()
    }
}

/// The copy of who takes part: the old or the new one is there, whatever happens.
package final class MembersTwin: MembersMedium {
    private let bytes = Mutex<[UInt8]?>(nil)

    package func read() -> [UInt8]? { bytes.withLock { $0 } }
    package func write(_ bytes: [UInt8]) throws(DiskError) { self.bytes.withLock { $0 = bytes } }
    package func replace(by other: [UInt8]?) { bytes.withLock { $0 = other } }
}
