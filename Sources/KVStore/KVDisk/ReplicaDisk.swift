// What a replica finds at start: its directory locked, log and database opened, read and brought together into what Raft
// continues from. A log that is damaged leaves its owner without a vote. A state that is damaged is fetched from the
// others, or made anew from a log that still begins at the beginning: votes and acknowledgements rest on the log alone.
import KVCore
import Raft

/// The opened storage of one replica.
package struct ReplicaDisk: Sendable {
    /// Held for its lock; nil where the files are twins.
    private let directory: DataDirectory?
    package let log: LogStore
    package let state: StateStore
    package private(set) var restored: Restored
    package let machine: StateMachine
    /// Why the state is not what was written: another one must be fetched before anything is served.
    package let stateDamage: String?
    /// It was damaged, and the log had all of it.
    package let isStateRemade: Bool
    /// Nothing was there before.
    package let isNew: Bool

    /// Nothing was ever saved in the log.
    private let isLogNew: Bool
    /// The newest that the log knows of, or the state.
    private let lastConfiguration: Configuration

    package var isStateDamaged: Bool { stateDamage != nil }

    /// `initial`: the members of a new cluster; used only when the directory is empty. `cluster`: whose state it must be.
    /// `mayHaveBeen`: a member without whom a new cluster elects somebody; if its log is empty, that may be a loss.
    /// `reading`: how the log and its mark are read.
    package init(
        path: String, initial: Configuration, cluster: UInt64? = nil, mayHaveBeen: Bool = false,
        reading: ReadCall? = nil
    ) throws(DiskError) {
        let directory = try DataDirectory(path)
        try directory.refuseOldLog()
        let read = reading ?? FileReading.real
        let mark = try directory.openMark(read)
        let members = MembersFile(path)
        let state = try StateStore.openOrStandIn(path: directory.statePath, cluster: cluster, members: members)
        try self.init(
            state, initial: initial, directory: directory,
            anew: { () throws(DiskError) in
                try directory.setAsideState()
                return try StateStore(path: directory.statePath, cluster: cluster, members: members)
            },
            medium: { () throws(DiskError) in try LogFolder(directory.logPath, mark: mark.file, read: read) })
        if mark.wasLost { try survive(lostMark: directory) }
        if mayHaveBeen && isLogNew { try directory.markNewborn() }
        restored.isNewborn = directory.isNewborn
    }

    /// The log may be shorter than it was: as for who lost all, what the others say is what counts until it has caught up.
    private func survive(lostMark directory: DataDirectory) throws(DiskError) {
        guard lastConfiguration.allVoters.count != 1 else {
            throw .failed(
                "\(directory.markPath) cannot be read: how far the log was is not known, and no other member knows it. "
                    + "Bring back a whole copy of this directory, or restore a snapshot "
                    + "(tern snapshot restore FILE --data-dir DIR)")
        }
        try directory.markNewborn()
        try directory.replaceMark()
    }

    /// It has caught up, and that is durable.
    package func forgetNewborn() throws(DiskError) { try directory?.forgetNewborn() }

    /// On any files: what every start does. `anew`: an empty state database in place of a file that cannot be read.
    package init(
        _ state: StateStore, initial: Configuration, directory: DataDirectory? = nil,
        anew: (() throws(DiskError) -> StateStore)? = nil, medium: () throws(DiskError) -> any LogMedium
    ) throws(DiskError) {
        self.directory = directory
        var state = state, loaded = try state.load()
        let opened = try LogStore.open(try medium())
        if let anew, let reason = state.unreadable {
            // Who cannot do without it is refused before it is moved: the next start may be able to read it.
            _ = try StateStart(loaded, state.copiedMembers(), opened, initial)
            state = try anew()
            state.condemnAtStart(reason)
            loaded = try state.load()
        }
        self.state = state
        log = opened.log
        isLogNew = log.isNew
        let start = try StateStart(loaded, state.copiedMembers(), opened, initial)
        (machine, stateDamage, isStateRemade, isNew) = (start.machine, start.damage, start.isRemade, start.isNew)
        // The state says who takes part before there is anything in the log.
        if isNew { try state.create(initial) }
        if let damage = start.damage { state.condemnAtStart(damage) }
        if isStateRemade {
            state.condemnAtStart("made anew")
            try state.install(machine, start.configuration)
        }
        let applied = machine.counters.applied
        // The log is to begin behind this state: a power cut must not take it back.
        if log.term(at: applied.index) != applied.term { _ = try state.checkpoint() }
        restored = try log.restored(opened.found, applied: applied, configuration: start.configuration)
        let logged = opened.found.entries.last { $0.kind == .configuration }
        lastConfiguration = logged.flatMap { Configuration(decoding: $0.data) } ?? start.configuration
    }
}
