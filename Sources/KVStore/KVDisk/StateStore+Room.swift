// A full disk is no end: what did not fit was rolled back, and is tried again until there is room.
import KVCore
import Raft
import Synchronization

extension StateStore {
    package var reusableBytes: Int { reusable.load(ordering: .relaxed) }

    func noteReusable() throws(DiskError) {
        var product = 1
        for name in ["freelist_count", "page_size"] {
            let number = try database.prepare("PRAGMA \(name)")
            defer { number.reset() }
            guard try number.step() else { return }
            product = product.multipliedReportingOverflow(by: Int(number.integer(0))).partialValue
        }
        reusable.store(max(0, product), ordering: .relaxed)
    }

    /// `wait` is asked before each further try; when it says no, the error is thrown. What filled the disk may be the
    /// WAL: once it is moved into the database, the next transaction begins it anew. That is not tried each time: pages
    /// that find no room are written in vain.
    package func write(_ changes: StateChanges, wait: () -> Bool) throws(DiskError) {
        var failures = 0
        while true {
            do throws(DiskError) { return try write(changes) } catch {
                guard case .full = error else { throw error }
                failures += 1
                if failures.nonzeroBitCount == 1 { try emptyLog() }
                guard wait() else { throw error }
            }
        }
    }

    private func emptyLog() throws(DiskError) {
        do throws(DiskError) { try locked { _ throws(DiskError) in _ = try database.checkpoint() } } catch {
            guard case .full = error else { throw error }
        }
    }

    package func install(
        _ state: StateMachine, _ configuration: Configuration, wait: () -> Bool
    ) throws(DiskError) {
        try waiting(wait) { () throws(DiskError) in try install(state, configuration) }
    }

    /// nil: there was no room; nothing is lost by it, and later will do.
    package func checkpointIfRoom() throws(DiskError) -> LogIndex? {
        do throws(DiskError) { return try checkpoint() } catch {
            guard case .full = error else { throw error }
            return nil
        }
    }

    private func waiting(_ wait: () -> Bool, _ body: () throws(DiskError) -> Void) throws(DiskError) {
        while true {
            do throws(DiskError) { return try body() } catch {
                guard case .full = error, wait() else { throw error }
            }
        }
    }
}
