// How hostile the world of one seed is: drawn once, so that some seeds see a small quiet cluster and others the worst
// of weathers.

import KVCore
import Raft

/// Which worlds are drawn.
package enum Weather: String, CaseIterable, Sendable {
    /// All kinds.
    case mixed
    /// Only the kind that breaks leaders at once.
    case storm
    /// Elections faster than the network.
    case fog
    /// Logs that are damaged at nearly every crash, one at a time.
    case rot
    /// Leaders that read by lease, cut off while those who promised are tried.
    case siege
}

/// How hostile a seed's world is.
struct Plan {
    var voters: Int
    var hosts: Int
    var clients: Int
    var settings = RaftSettings()
    var limits = ReplicaLimits()
    var quality = Network.Quality()
    /// Microseconds between faults, on average.
    var faultEvery: UInt64
    /// Out of 1000 new leaders so many are struck at once.
    var ambush: UInt64
    /// Microseconds of one disk write.
    var diskMin: UInt64
    var diskMax: UInt64
    var hasSlowDisks = false
    /// That clients write; above 16 the store's tree has more than one leaf.
    var keys = 6

    /// Out of 1000 crashes so many damage the log, where the protocol can survive it.
    var damage: UInt64 = 120

    /// Out of 1000 saves that replace entries so many are torn, or end before.
    var aim: UInt64 = 100
    /// Out of 1000 faults so many bring a newer program; some hosts have the older one then.
    var upgrades: UInt64 = 0
    /// Out of 1000 faults so many are betrayals.
    var betrayals: UInt64 = 20

    /// The longest time until a crashed host or a cut link is back.
    var repairMax: UInt64 = 3_000_000
    /// The place of the voter that keeps no commands, if one does.
    var witness: Int?
    /// Out of 1000 faults so many copy a data directory, or bring an older copy back.
    var copies: UInt64 = 0
    /// Out of 1000 faults so many are flipped bits in memory, apart from those that come anyway.
    var flips: UInt64 = 0
    /// Out of 1000 times that there is more to apply so many other things come first.
    var putOff: UInt64 = 0
    /// Reads by lease; one member may not know of them.
    var leases: LeasePlan?
    /// How soon an ambush strikes.
    var ambushMax: UInt64 = 25_000

