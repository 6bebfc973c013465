// How the core's output is taken so that neither readers nor the loop pay for a copy of the state.
import KVCore
import Raft
import Synchronization

extension ReplicaLoop {
    /// A reader waits for no more than so many.
    private static let entriesInPlaceMax: UInt64 = 512

    /// A change behind a snapshot copies what it touches. While nobody reads, the published one is let go meanwhile, and
    /// the first reader who comes waits until it is there again.
    func takeOutput() -> ReplicaOutput? {
        let waiting = core.raft.commitIndex.distance(after: core.state.appliedIndex)
        guard waiting > 0, waiting <= Self.entriesInPlaceMax, published.withLock({ !$0.wasRead }) else {
            return core.takeOutput()
        }
        return published.withLock { published in
            published.letGo()
            let output = core.takeOutput()
            published.publish(core.snapshot)
            return output
        }
    }
}
