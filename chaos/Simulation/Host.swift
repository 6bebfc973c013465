// One simulated process: a replica and its disk. Everything that a crash takes away lives in `Life`.

import KVCore
import Raft

/// A machine that runs one replica.
struct Host {
    let id: PeerID
    let settings: RaftSettings
    let limits: ReplicaLimits
    let initialMembers: [Member]
    var disk: Disk
    var life: Life?
    /// Counts boots.
    var lives = 0
    var pausedUntil: UInt64 = 0
    var stalledUntil: UInt64 = 0

    /// What is in memory.
    struct Life {
        var core: ReplicaCore
        var waiting: [Waiting] = []
        var lastTicket: UInt64 = 0
        var diskBusy = false
        /// Its own monotonic clock began here.
        var clockBase: Int64
        /// The revision that its watch of everything has delivered.
        var watched: Revision
        var watch = WatchID(rawValue: 1)
        /// A bit of its state was flipped, when so many states had been installed.
        var flippedAt: Int?

        /// Its state is wrong and was not replaced yet.
        var isFlipped: Bool { flippedAt == core.statesInstalled }
        var raft: RaftCore { core.raft }
    }
    struct Waiting {
        var ticket: Ticket
        var request: Request
    }

    mutating func boot(seed: UInt64, now: UInt64) {
        lives += 1
        let restored = disk.restore()
        let machine = disk.state.machine
        let clock = Int64(seed % 1_000_000)
        let core = ReplicaCore(
            id: id, settings: settings, limits: limits, restored: restored, state: machine,
            initialMembers: initialMembers, seed: seed, now: clock)
        var life = Life(core: core, clockBase: clock - Int64(now / 1000), watched: machine.revision)
        life.core.watch(life.watch, .all, after: machine.revision)
        self.life = life
    }

    func clock(at now: UInt64) -> Int64 { (life?.clockBase ?? 0) + Int64(now / 1000) }
}
