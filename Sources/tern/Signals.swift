// Waiting for SIGTERM or SIGINT. A handler only counts them: the main thread of an async program is parked by the
// runtime with every signal let through, so that blocking them and waiting for them elsewhere would end the process.
import Glibc
import Synchronization

enum Signals {
    /// Counts what arrived; posting is one of the few things that a handler may do. Never freed.
    nonisolated(unsafe) private static let arrived: UnsafeMutablePointer<sem_t> = {
        let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
        return semaphore
    }()

    /// From here on they no longer end the process, but wait for `wait`.
    static func block() {
        // Made before a handler needs it.
        _ = arrived
        for number in [SIGTERM, SIGINT] { signal(number) { _ in sem_post(Signals.arrived) } }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Returns when one of them has arrived.
    static func wait() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Box(continuation))
            pthread_create(
                &thread, nil,
                { raw in
                    while sem_wait(Signals.arrived) != 0 {}
                    if let raw { Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().continuation.resume() }
                    return nil
                }, box.toOpaque())
            pthread_detach(thread)
        }
    }

    private final class Box: Sendable {
        let continuation: CheckedContinuation<Void, Never>
        init(_ continuation: CheckedContinuation<Void, Never>) { self.continuation = continuation }
    }
}
