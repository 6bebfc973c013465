// Waiting for SIGTERM or SIGINT: a thread of its own takes them, so that nothing runs in a signal handler.
import Glibc
import Synchronization

enum Signals {
    /// Call first, before any thread exists: the signals are blocked in every later thread.
    static func block() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Returns when one of them arrives.
    static func wait() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Box(continuation))
            pthread_create(
                &thread, nil,
                { raw in
                    var set = sigset_t()
                    sigemptyset(&set)
                    sigaddset(&set, SIGTERM)
                    sigaddset(&set, SIGINT)
                    var received: Int32 = 0
                    sigwait(&set, &received)
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
