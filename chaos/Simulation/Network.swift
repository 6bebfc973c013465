// The twin of the network: which way is cut or held up, and how bad the rest is.

import Raft

/// Links between hosts, by position.
struct Network {
    /// Chances out of 1000, and delays in microseconds.
    struct Quality {
        var loss: UInt64 = 0
        var duplication: UInt64 = 0
        var delayMin: UInt64 = 100
        var delayMax: UInt64 = 500
        /// Out of 1000 messages so many are late by up to `lateMax`.
        var late: UInt64 = 0
        var lateMax: UInt64 = 60_000
        static let good = Quality()
    }
    private var cuts: [Int]
    /// Nothing arrives before this, and then all of it.
    private var clogs: [UInt64]
    private let count: Int
    var quality = Quality.good

    init(count: Int) {
        self.count = count
        cuts = [Int](repeating: 0, count: count * count)
        clogs = [UInt64](repeating: 0, count: count * count)
    }

    func isCut(from: Int, to: Int) -> Bool { cuts[from * count + to] > 0 }
    func freeAt(from: Int, to: Int) -> UInt64 { clogs[from * count + to] }
    mutating func clog(from: Int, to: Int, until time: UInt64) { clogs[from * count + to] = time }

    /// Cuts count, so that overlapping faults heal one by one.
    mutating func cut(from: Int, to: Int) { cuts[from * count + to] += 1 }
    mutating func mend(from: Int, to: Int) { cuts[from * count + to] = max(0, cuts[from * count + to] - 1) }

    mutating func mendAll() {
        cuts = [Int](repeating: 0, count: count * count)
        clogs = [UInt64](repeating: 0, count: count * count)
        quality = .good
    }
}
