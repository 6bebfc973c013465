// Saves on their way to the log: whatever queued while the disk was busy is the next batch. A snapshot is installed
// before the log is reset to it. A full disk is tried again (nothing was acknowledged); any other failure ends the
// process: it is never retried.
import Glibc
import KVCore
import KVDisk
import Raft
import Synchronization

/// The log's thread.
final class LogWriter: Sendable {
    private struct Queue {
        var saves: [ReplicaSave] = []
        var isScheduled = false
    }
    private let log: LogStore
    private let state: StateStore
    private let thread = WorkerThread("log")
    private let syncs: DurationHistogram
    private let queue = Mutex(Queue())
    private let saved: @Sendable (SaveID, _ count: Int, _ seconds: Double) -> Void
    private let failed: @Sendable (DiskError) -> Void
    private let isAbandoned = Atomic<Bool>(false)
    private let mustDistrust = Atomic<Bool>(false)

    init(
        log: LogStore, state: StateStore, syncs: DurationHistogram,
        saved: @escaping @Sendable (SaveID, Int, Double) -> Void,
        failed: @escaping @Sendable (DiskError) -> Void
    ) {
        self.log = log
        self.state = state
        self.syncs = syncs
        self.saved = saved
        self.failed = failed
    }

    func submit(_ save: ReplicaSave) {
        let isFirst = queue.withLock { queue in
            queue.saves.append(save)
            defer { queue.isScheduled = true }
            return !queue.isScheduled
        }
        if isFirst { thread.submit { [self] in drain() } }
    }

    /// Before any state that is installed later, also when batches are being saved one after the other.
    func distrustState() {
        mustDistrust.store(true, ordering: .releasing)
        thread.submit { [self] in
            guard !isAbandoned.load(ordering: .relaxed) else { return }
            guarded { () throws(DiskError) in try distrustIfTold() }
        }
    }

    private func distrustIfTold() throws(DiskError) {
        if mustDistrust.exchange(false, ordering: .acquiringAndReleasing) { try distrust() }
    }

    private func distrust() throws(DiskError) {
        while true {
            do throws(DiskError) { return try state.distrust() } catch {
                guard case .full = error, waitForRoom() else { throw error }
            }
        }
    }

    func compact(to index: LogIndex) {
        thread.submit { [self] in
            guard !isAbandoned.load(ordering: .relaxed) else { return }
            guarded { () throws(DiskError) in try unlessFull { () throws(DiskError) in try log.compact(to: index) } }
        }
    }

    /// `isAbandoned`: what is queued is not done, as in a crash. A disk that is full or hangs is not waited for: nothing of
    /// it was acknowledged. Answers whether the thread has ended.
    func end(isAbandoned: Bool) -> Bool {
        self.isAbandoned.store(isAbandoned, ordering: .relaxed)
        if thread.end(within: ReplicaLoop.endSeconds) { return true }
        self.isAbandoned.store(true, ordering: .relaxed)
        return thread.end(within: 1)
    }

    private func drain() {
        while let batch = take() {
            guard !isAbandoned.load(ordering: .relaxed) else { return }
            let began = Clock.milliseconds()
            let isSaved = guarded { () throws(DiskError) in
                try distrustIfTold()
                try save(batch)
            }
            guard isSaved else { return }
            if let last = batch.last { saved(last.raft.id, batch.count, Double(Clock.milliseconds() - began) / 1000) }
        }
        guarded { () throws(DiskError) in try unlessFull { () throws(DiskError) in try log.prepare() } }
    }

    /// What can be done later is not done on a full disk.
    private func unlessFull(_ body: () throws(DiskError) -> Void) throws(DiskError) {
        do throws(DiskError) { try body() } catch {
            guard case .full = error else { throw error }
        }
    }

    private func take() -> [ReplicaSave]? {
        queue.withLock { queue in
            defer { queue.saves = [] }
            queue.isScheduled = !queue.saves.isEmpty
            return queue.saves.isEmpty ? nil : queue.saves
        }
    }

    private func save(_ batch: [ReplicaSave]) throws(DiskError) {
        var plain: [Save] = []
        for one in batch {
            if let machine = one.state, let snapshot = one.raft.snapshot {
                try saveRetrying(plain)
                plain = []
                try state.install(machine, snapshot.configuration) { waitForRoom() }
            }
            plain.append(one.raft)
        }
        try saveRetrying(plain)
    }

    /// A full disk was rolled back: the same batch may be tried until there is room.
    private func saveRetrying(_ saves: [Save]) throws(DiskError) {
        guard !saves.isEmpty else { return }
        while true {
            do throws(DiskError) {
                let began = Clock.seconds()
                try log.save(saves)
                return syncs.observe(Clock.seconds() - began)
            } catch {
                guard case .full = error, waitForRoom() else { throw error }
            }
        }
    }

    /// False: it is not wanted any more.
    private func waitForRoom() -> Bool {
        guard !isAbandoned.load(ordering: .relaxed) else { return false }
        usleep(200_000)
        return true
    }

    @discardableResult
    private func guarded(_ body: () throws(DiskError) -> Void) -> Bool {
        do throws(DiskError) {
            try body()
            return true
        } catch {
            // What is abandoned may fail.
            if !isAbandoned.load(ordering: .relaxed) { failed(error) }
            return false
        }
    }
}

/// The machine's monotonic clock.
enum Clock {
    /// Time in which the machine slept counts: promises end meanwhile.
    static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }

    static func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// The wall clock: told to people, never used to decide anything.
    static func unixMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}
