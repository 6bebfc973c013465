// `tern sim`: whole clusters of the replicated store in one thread, from one seed, under faults.
import ArgumentParser
import Simulation

struct SimCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "sim", abstract: "Simulate clusters under faults; the same seed gives the same run.")
    @Option(help: "The first seed.")
    var seed: UInt64 = 1
    @Option(help: "How many seeds.")
    var count: UInt64 = 1
    @Option(help: "Steps of each run.")
    var steps = 4000

    func run() throws {
        for number in seed..<seed + count { say("\(Simulation.run(seed: number, steps: steps))") }
    }
}
