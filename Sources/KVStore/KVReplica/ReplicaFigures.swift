// What monitoring wants to know and the replica's status does not say: how long the disk took, and what goes between
// members. Written by the disk's threads and the connections, read by whoever renders metrics; a lock for a few
// additions where the disk or a clock was asked anyway, plain atomic counts where bytes go by.
import Raft
import Synchronization

/// How often something took how long.
package final class DurationHistogram: Sendable {
    /// `buckets[i]`: observations of at most `bounds[i]` seconds and more than the bound before.
    package struct Counts: Hashable, Sendable {
        package var buckets: [UInt64]
        package var sum = 0.0
        package var count: UInt64 = 0
    }

    /// Seconds, ascending.
    package let bounds: [Double]
    private let state: Mutex<Counts>

    /// From 0.1 ms to 3 s, for networks.
    package static let roundTripBounds = doubling(from: 0.0001, count: 16)
    /// From 1 ms to 8 s, for disks.
    package static let syncBounds = doubling(from: 0.001, count: 14)

    package init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(Counts(buckets: [UInt64](repeating: 0, count: bounds.count)))
    }

    private static func doubling(from first: Double, count: Int) -> [Double] {
        (0..<count).map { first * Double(1 << $0) }
    }

    package func observe(_ seconds: Double) {
        let bucket = bounds.firstIndex { seconds <= $0 }
        state.withLock { counts in
            if let bucket { counts.buckets[bucket] += 1 }
            counts.sum += seconds
            counts.count += 1
        }
    }

    package var counts: Counts { state.withLock { $0 } }
}

/// What went to and came from one other member since the start of the process.
package final class PeerTally: Sendable {
    package let sentBytes = Atomic<UInt64>(0)
    package let receivedBytes = Atomic<UInt64>(0)
    /// Messages that were dropped: not connected, or too much was waiting.
    package let sentFailures = Atomic<UInt64>(0)
    package let isConnected = Atomic<Bool>(false)
    /// As the kernel measures them on the connection, one observation each time somebody looks at the figures.
    package let roundTrips = DurationHistogram(bounds: DurationHistogram.roundTripBounds)
}

/// Of one replica.
package final class ReplicaFigures: Sendable {
    /// Saves of the log, each with its sync.
    package let logSyncs = DurationHistogram(bounds: DurationHistogram.syncBounds)
    /// Checkpoints of the state, each with its sync.
    package let stateSyncs = DurationHistogram(bounds: DurationHistogram.syncBounds)
    private let tallies = Mutex<[PeerID: PeerTally]>([:])

    package var peers: [(id: PeerID, tally: PeerTally)] {
        tallies.withLock { $0.map { ($0.key, $0.value) } }.sorted { $0.id < $1.id }
    }

    /// Made when it is asked for first.
    func tally(_ peer: PeerID) -> PeerTally {
        tallies.withLock { tallies in
            if let known = tallies[peer] { return known }
            let made = PeerTally()
            tallies[peer] = made
            return made
        }
    }

    func forget(_ peer: PeerID) { tallies.withLock { _ = $0.removeValue(forKey: peer) } }
}
