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
    @Flag(inversion: .prefixedNo, help: "Run a service with traffic and a deployment that is scaled after each fault.")
    var workload = true
    @Option(help: "Seconds within which a scaled deployment must be ready.")
    var scaleSeconds = 30

    func run() async throws {
        let cluster = try DevelopmentCluster()
        let oracle = Oracle()
        let client = try cluster.client()
        let load = Load(client: client, oracle: oracle)
        try await load.prepare()
        let pods = workload ? Workload(client: client, oracle: oracle) : nil
        try await pods?.prepare()
        let watcher = Task { await load.watch() }
        let tasks = (0..<writers).map { number in Task { await load.write(number) } } + [Task { await load.read() }]
        try await pause(calm)
        for round in 0..<count {
            try await strike(round, cluster, oracle, pods)
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        try await pause(1000)
        watcher.cancel()
        await watcher.value
        if pods != nil {
            let (requests, failed) = try cluster.traffic()
            oracle.traffic(requests: requests, failed: failed)
        }
        let verdict = try await load.verify()
        report(verdict.text)
        if !verdict.isGood { throw ExitCode(1) }
    }

    /// One fault on the leader, what clients felt, and the cure.
    private func strike(
        _ round: Int, _ cluster: DevelopmentCluster, _ oracle: Oracle, _ pods: Workload?
    ) async throws {
        let fault = faults[round % faults.count]
        let leader = try await cluster.leader()
        let began = ContinuousClock.now
        try cluster.apply(fault, to: leader)
        async let ready = pods?.resize(round, withinSeconds: scaleSeconds)
        try await pause(calm)
        let gap = oracle.longestGap(since: began)
        oracle.record(gap: gap)
        var line = "\(round + 1)/\(count) \(fault.rawValue) \(leader): "
        line += gap.map { "\($0) ms until the next acknowledged write" } ?? "no write was acknowledged"
        if pods != nil {
            let ready = await ready
            oracle.scaled(ready)
            line += ready.map { ", scaled pods ready after \($0) ms" } ?? ", scaled pods not ready in time"
        }
        report(line)
        try cluster.heal(fault, leader)
        try await pause(calm)
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

    /// What the traffic pod counted: requests and failures.
    func traffic() throws -> (requests: Int, failed: Int) {
        let command = ["kubectl", "--kubeconfig", "\(folder)/.tern/kubeconfig", "logs", "-n", Load.namespace]
        let result = try Subprocess.attempt(command + ["traffic", "--tail=1"], timeoutSeconds: 30)
        let numbers = result.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        guard result.status == 0, numbers.count == 2 else {
            throw ValidationError("the log of the traffic pod: \(result.output)")
        }
        return (numbers[0], numbers[1])
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
