// A thread that runs jobs one after the other: for what blocks (the disk), so that the loop never does.
// It has no state of its own; what a job touches is confined to it by its owner.
import Glibc
import Synchronization

/// A thread with a queue of jobs.
final class WorkerThread: Sendable {
    private struct Queue {
        var jobs: [@Sendable () -> Void] = []
        var isEnding = false
    }
    private let queue = Mutex(Queue())
    private let wakeups: Semaphore
    private let ended: Semaphore

    /// `name`: what the system shows for it; 15 bytes at most. `niceness`: what others who wait for a processor have
    /// before it.
    init(_ name: String, niceness: Int32 = 0) {
        wakeups = Semaphore()
        ended = Semaphore()
        let box = Unmanaged.passRetained(
            Body { [self] in
                WorkerThread.setName(name)
                if niceness > 0 { WorkerThread.giveWay(niceness) }
                run()
            })
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let body = Unmanaged<Body>.fromOpaque(raw).takeRetainedValue()
                body.run()
                return nil
            }, box.toOpaque())
        precondition(code == 0, "pthread_create: \(code)")
        pthread_detach(thread)
    }

    /// What tools show for the present thread; without it they show its maker's.
    private static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        write(file, name, name.utf8.count)
        close(file)
    }

    /// Of the present thread only: that is what Linux takes 0 for. Where it is refused, nothing is lost.
    private static func giveWay(_ niceness: Int32) {
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
    }

    func submit(_ job: @escaping @Sendable () -> Void) {
        queue.withLock { $0.jobs.append(job) }
        wakeups.signal()
    }

    /// Runs what is queued, then ends. Answers whether it has within so many seconds; when not, it may be asked again.
    /// Never called from the thread itself.
    func end(within seconds: Int) -> Bool {
        queue.withLock { $0.isEnding = true }
        wakeups.signal()
        return ended.wait(seconds: seconds)
    }

    private func run() {
        while true {
            wakeups.wait()
            let (jobs, isEnding) = queue.withLock { queue in
                defer { queue.jobs = [] }
                return (queue.jobs, queue.isEnding)
            }
            for job in jobs { job() }
            if isEnding { break }
        }
        ended.signal()
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// A counting semaphore of the operating system. Unchecked: `sem_t` is made for many threads.
final class Semaphore: @unchecked Sendable {
    private let handle: UnsafeMutablePointer<sem_t>

    init() {
        handle = .allocate(capacity: 1)
        sem_init(handle, 0, 0)
    }

    deinit {
        sem_destroy(handle)
        handle.deallocate()
    }

    func signal() { sem_post(handle) }
    func wait() { while sem_wait(handle) != 0, errno == EINTR {} }

    /// False: nobody signalled in time.
    func wait(seconds: Int) -> Bool {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += seconds
        while sem_timedwait(handle, &until) != 0 { if errno != EINTR { return false } }
        return true
    }
}
