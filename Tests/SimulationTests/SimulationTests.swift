// Many seeds of simulated clusters; and the proof that a mistake would be noticed.

import Glibc
import Raft
import Simulation
import Testing

private func environment(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
private func word(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// So many seeds of each kind of weather.
private func share(_ weather: Weather) -> Int {
    switch weather {
    case .mixed: Simulation.seedsDefault
    case .storm, .fog: 50
    case .siege: 100
    case .rot: 150
    }
}

/// `SEED=n` replays one seed and, when it fails, prints the last `LINES` of its trace; `FIRST`, `COUNT`, `STEPS` and
/// `WEATHER` choose others.
@Test(arguments: Weather.allCases)
func `every promise is kept, and every cluster comes back to life`(_ weather: Weather) {
    if let wanted = word("WEATHER").flatMap(Weather.init(rawValue:)) ?? (word("SEED") == nil ? nil : .mixed) {
        guard weather == wanted else { return }
    }
    let only = environment("SEED"), steps = environment("STEPS").map { Int($0) } ?? Simulation.stepsDefault
    let count = only == nil ? environment("COUNT").map { Int($0) } ?? share(weather) : 1
    let planted = word("PLANTED").flatMap(PlantedBug.init(rawValue:))
    let first = only ?? environment("FIRST") ?? 1
    let sum = Simulation.run(first: first, count: count, steps: steps, planted: planted, weather: weather)
    print("\(weather): \(sum)")
    #expect(sum.violation == nil, "\(weather): \(sum)")
    if count >= share(.mixed), weather == .mixed { #expect(sum.quiet(below: Report.rareMin) == []) }
    guard let seed = sum.failingSeed, only != nil else { return }
    let trace = Simulation.run(seed: seed, steps: steps, planted: planted, weather: weather, trace: true).trace
    for line in trace.suffix(Int(environment("LINES") ?? 120)) { print(line) }
}

@Test func `a thousand short lives keep every promise too`() {
    let sum = Simulation.run(first: 10_001, count: 1000, steps: 1_200)
    #expect(sum.violation == nil, "\(sum)")
}

@Test func `the same seed gives the same trace`() {
    for seed in [3, 17, 99] as [UInt64] {
        let first = Simulation.run(seed: seed, steps: 5_000), second = Simulation.run(seed: seed, steps: 5_000)
        #expect(first.traceHash == second.traceHash)
        #expect(first.steps == second.steps)
    }
    #expect(Simulation.run(seed: 3, steps: 2_000).traceHash != Simulation.run(seed: 4, steps: 2_000).traceHash)
}

private func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// What another process says about this one's trace: nothing may depend on `Hasher`, addresses or time.
@Test func `the same seed gives the same trace in another process`() throws {
    let seed: UInt64 = 17
    let trace = "trace \(Simulation.run(seed: seed, steps: 4_000).traceHash)"
    guard word("TRACE") == nil else { return print(trace) }
    var path = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &path, path.count - 1)
    #expect(length > 0)
    let filter = "--filter 'in another process' --testing-library swift-testing"
    let pipe = try #require(popen("TRACE=1 '\(text(path))' \(filter) 2>&1", "r"))
    var told = ""
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, Int32(line.count), pipe) != nil { told += text(line) }
    pclose(pipe)
    #expect(told.contains(trace), "here: \(trace), there: \(told)")
}

/// Within how many seeds each mistake on purpose is noticed, in the weather in which it does harm.
private func bound(_ bug: PlantedBug) -> (seeds: Int, weather: Weather) {
    switch bug {
    case .acknowledgesBeforeSync, .noFencing, .expiresByLocalClock: (10, .mixed)
    case .ignoresLogInPreVotes, .dropsEvent, .repeatsEvent: (40, .mixed)
    case .checkpointsWithoutSync, .forgetsUnfolded: (10, .mixed)
    case .compactsAheadOfCheckpoint, .appliesBeforeEffects: (40, .mixed)
    case .retriesStateSync: (100, .rot)
    case .guessesVersions: (60, .mixed)
    case .trustsState: (40, .rot)
    case .guardsBeforeProposing, .losesSecondOperation, .deletesAllButLast, .answersWrongPrevious: (10, .mixed)
    case .readsPresentForPast, .dropsReadAnswers: (10, .mixed)
    case .forgetsWatch: (60, .mixed)
    case .sendsNoSessions, .sendsNoLeases: (60, .mixed)
    case .takesOldExecutions: (40, .mixed)
    case .windowHidesFloor, .filterMissesLast: (20, .mixed)
    case .dropsTransfers, .commitsUnacknowledged: (10, .mixed)
    case .readsBeforeApplied: (40, .mixed)
    case .commitsByNewHalf: (200, .mixed)
    case .servesFenced: (500, .rot)
    case .forgetsVerdict: (60, .rot)
    case .readsWithoutRound: (80, .mixed)
    case .trustsOldCopies: (300, .mixed)
    case .emptiedVotesAtOnce: (40, .rot)
    case .ignoresLogInVotes: (10, .storm)
    case .commitsOldTerms: (300, .storm)
    case .countsStaleVotes: (120, .fog)
    case .corruptIsShort, .takesReadErrorForEnd: (20, .rot)
    case .forgetsDamage, .commitsTornEntries: (40, .rot)
    case .truncatesBelowMark: (60, .rot)
    case .forgetsPromises, .countsEchoes, .transfersUnderLease, .stopsClockInPause, .driftsBeyondBound: (120, .siege)
    case .countsWitnessAlways, .sendsWitnessAll, .sendsWitnessUnsaved: (20, .rot)
    }
}

@Test(arguments: PlantedBug.allCases)
func `a planted bug is found`(_ bug: PlantedBug) {
    let (seeds, weather) = bound(bug)
    let report = Simulation.run(first: 1, count: seeds, planted: bug, weather: weather)
    let complaint = report.violation?.description ?? ""
    #expect(!complaint.isEmpty, "nobody noticed within \(seeds) seeds: \(bug)")
    #expect(complaints(of: bug).contains { complaint.contains($0) }, "by accident: \(complaint)")
    print("\(bug): \(report.violation ?? "not found")")
}
