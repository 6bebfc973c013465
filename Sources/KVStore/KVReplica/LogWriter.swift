// Saves on their way to the log: whatever queued while the disk was busy is the next batch. A snapshot is installed
// before the log is reset to it. A full disk is tried again (nothing was acknowledged); any other failure ends the
// process: it is never retried.
import Glibc
import KVCore
import KVDisk
import Raft
import Synchronization

/// The log's thread.
package final class LogWriter: Sendable {
    private enum Step {
        case save(ReplicaSave)
        /// The state that is there was found to be wrong.
        case distrust
    }
    private struct Queue {
        var steps: [Step] = []
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

    package init(
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

    package func submit(_ save: ReplicaSave) { add(.save(save)) }

    /// In its turn: a state that was given before is condemned too, one that is given later takes its place.
    package func distrustState() { add(.distrust) }

    private func add(_ step: Step) {
        let isFirst = queue.withLock { queue in
            queue.steps.append(step)
            defer { queue.isScheduled = true }
            return !queue.isScheduled
        }
        if isFirst { thread.submit { [self] in drain() } }
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
    package func end(isAbandoned: Bool) -> Bool {
        self.isAbandoned.store(isAbandoned, ordering: .relaxed)
        if thread.end(within: ReplicaLoop.endSeconds) { return true }
        self.isAbandoned.store(true, ordering: .relaxed)
        return thread.end(within: 1)
    }

    private func drain() {
        while let batch = take() {
            guard !isAbandoned.load(ordering: .relaxed) else { return }
            let began = Clock.milliseconds()
            var done: (last: SaveID, count: Int)?
            guard guarded({ () throws(DiskError) in done = try perform(batch) }) else { return }
            if let done { saved(done.last, done.count, Double(Clock.milliseconds() - began) / 1000) }
        }
        guarded { () throws(DiskError) in try unlessFull { () throws(DiskError) in try log.prepare() } }
    }

    /// What can be done later is not done on a full disk.
    private func unlessFull(_ body: () throws(DiskError) -> Void) throws(DiskError) {
        do throws(DiskError) { try body() } catch {
            guard case .full = error else { throw error }
        }
    }

    private func take() -> [Step]? {
        queue.withLock { queue in
            defer { queue.steps = [] }
            queue.isScheduled = !queue.steps.isEmpty
            return queue.steps.isEmpty ? nil : queue.steps
        }
    }

    /// Answers the last save and how many there were.
    private func perform(_ batch: [Step]) throws(DiskError) -> (last: SaveID, count: Int)? {
        var plain: [Save] = []
        var done: (last: SaveID, count: Int)?
        for step in batch {
            guard case .save(let one) = step else {
                try distrust()
                continue
            }
            done = (one.raft.id, (done?.count ?? 0) + 1)
            if let machine = one.state, let snapshot = one.raft.snapshot {
                try saveRetrying(plain)
                plain = []
                try state.install(machine, snapshot.configuration) { waitForRoom() }
            }
            plain.append(one.raft)
        }
        try saveRetrying(plain)
        return done
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
