// `make bench`: three members of etcd and three of `tern kv`, in turn on the same machine, under the same load. Prints a
// table and writes raw rows and pictures. It measures only; it decides nothing.
import ArgumentParser
import Glibc
import NIOCore
import NIOPosix

extension Part: ExpressibleByArgument {}
extension System: ExpressibleByArgument {}

@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure the replicated store beside etcd: the same machine, the same client, in turn.")
    @Argument(
        help: """
            Parts: puts mixed ranges txn watch leases failover transfer (the standard), million, compaction; all of \
            them; or plot alone: draws what the rows of the results hold and measures nothing.
            """)
    var parts: [Part] = Part.standard
    @Option(help: "Runs of each system, in turn.") var runs = 5
    @Option(help: "Seconds of each point in each run.") var seconds = 1.5
    @Option(help: "Kills of the leader, and a third as many transfers.") var kills = 30
    @Option(help: "Keys of the part million, and versions of the part compaction.") var keys = 1_000_000
    @Option(help: "Only points with this many clients.") var clients: Int?
    @Option(parsing: .upToNextOption, help: "Only these systems.") var systems: [System] = System.allCases
    @Option(help: "The program of etcd.") var etcd = "/usr/bin/etcd"
    @Option(help: "The program of Tern.") var tern = ".build/release/tern"
    @Option(help: "Where rows and pictures go; empty: nowhere.") var results = "bench/results"
    @Option(help: "Where the data of the members are, while it runs.") var folder = "/tmp"
    @Flag(help: "Keep the rows that the results hold and add to them; pictures and table show all.") var add = false

    func validate() throws {
        guard parts.contains(.plot) else { return }
        guard parts == [.plot], !results.isEmpty else { throw ValidationError("plot is done alone, from results") }
    }

    func run() throws {
        if parts == [.plot] { return try finish(Report(rowsIn: results)) }
        let earlier = add && !results.isEmpty ? try Report(rowsIn: results) : Report()
        try finish(earlier.adding(try measured()))
    }

    private func measured() throws -> Report {
        Leftovers.watchSignals()
        let scratch = "\(folder)/tern-bench-\(getpid())"
        guard mkdir(scratch, 0o700) == 0 else { throw BenchError.failed("\(scratch): errno \(errno)") }
        Leftovers.folder(scratch)
        defer { Leftovers.clear() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var options = self
        if parts.contains(.all) { options.parts = Part.allCases.filter { $0 != .plot } }
        var plan = Plan(options, scratch, group.next())
        plan.tellTime()
        try plan.runLoads()
        try plan.runGaps()
        try plan.runFigures()
        return plan.report
    }

    private func finish(_ report: Report) throws {
        print(report.table())
        if !results.isEmpty { try write(report) }
    }

    private func write(_ report: Report) throws {
        if mkdir(results, 0o755) != 0, errno != EEXIST { throw BenchError.failed("\(results): errno \(errno)") }
        if !report.measurements.isEmpty { try save("load.tsv", report.measurementRows) }
        for kind in ["kill", "transfer"] where report.gaps.contains(where: { $0.kind == kind }) {
            var part = report
            part.gaps = report.gaps.filter { $0.kind == kind }
            try save("\(kind).tsv", part.gapRows)
        }
        if !report.figures.isEmpty { try save("figures.tsv", report.figureRows) }
        if let plot = report.latencyPlot { try save("latency.svg", plot.svg()) }
        if let plot = report.failoverPlot { try save("failover.svg", plot.svg()) }
        print("\nwritten to \(results)")
    }

    private func save(_ name: String, _ text: String) throws {
        guard let file = fopen("\(results)/\(name)", "w") else {
            throw BenchError.failed("\(results)/\(name): errno \(errno)")
        }
        defer { fclose(file) }
        guard fputs(text, file) >= 0 else { throw BenchError.failed("\(results)/\(name): errno \(errno)") }
    }
}

/// The order of everything.
struct Plan {
    private let options: Bench
    private let scratch: String
    private let loop: any EventLoop
    private(set) var report = Report()

