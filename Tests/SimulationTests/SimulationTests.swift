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
    let sum = Simulation.run(first: only ?? 1, count: count, steps: steps)
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

/// Each mistake on purpose, and how many seeds may pass before it is noticed.
private let mistakes: [(name: String, bugs: PlantedBugs)] = {
    func planted(_ change: (inout PlantedBugs) -> Void) -> PlantedBugs {
        var bugs = PlantedBugs()
        change(&bugs)
        return bugs
    }
    return [
        ("commits entries of older terms by counting", planted { $0.commitsOldTerms = true }),
        ("answers ReadIndex without a round", planted { $0.readsWithoutRound = true }),
        ("acknowledges before the save is done", planted { $0.acknowledgesBeforeSave = true }),
        ("votes for a shorter log", planted { $0.ignoresLogInVotes = true })
    ]
}()

@Test(arguments: mistakes.indices)
func `a planted bug is found`(_ position: Int) {
    let mistake = mistakes[position]
    let report = Simulation.run(first: 1, count: 400, steps: 12_000, planted: mistake.bugs, weather: .storm)
    #expect(report.violation != nil, "nobody noticed a peer that \(mistake.name)")
    print("\(mistake.name): \(report.violation ?? "not found")")
}
