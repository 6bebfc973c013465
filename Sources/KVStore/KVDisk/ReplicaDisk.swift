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
        let opened = try ReplicaDisk.openLog(directory)
        log = opened.log
        restored = try ReplicaDisk.join(opened.found, machine, configuration, log)
    }

    /// A log without a beginning is set aside: the mark knows how far it was.
    private static func openLog(_ directory: DataDirectory) throws(DiskError) -> (log: LogStore, found: LogStore.Found)
    {
        do throws(DiskError) {
            let log = try LogStore(directory)
            return (log, try log.load())
        } catch {
            guard case .damaged = error else { throw error }
        }
        try directory.setAside(directory.logPath)
        let log = try LogStore(directory)
        return (log, try log.load())
    }

    private static func join(
        _ found: LogStore.Found, _ machine: StateMachine, _ configuration: Configuration, _ log: LogStore
    ) throws(DiskError) -> Restored {
        let applied = machine.counters.applied
        let snapshot = SnapshotMetadata(index: applied.index, term: applied.term, configuration: configuration)
        guard applied.index >= found.base.index else {
            throw .damaged("state is applied to \(applied.index), the log begins after \(found.base.index)")
        }
        let offset = Int(applied.index.distance(after: found.base.index))
        let here =
            offset == 0 ? found.base.term : (offset <= found.entries.count ? found.entries[offset - 1].term : nil)
        guard here != applied.term else {
            return Restored(
                hardState: found.hardState, snapshot: snapshot, base: found.base, entries: found.entries,
                voteMark: found.voteMark)
        }
        try log.resetDurably(to: applied)
        return Restored(
            hardState: found.hardState, snapshot: snapshot, base: applied, entries: [], voteMark: found.voteMark)
    }
}
