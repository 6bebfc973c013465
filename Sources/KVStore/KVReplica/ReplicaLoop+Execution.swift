// What the core wants executed aside runs on a thread of its own: it takes seconds, and the loop has others to answer.
import KVCore
import NIOCore

extension ReplicaLoop {
    /// Elsewhere, so that the others go on to hear from here.
    func execute(_ execution: Execution) {
        let thread = executor ?? WorkerThread("apply")
        executor = thread
        thread.submit { [self] in
            let done = execution.run()
            eventLoop.execute { [self] in
                guard !isEnded else { return }
                let before = core.state
                core.wake(at: Clock.milliseconds())
                core.executed(done)
                pump()
                // What is left of the old state goes there too.
                thread.submit { withExtendedLifetime(before) {} }
            }
        }
    }

    /// What it is busy with is not waited for: nobody wants it any more.
    func endExecution() {
        _ = executor?.end(within: 0)
        executor = nil
    }
}
