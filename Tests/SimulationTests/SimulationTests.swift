// Many seeds of simulated clusters; and the proof that a mistake would be noticed.

import Glibc
import Raft
import Simulation
import Testing

private func environment(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

@Test func `two hundred seeds keep every promise and come back to life`() {
    let only = environment("SEED")
    let sum = Simulation.run(first: only ?? 1, count: only == nil ? Int(environment("COUNT") ?? 200) : 1,
                             steps: Int(environment("STEPS") ?? 12_000))
    print(sum)
    #expect(sum.violation == nil, "\(sum)")
    if only == nil { #expect(sum.quiet.isEmpty, "too quiet: \(sum.quiet)") }
    if only != nil, let seed = only, sum.violation != nil {
        let report = Simulation.run(seed: seed, steps: Int(environment("STEPS") ?? 12_000), trace: true)
        for line in report.trace.suffix(Int(environment("LINES") ?? 120)) { print(line) }
    }
}
