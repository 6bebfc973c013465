// Many seeds of simulated clusters; and the proof that a mistake would be noticed.

import Glibc
import Raft
import Simulation
import Testing

private func environment(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

/// `SEED=n` replays one seed and, when it fails, prints the last `LINES` of its trace; `COUNT` and `STEPS` make it longer.
@Test func `two hundred seeds keep every promise and come back to life`() {
    let only = environment("SEED"), steps = environment("STEPS").map { Int($0) } ?? Simulation.stepsDefault
    let count = only == nil ? Int(environment("COUNT") ?? 200) : 1
    let sum = Simulation.run(first: only ?? environment("FIRST") ?? 1, count: count, steps: steps)
    print(sum)
    #expect(sum.violation == nil, "\(sum)")
    if count >= 200 { #expect(sum.quiet.isEmpty, "too quiet: \(sum.quiet)") }
    guard let only, sum.violation != nil else { return }
    let trace = Simulation.run(seed: only, steps: steps, trace: true).trace
    for line in trace.suffix(Int(environment("LINES") ?? 120)) { print(line) }
}

@Test func `the same seed gives the same trace`() {
    for seed in [3, 17, 99] as [UInt64] {
        let first = Simulation.run(seed: seed, steps: 5_000), second = Simulation.run(seed: seed, steps: 5_000)
        #expect(first.traceHash == second.traceHash)
        #expect(first.steps == second.steps)
    }
    #expect(Simulation.run(seed: 3, steps: 2_000).traceHash != Simulation.run(seed: 4, steps: 2_000).traceHash)
}

/// Within how many seeds each mistake on purpose is noticed, in the weather in which it does harm.
private func bound(_ bug: PlantedBug) -> (seeds: Int, weather: Weather)? {
    switch bug {
    case .acknowledgesBeforeSync, .noFencing, .expiresByLocalClock: (10, .mixed)
    case .ignoresLogInPreVotes, .dropsEvent, .repeatsEvent: (40, .mixed)
    case .readsWithoutRound: (80, .mixed)
    case .truncatesBelowMark: (200, .mixed)
    case .ignoresLogInVotes: (10, .storm)
    case .commitsOldTerms: (200, .storm)
    case .countsStaleVotes: (120, .fog)
    case .forgetsDamage: (200, .rot)
    // Not found within hundreds of seeds: their tests are those of the disk (`Tests/KVDiskTests`).
    case .corruptIsShort, .commitsTornEntries: (300, .rot)
    }
}

@Test(arguments: PlantedBug.allCases.filter { bound($0) != nil })
func `a planted bug is found`(_ bug: PlantedBug) {
    guard let (seeds, weather) = bound(bug) else { return }
    let report = Simulation.run(first: 1, count: seeds, planted: bug, weather: weather)
    #expect(report.violation != nil, "nobody noticed within \(seeds) seeds: \(bug)")
    print("\(bug): \(report.violation ?? "not found")")
}
