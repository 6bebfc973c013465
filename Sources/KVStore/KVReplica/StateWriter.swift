// Applied state on its way to `state.sqlite`: in batches behind memory, one at a time, on a thread of its own; every
// few seconds a checkpoint syncs it, and only then may the log before it go.
import Glibc
import KVCore
import KVDisk
import NIOCore
import Raft
import Synchronization

/// The state's thread. Its own fields are confined to the event loop.
final class StateWriter: @unchecked Sendable {
    /// A key that is written again within this time costs the disk nothing more, and neighbours share a page.
    static let batchMilliseconds: Int64 = 2000
    /// So many revisions or bytes are written sooner: what the window of recent events forgets is on disk by then.
    static let batchRevisionsMax = EventWindow.revisionsMaxDefault / 2
    static let batchBytesMax = EventWindow.bytesMaxDefault / 4
    /// The log may grow by so much before the checkpoint that lets it go comes sooner.
    static let logGrowthBytesMax = 8 << 20
    private let batchMilliseconds: Int64
    private let checkpointMilliseconds: Int64
    private let store: StateStore
    private let eventLoop: any EventLoop
    /// Its batches are long and nobody waits for them.
    private let thread = WorkerThread("state", niceness: 5)
    private let syncs: DurationHistogram
    private let durable: @Sendable (LogIndex) -> Void
    private let failed: @Sendable (DiskError) -> Void
    private let isEnding = Atomic<Bool>(false)
    private var isBusy = false
    /// Something is written that no checkpoint has synced.
    private var isDirty = false
    private var lastWrite: Int64 = 0
    private var lastCheckpoint: Int64
    private var logBytesAtCheckpoint = 0
    private(set) var times: RevisionTimes

    /// `revision`: what the store has.
    init(
        _ store: StateStore, at revision: Revision, _ eventLoop: any EventLoop, checkpointMilliseconds: Int64,
        syncs: DurationHistogram,
        durable: @escaping @Sendable (LogIndex) -> Void,
        failed: @escaping @Sendable (DiskError) -> Void
    ) {
        self.store = store
        times = RevisionTimes(after: revision)
        self.syncs = syncs
        self.checkpointMilliseconds = checkpointMilliseconds
        batchMilliseconds = min(Self.batchMilliseconds, max(1, checkpointMilliseconds / 4))
        self.eventLoop = eventLoop
        self.durable = durable
        self.failed = failed
        lastCheckpoint = Clock.milliseconds()
    }

    /// Takes what is to be written when the thread is free and some of it has gathered. A checkpoint that is due goes
    /// first: while writes go on there is always something to write.
    func offer(_ core: inout ReplicaCore) {
        times.note(core.state.revision, at: Clock.unixMilliseconds())
        guard !isBusy else { return }
        let now = Clock.milliseconds()
        if isDirty, isCheckpointDue(now, core.raft.logBytes) {
            isDirty = false
            lastCheckpoint = now
            logBytesAtCheckpoint = core.raft.logBytes
            run(isCheckpoint: true) { [syncs] store throws(DiskError) in
                let began = Clock.seconds()
                let index = try store.checkpointIfRoom()
                if index != nil { syncs.observe(Clock.seconds() - began) }
                return index
            }
        } else if isBatchDue(now, core), let changes = changes(of: &core) {
            isDirty = true
            lastWrite = now
            run { [self] store throws(DiskError) in
                try writeRetrying(changes)
                return nil
            }
        }
    }

    /// Measured against what the log was at the last one, so that a log that is large anyway does not ask for one at once.
    private func isCheckpointDue(_ now: Int64, _ logBytes: Int) -> Bool {
        logBytesAtCheckpoint = min(logBytesAtCheckpoint, logBytes)
        return now - lastCheckpoint >= checkpointMilliseconds
            || logBytes - logBytesAtCheckpoint >= Self.logGrowthBytesMax
    }

    private func isBatchDue(_ now: Int64, _ core: borrowing ReplicaCore) -> Bool {
        guard core.hasUnsavedState else { return false }
        return now - lastWrite >= batchMilliseconds || core.state.unsavedRevisions >= Self.batchRevisionsMax
            || core.state.unsavedBytes >= Self.batchBytesMax
    }

    private func run(
        isCheckpoint: Bool = false, _ body: @escaping @Sendable (StateStore) throws(DiskError) -> LogIndex?
    ) {
        isBusy = true
        thread.submit { [self] in
            let result: Result<LogIndex?, DiskError>
            do throws(DiskError) { result = .success(try body(store)) } catch { result = .failure(error) }
            eventLoop.execute { [self] in
                isBusy = false
                switch result {
                case .success(let index):
                    if let index { durable(index) }
                    // There was no room: later will do.
                    if isCheckpoint, index == nil { isDirty = true }
                case .failure(let error): if !isEnding.load(ordering: .relaxed) { failed(error) }
                }
            }
        }
    }

    /// A full disk was rolled back: the same changes are tried until there is room. Memory serves meanwhile.
    private func writeRetrying(_ changes: StateChanges) throws(DiskError) {
        try store.write(changes) {
            usleep(100_000)
            return !isEnding.load(ordering: .relaxed)
        }
    }

    /// What was applied since it was last asked for, with its times.
    func changes(of core: inout ReplicaCore) -> StateChanges? {
        var changes = core.takeStateChanges()
        changes?.times = times.take()
        return changes
    }

    /// Writes the last changes, then ends the thread. Blocks, but not long on a disk that is full or hangs: what is not
    /// written is applied again from the log. The last changes are refused by the store where a batch before them was
    /// given up: they would leave a gap. Answers whether the thread has ended.
    func end(_ changes: StateChanges?) -> Bool {
        isEnding.store(true, ordering: .relaxed)
        if let changes {
            thread.submit { [store] in
                do throws(DiskError) {
                    try store.write(changes)
                    _ = try store.checkpoint()
                } catch {
                    return
                }
            }
        }
        return thread.end(within: ReplicaLoop.endSeconds)
    }
}
