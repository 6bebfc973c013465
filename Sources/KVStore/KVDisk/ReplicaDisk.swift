// What a replica finds at start: its directory locked, both databases opened, read and brought together into what Raft
// continues from. A log that is damaged leaves its owner without a vote; a state that is behind the log cannot be
// repaired from it and is refused.
import KVCore
import Raft

/// The opened storage of one replica.
package struct ReplicaDisk: Sendable {
    package let directory: DataDirectory
    package let log: LogStore
    package let state: StateStore
    package let restored: Restored
    package let machine: StateMachine
    /// The state is not what was written: it is not to be served, the others have a better one.
    package let isStateDamaged: Bool
    /// Nothing was there before.
    package let isNew: Bool

    /// `initial`: the members of a new cluster; used only when the directory is empty.
    package init(path: String, initial: Configuration) throws(DiskError) {
        directory = try DataDirectory(path)
        try directory.refuseOldLog()
        state = try StateStore(directory)
        let found = try state.load()
        isNew = found == nil
        if found == nil { try state.create(initial) }
        let configuration = found?.configuration ?? initial
        machine = found?.state ?? StateMachine()
        isStateDamaged = found?.isDamaged ?? false
        guard !isStateDamaged || configuration.allVoters.count > 1 else {
            throw .damaged("state.sqlite is not what was written, and there is no other member to fetch it from")
        }
        let mark = try LogMarkFile(path: directory.markPath)
        let opened = try LogStore.open(try LogFolder(directory.logPath, mark: mark))
        log = opened.log
        restored = try log.restored(
            opened.found, applied: machine.counters.applied, configuration: configuration)
    }
}
