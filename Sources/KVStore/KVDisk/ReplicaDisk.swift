// What a replica finds at start: its directory locked, both databases opened, read and brought together into what Raft
// continues from. A log that is damaged leaves its owner without a vote; a state that is behind the log cannot be
// repaired from it and is refused.
import KVCore
import Raft

/// The opened storage of one replica.
package struct ReplicaDisk: Sendable {
    /// Held for its lock; nil where the files are twins.
    private let directory: DataDirectory?
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
        let directory = try DataDirectory(path)
        try directory.refuseOldLog()
        try self.init(
            StateStore(path: directory.statePath), initial: initial, directory: directory
        ) { () throws(DiskError) in
            try LogFolder(directory.logPath, mark: LogMarkFile(path: directory.markPath))
        }
    }

    /// On any files: what every start does.
    package init(
        _ state: StateStore, initial: Configuration, directory: DataDirectory? = nil,
        medium: () throws(DiskError) -> any LogMedium
    ) throws(DiskError) {
        self.directory = directory
        self.state = state
        let found = try state.load()
        isNew = found == nil
        if found == nil { try state.create(initial) }
        let configuration = found?.configuration ?? initial
        machine = found?.state ?? StateMachine()
        isStateDamaged = found?.isDamaged ?? false
        guard !isStateDamaged || configuration.allVoters.count > 1 else {
            throw .damaged("state.sqlite is not what was written, and there is no other member to fetch it from")
        }
        let opened = try LogStore.open(try medium())
        log = opened.log
        let applied = machine.counters.applied
        // The log is to begin behind this state: a power cut must not take it back.
        if log.term(at: applied.index) != applied.term { _ = try state.checkpoint() }
        restored = try log.restored(opened.found, applied: applied, configuration: configuration)
    }
}