    init(weather: Weather, using random: inout SeededGenerator) {
        func pick(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &random) }
        voters = Int(pick(0...9) == 0 ? pick(6...7) : pick(1...5))
        hosts = voters + Int(pick(0...2))
        clients = Int(pick(2...6))
        faultEvery = pick(150_000...1_500_000)
        ambush = pick(0...2) == 0 ? pick(200...800) : pick(0...50)
        diskMin = pick(20...200)
        diskMax = diskMin + pick(100...8_000)
        if pick(0...3) > 0 {
            quality.loss = pick(0...120)
            quality.duplication = pick(0...80)
            quality.late = pick(0...80)
        }
        quality.delayMin = pick(50...500)
        quality.delayMax = quality.delayMin + pick(50...6_000)
        settings.appendBytesMax = Int(pick(0...2) == 0 ? pick(10...90) : pick(100...4_000))
        settings.inflightMessagesMax = Int(pick(1...32))
        settings.applyBytesMax = Int(pick(60...4_000))
        settings.uncommittedBytesMax = Int(pick(500...100_000))
        settings.readRoundsMax = Int(pick(1...4))
        settings.saveStallTicks = Int(pick(20...60))
        limits.logTailEntries = pick(1...40)
        limits.hashEntries = pick(3...40)
        limits.compaction = .age(milliseconds: Int64(pick(500...20_000)))
        limits.holdMilliseconds = Int64(pick(200...2_000))
        limits.answerMilliseconds = limits.holdMilliseconds + Int64(pick(100...3_000))
        limits.resendMilliseconds = Int64(pick(100...1_000))
        settings.promotionLagMax = pick(2...100)
        settings.appliesBeforeSave = pick(0...2) == 0
        if pick(0...2) == 0 { upgrades = pick(50...400) }
        let isStorm = pick(0...7) == 0
        if isStorm || weather == .storm { becomeStorm(pick) }
        if weather == .fog { becomeFog(pick) }
        if weather == .rot { becomeRot(pick) }
        if weather == .siege { becomeSiege(pick) }
    }

    /// Drawn apart from the rest, which therefore is the same with and without.
    mutating func drawWitness(seed: UInt64, _ weather: Weather) {
        var random = SeededGenerator(seed: seed ^ 0x5eed_5eed_5eed_5eed)
        func pick(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &random) }
        if pick(0...2) == 0 { copies = pick(100...500) }
        // One kind of damage at a time.
        if weather == .rot { copies = 0 }
        if voters > Configuration.dataVotersMin, pick(0...2) == 0 {
            witness = Int(pick(0...UInt64(voters - 1)))
        } else if voters >= Configuration.dataVotersMin, hosts > voters, pick(0...2) == 0 {
            // A stranger that may join.
            witness = voters
        }
    }

    /// Apart, too: sessions that end while their clients are paused or cut off.
    mutating func drawSessions(seed: UInt64) {
        var random = SeededGenerator(seed: seed ^ 0x1d1e_1d1e_1d1e_1d1e)
        guard UInt64.random(in: 0...2, using: &random) == 0 else { return }
        limits.sessionIdleMilliseconds = 2 * limits.answerMilliseconds + Int64.random(in: 0...5_000, using: &random)
    }

    /// Apart, too: memory that fails.
    mutating func drawFlips(seed: UInt64, _ planted: PlantedBug?) {
        var random = SeededGenerator(seed: seed ^ 0xf11b_f11b_f11b_f11b)
        guard UInt64.random(in: 0...1, using: &random) == 0 || planted == .forgetsVerdict else { return }
        flips = UInt64.random(in: 200...500, using: &random)
    }

    /// Apart, too: snapshots in many pieces.
    mutating func drawPieces(seed: UInt64) {
        var random = SeededGenerator(seed: seed ^ 0x0b17_50f1_70b1_7e5e)
        guard UInt64.random(in: 0...3, using: &random) > 0 else { return }
        limits.snapshotPieceBytes = Int.random(in: 40...1_000, using: &random)
    }

    /// Apart, too: so little room in memory for the recent past that watches and reads need the database.
    mutating func drawWindows(seed: UInt64, _ planted: PlantedBug?) {
        var random = SeededGenerator(seed: seed ^ 0x3149_d035_3149_d035)
        guard UInt64.random(in: 0...1, using: &random) == 0 || planted == .windowHidesFloor else { return }
        limits.windowRevisionsMax = Int.random(in: 1...30, using: &random)
        if UInt64.random(in: 0...2, using: &random) == 0 {
            limits.windowBytesMax = Int.random(in: 100...4_000, using: &random)
        }
    }

    /// Apart, too: commands that take long although they touch few keys.
    mutating func drawLongCommands(seed: UInt64) {
        var random = SeededGenerator(seed: seed ^ 0x10c0_44a2_d510_b0a7)
        if UInt64.random(in: 0...2, using: &random) == 0 { limits.applyKeysMax = Int.random(in: 0...4, using: &random) }
    }

    /// Apart, too: what is committed is applied a little at a time, with other things in between.
    mutating func drawRounds(seed: UInt64) {
        var random = SeededGenerator(seed: seed ^ 0x4071_d5a7_4071_d5a7)
        guard UInt64.random(in: 0...2, using: &random) == 0 else { return }
        limits.applyWorkMax = Int.random(in: 1...8, using: &random)
        putOff = UInt64.random(in: 100...900, using: &random)
    }

    /// Apart, too: many keys.
    mutating func drawKeys(seed: UInt64) {
        var random = SeededGenerator(seed: seed ^ 0x6e75_3b15_6e75_3b15)
        if UInt64.random(in: 0...2, using: &random) == 0 { keys = Int.random(in: 20...60, using: &random) }
    }

    /// Apart, too: disks that are slow for good, on which a vote takes as long as an election timeout.
    mutating func drawDisks(seed: UInt64, _ weather: Weather) {
        var random = SeededGenerator(seed: seed ^ 0xd15c_d15c_d15c_d15c)
        guard weather == .mixed, leases == nil, UInt64.random(in: 0...14, using: &random) == 0 else { return }
        diskMin = UInt64.random(in: 20_000...100_000, using: &random)
        diskMax = diskMin + 80_000
        settings.saveStallTicks = 60
        // What comes out of order is asked for again, which takes a save each: not an entry at a time.
        settings.appendBytesMax = 64 << 10
        hasSlowDisks = true
    }

    private mutating func becomeRot(_ pick: (ClosedRange<UInt64>) -> UInt64) {
        voters = 3
        hosts = 3
        clients = 6
        damage = 1000
        aim = 500
        betrayals = 300
        faultEvery = pick(50_000...300_000)
        repairMax = pick(100_000...700_000)
        ambush = 500
        quality = Network.Quality(duplication: pick(0...40), delayMin: 100, delayMax: pick(500...3_000))
        diskMax = diskMin + 500
    }

    /// Candidates campaign again before the answers to the last campaign are there.
    private mutating func becomeFog(_ pick: (ClosedRange<UInt64>) -> UInt64) {
        voters = Int(pick(3...5))
        hosts = voters
        ambush = 900
        settings.heartbeatTicks = 2
        settings.electionTicksMin = 3
        settings.electionTicksMax = Int(pick(4...6))
        quality = Network.Quality(
            loss: pick(0...100), duplication: pick(0...60), delayMin: 500, delayMax: pick(5_000...30_000),
            late: pick(200...500),
            lateMax: pick(60_000...200_000))
    }

    /// One leader after the other, each struck before it has committed anything, and entries that travel one by one:
    /// the weather of the paper's figure 8.
    private mutating func becomeStorm(_ pick: (ClosedRange<UInt64>) -> UInt64) {
        voters = 5
        hosts = 5
        clients = 6
        ambush = 950
        ambushMax = pick(3_000...12_000)
        repairMax = pick(110_000...400_000)
        faultEvery = pick(500_000...2_000_000)
        settings.heartbeatTicks = 2
        settings.electionTicksMin = 5
        settings.electionTicksMax = Int(pick(10...16))
        quality = Network.Quality(duplication: pick(0...60), delayMin: 500, delayMax: pick(1_000...4_000))
        diskMax = diskMin + 300
        settings.appendBytesMax = 10
        settings.inflightMessagesMax = Int(pick(1...3))
        settings.uncommittedBytesMax = 100_000
    }
}
