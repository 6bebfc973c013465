// Threads for reads that look at a lot: sorting, hashing or encoding many thousands of records on a client's event loop would hold up
// every other client of that loop. Few, so that readers do not take the processors from the replica; who comes when too many wait is
// refused.
import Glibc
import KVCore
import NIOPosix
import NetGRPC
import Synchronization

enum ReadPool {
    /// A read that looks at no more records is done where it is.
    static let lightMax = 1000
    /// So many bytes cost about what a record costs.
    static let recordBytes = 4096
    private static let threadCount = 2
    private static let waitingMax = 256
    private static let niceness: Int32 = 5
    private static let waiting = Atomic<Int>(0)
    private static let threads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: threadCount)
        pool.start()
        return pool
    }()

    /// What it costs to write these down: a few large ones are as much work as many small ones.
    static func weight(_ records: [KeyValue]) -> Int {
        max(records.count, records.reduce(0) { $0 + $1.bytes } / recordBytes)
    }

    /// Runs the body now when it looks at little, else on a thread of this pool, unless the client has gone by then.
    /// `isDone`: the body tells of what was done already, and is run here rather than refused.
    static func run(
        _ call: GRPCServerCall, visiting records: Int, isDone: Bool = false, _ body: @escaping @Sendable () -> Void
    ) {
        guard records > lightMax else { return body() }
        guard waiting.add(1, ordering: .relaxed).newValue <= waitingMax else {
            waiting.subtract(1, ordering: .relaxed)
            return isDone ? body() : call.finish(EtcdStatus.tooManyRequests)
        }
        threads.submit { state in
            waiting.subtract(1, ordering: .relaxed)
            guard case .active = state else { return call.finish(EtcdStatus.stopped) }
            // Of this thread only: that is what Linux takes 0 for. Where it is refused, nothing is lost.
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
            if !call.isClosed { body() }
        }
    }
}
