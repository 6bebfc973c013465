// One simulated process: a peer, its disk and its state machine, obeying `Ready` in the documented order. It stands for the
// shell; everything that a crash takes away lives in `Life`.

import Raft

/// A machine that runs one peer.
struct Host {
    let id: PeerID
    let settings: RaftSettings
    var disk: Disk
    var life: Life?
    /// Counts boots.
    var lives = 0
    var pausedUntil: UInt64 = 0
    var stalledUntil: UInt64 = 0

    /// What is in memory.
    struct Life {
        var raft: RaftCore
        var machine: Machine
        var writes: [PendingWrite] = []
        var reads: [PendingRead] = []
        /// A snapshot that arrived whole.
        var arrived: Machine?
        var lastRead: UInt64 = 0
        var diskBusy = false
    }
    struct PendingWrite {
        var appended: EntryID
        var request: Request
    }
    struct PendingRead {
        var id: ReadID
        var request: Request
        var index: LogIndex?
    }

    init(id: PeerID, settings: RaftSettings, configuration: Configuration) {
        self.id = id
        self.settings = settings
        disk = Disk(configuration: configuration)
    }

    mutating func boot(seed: UInt64) {
        lives += 1
        disk.resetLogBehindState()
        let restored = disk.restored
        life = Life(raft: RaftCore(id: id, settings: settings, restored: restored, seed: seed), machine: disk.state)
    }
}
