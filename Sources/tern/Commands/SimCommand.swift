// `tern sim`: whole clusters of the replicated store in one thread, from one seed, under faults.
import ArgumentParser
import Simulation

struct SimCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim", abstract: "Simulate clusters under faults; the same seed gives the same run.")
    @Option(help: "The first seed.")
    var seed: UInt64 = 1
    @Option(help: "How many seeds.")
    var count: UInt64 = 1
    @Option(help: "Steps of each run.")
    var steps = Simulation.stepsDefault
    @Option(help: "Which worlds are drawn: mixed, storm, fog, rot or siege.")
    var weather = Weather.mixed
    @Flag(help: "Print what happened, message by message, when a promise was broken.")
    var trace = false

    func run() throws {
        let report = Simulation.run(first: seed, count: Int(clamping: count), steps: steps, weather: weather)
        say("\(report)")
        if report.violation != nil {
            if trace { printTrace(of: report.failingSeed ?? seed) }
            throw ExitCode.failure
        }
        if isWhole, !report.quiet(below: Report.rareMin).isEmpty { throw ExitCode.failure }
    }

    /// So many seeds of the default kind that nothing in them may be rare.
    private var isWhole: Bool {
        count >= UInt64(Simulation.seedsDefault) && steps == Simulation.stepsDefault && weather == .mixed
    }

    private func printTrace(of seed: UInt64) {
        for line in Simulation.run(seed: seed, steps: steps, weather: weather, trace: true).trace { say(line) }
    }
}

extension Weather: ExpressibleByArgument {}