    init(_ options: Bench, _ scratch: String, _ loop: any EventLoop) {
        self.options = options
        self.scratch = scratch
        self.loop = loop
    }

    private func open(_ system: System) throws -> Session {
        let program = system == .etcd ? options.etcd : options.tern
        guard access(program, X_OK) == 0 else { throw BenchError.failed("\(program) is not there") }
        return try Session(try Servers(system, program: program, folder: scratch), loop)
    }

    /// At once, also into a pipe.
    private func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    private var points: [Point] {
        Point.all.filter {
            options.parts.contains($0.part) && (options.clients == nil || options.clients == $0.clients)
        }
    }

    /// About how long all of it takes: from what a point, a kill with the restart, and a million keys took before.
    func tellTime() {
        let timing = Timing(seconds: options.seconds)
        let load = Double(options.runs * points.count) * (timing.warmSeconds + timing.seconds + 0.3)
        var seconds = (load + (points.isEmpty ? 0 : Double(options.runs) * 3)) * Double(options.systems.count)
        for system in options.systems {
            let slow = system == .etcd
            if options.parts.contains(.failover) { seconds += Double(options.kills) * (slow ? 4.5 : 2.5) }
            if options.parts.contains(.transfer) { seconds += Double(max(1, options.kills / 3)) }
            if options.parts.contains(.million) { seconds += Double(options.keys) / (slow ? 9000 : 15_000) }
            if options.parts.contains(.compaction) { seconds += Double(options.keys) / (slow ? 9000 : 15_000) }
        }
        say(
            "this takes about \(max(1, Int((seconds / 60).rounded()))) minutes; Ctrl-C ends it and leaves nothing behind"
        )
    }

    mutating func runLoads() throws {
        let points = points
        guard !points.isEmpty else { return }
        let timing = Timing(seconds: options.seconds)
        for run in 0..<options.runs {
            for system in options.systems {
                say("run \(run + 1)/\(options.runs) \(system)")
                let session = try open(system)
                defer { session.end() }
                for point in points { try measure(point, run, timing, session) }
            }
        }
    }

    /// A point that cannot be measured on a starved machine is said and left out; the rest goes on.
    private mutating func measure(_ point: Point, _ run: Int, _ timing: Timing, _ session: Session) throws {
        do {
            let one = try session.measure(point, run: run, timing)
            report.measurements.append(one)
            if one.errors > 0 { say("  \(one.name) \(one.clients): \(one.errors) errors: \(one.firstError)") }
        } catch {
            say("  \(point.name) \(point.clients) was not measured: \(error)")
            try session.waitUntilReady()
        }
    }

    /// In blocks of ten, the systems in turn.
    mutating func runGaps() throws {
        for (part, count) in [(Part.failover, options.kills), (.transfer, max(1, options.kills / 3))]
        where options.parts.contains(part) {
            var left = count
            while left > 0 {
                for system in options.systems {
                    say("\(part) \(system): \(left) left")
                    let session = try open(system)
                    defer { session.end() }
                    for _ in 0..<min(left, 10) {
                        report.gaps.append(try part == .failover ? session.killLeader() : session.moveLeader())
                    }
                }
                left -= 10
            }
        }
    }

    mutating func runFigures() throws {
        for run in 0..<options.runs where options.parts.contains(.million) || options.parts.contains(.compaction) {
            say("figures: run \(run + 1) of \(options.runs)")
            try runFiguresOnce()
        }
    }

    private mutating func runFiguresOnce() throws {
        for system in options.systems {
            if options.parts.contains(.million) {
                say("million \(system)")
                let session = try open(system)
                defer { session.end() }
                report.add(try session.million(options.keys), load: "\(options.keys) keys")
            }
            if options.parts.contains(.compaction) {
                say("compaction \(system)")
                let session = try open(system)
                defer { session.end() }
                report.add(try session.compaction(versions: options.keys), load: "\(options.keys) versions")
            }
        }
    }
}
