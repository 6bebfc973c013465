// Faults on the running development cluster under load: kills, pauses or isolates the leading master again and again while writers
// write and a watcher watches, then checks that nothing acknowledged is lost, no linearizable read is stale and no event is missing.
// Run it in the clone in which `make up` was run; it acts through the `tern` binary beside it.
import API
import APIClient
import ArgumentParser
import Foundation
import Logging
import NIOPosix
import NetHTTP
import NetPKI
import Worker

enum Fault: String, CaseIterable, ExpressibleByArgument { case kill, power, pause, isolate }

@main
struct Chaos: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Fault the leading master of the running cluster under load, and check what clients saw.")
    @Option(help: "How many faults.")
    var count = 10
    @Option(parsing: .upToNextOption, help: "The kinds of fault, in turn: kill power pause isolate.")
    var faults: [Fault] = [.kill]
    @Option(help: "Writers at the same time.")
    var writers = 4
    @Option(help: "Milliseconds of load before each fault and after it.")
    var calm = 1500

    func run() async throws {
        let cluster = try DevelopmentCluster()
        let oracle = Oracle()
        let load = Load(client: try cluster.client(), oracle: oracle)
        try await load.prepare()
        let watcher = Task { await load.watch() }
        let tasks = (0..<writers).map { number in Task { await load.write(number) } }
        let reader = Task { await load.read() }
        try await pause(calm)
        for round in 0..<count {
            let fault = faults[round % faults.count]
            let leader = try await cluster.leader()
            let began = ContinuousClock.now
            try cluster.apply(fault, to: leader)
            try await pause(calm)
            let gap = oracle.longestGap(since: began)
            report(
                "\(round + 1)/\(count) \(fault.rawValue) \(leader): \(gap.map { "\($0) ms until the next acknowledged write" } ?? "no write was acknowledged")"
            )
            oracle.record(gap: gap)
            try cluster.heal(fault, leader)
            try await pause(calm)
        }
        for task in tasks + [reader] { task.cancel() }
        for task in tasks + [reader] { await task.value }
        try await pause(1000)
        watcher.cancel()
        await watcher.value
        let verdict = try await load.verify()
        report(verdict.text)
        if !verdict.isGood { throw ExitCode(1) }
    }

    /// Prints a line at once, also into a pipe.
    private func report(_ text: String) {
        print(text)
        fflush(nil)
    }

    private func pause(_ milliseconds: Int) async throws { try await Task.sleep(for: .milliseconds(milliseconds)) }
}

/// The cluster of the current folder: its files and its `tern` binary.
struct DevelopmentCluster {
    private let folder = FileManager.default.currentDirectoryPath
    private var binary: String { "\(folder)/.build/release/tern" }

    init() throws {
        guard FileManager.default.fileExists(atPath: "\(folder)/.tern/port") else {
            throw ValidationError("no cluster runs here: make up")
        }
    }

    func client() throws -> RESTClient {
        let port = try String(contentsOfFile: "\(folder)/.tern/port", encoding: .utf8).trimmingCharacters(
            in: .whitespacesAndNewlines)
        let identity = try TLSIdentity(
            certificatePEM: try PEMFile.read("\(folder)/.tern/pki/admin.crt"),
            keyPEM: try PEMFile.read("\(folder)/.tern/pki/admin.key"))
        let tls = try ClientTLS(trustRootsPEM: try PEMFile.read("\(folder)/.tern/pki/ca.crt"), identity: identity)
        var logger = Logger(label: "chaos", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .critical
        return try RESTClient(
            RESTClientConfiguration(servers: ["https://127.0.0.1:\(port)"], tls: tls),
            group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    }

    /// Waits until somebody leads.
    func leader() async throws -> String {
        for _ in 0..<100 {
            let (status, output) = try run(["leader"])
            if status == 0 { return output.trimmingCharacters(in: .whitespacesAndNewlines) }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw ValidationError("no master leads")
    }

    func apply(_ fault: Fault, to host: String) throws {
        switch fault {
        case .kill: try must(["kill", host])
        case .power: try must(["kill", "--power", host])
        case .pause: try must(["pause", host])
        case .isolate: try must(["isolate", host])
        }
    }

    func heal(_ fault: Fault, _ host: String) throws {
        switch fault {
        case .kill, .power: try must(["start", host])
        case .pause: try must(["resume", host])
        case .isolate: try must(["heal"])
        }
    }

    private func must(_ arguments: [String]) throws {
        let (status, output) = try run(arguments)
        guard status == 0 else { throw ValidationError("tern \(arguments.joined(separator: " ")): \(output)") }
    }

    private func run(_ arguments: [String]) throws -> (Int32, String) {
        let result = try Subprocess.attempt([binary] + arguments, timeoutSeconds: 30)
        return (result.status, result.output)
    }
}
