// How a cluster that reads by lease is drawn: clocks that drift as far as they may, perhaps one member that knows nothing
// of leases and follows the connection-loss hint instead.

import Raft

/// Of a cluster whose leader answers reads without asking.
struct LeasePlan {
    /// Out of 1000; the slowest and the fastest differ by what a lease allows for.
    private static let within: ClosedRange<UInt64> = 900...1_100
    private static let beyond: ClosedRange<UInt64> = 400...1_700
    private var rates: [Int64]
    /// That any of them may have.
    let fastest: UInt64
    /// It promises nothing.
    var stranger: Int?
    /// Out of 1000 faults so many are sieges.
    var sieges: UInt64

    init(hosts: Int, voters: Int, _ planted: PlantedBug?, _ pick: (ClosedRange<UInt64>) -> UInt64) {
        let bounds = planted == .driftsBeyondBound ? Self.beyond : Self.within
        fastest = bounds.upperBound
        rates = (0..<hosts).map { _ in
            switch pick(0...3) {
            case 0: Int64(bounds.lowerBound)
            case 1: Int64(bounds.upperBound)
            default: Int64(pick(bounds))
            }
        }
        // Who takes echoes for promises is wrong about one that gives none.
        let hasStranger = pick(0...3) == 0 || planted == .countsEchoes
        stranger = hasStranger ? Int(pick(0...UInt64(voters - 1))) : nil
        sieges = pick(100...500)
    }

    private func place(of peer: PeerID) -> Int { Int((peer.rawValue &- 1) % 100) }
    func rate(of peer: PeerID) -> Int64 { rates.indices.contains(place(of: peer)) ? rates[place(of: peer)] : 1000 }

    func set(_ settings: inout RaftSettings, of peer: PeerID) {
        settings.leaseReads = place(of: peer) != stranger
        settings.usesConnectionLossHint = !settings.leaseReads
    }
}

extension Plan {
    /// One siege after the other, on a network that is good but for that.
    mutating func becomeSiege(_ pick: (ClosedRange<UInt64>) -> UInt64) {
        voters = pick(0...3) == 0 ? 5 : 3
        hosts = voters
        clients = 6
        ambush = 0
        faultEvery = pick(200_000...600_000)
        repairMax = pick(150_000...500_000)
        quality = Network.Quality(duplication: pick(0...40), delayMin: 100, delayMax: pick(200...3_000))
        diskMax = diskMin + 500
        settings.electionTicksMin = 15
        settings.electionTicksMax = 30
        settings.heartbeatTicks = 5
    }

    /// Apart from the rest, which is as without.
    mutating func drawLeases(seed: UInt64, _ weather: Weather, _ planted: PlantedBug?) {
        var random = SeededGenerator(seed: seed ^ 0x1ea5_e4ea_d1ea_5e4e)
        func pick(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &random) }
        guard weather != .fog, weather == .siege || pick(0...2) == 0 else { return }
        leases = LeasePlan(hosts: hosts, voters: voters, planted, pick)
        if weather == .siege { leases?.sieges = 800 }
        // Else heartbeats could not renew a lease before it ends.
        guard settings.electionTicksMin < 12 else { return }
        settings.electionTicksMin = 12
        settings.electionTicksMax = max(settings.electionTicksMax, 20)
    }
}
