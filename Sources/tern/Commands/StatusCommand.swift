// `tern status`, `tern leader`: what the masters say of themselves. Asked directly, each master on its own, from inside
// the cluster's network, so that the answer does not depend on the gateway.
import API
import ArgumentParser
import Glibc
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Worker

/// What each master answered; nil where it did not.
struct MastersReport {
    var answers: [(host: Host, status: JSON?)]

    /// The leader that masters agree on: the one named by the highest term.
    var leader: String? {
        answers.compactMap(\.status).filter { $0["leader"]?.string != nil }.max {
            ($0["term"]?.int ?? 0) < ($1["term"]?.int ?? 0)
        }?["leader"]?.string
    }
    var term: Int64 { answers.compactMap { $0.status?["term"]?.int }.max() ?? 0 }

    static func collect(_ layout: Layout) async throws -> MastersReport {
        let clients = try MasterClients(layout)
        let answers = await withTaskGroup(of: (Int, JSON?).self) { group in
            for (i, host) in layout.masters.enumerated() {
                group.addTask { (i, await clients.call("GET", host, "/tern/status")) }
            }
            var found: [Int: JSON] = [:]
            for await (i, status) in group { found[i] = status }
            return found
        }
        return MastersReport(answers: layout.masters.enumerated().map { ($1, answers[$0]) })
    }
}

/// Calls masters by their addresses on the switch.
struct MasterClients: Sendable {
    private let http: HTTPClient
    private let port: Int

    init(_ layout: Layout) throws {
        try requireRoot("to enter the cluster's network")
        try Self.enterNetwork(layout)
        let tls = try ClientTLS(
            trustRootsPEM: try PEMFile.read("\(layout.pki)/ca.crt"), identity: try AdministratorFiles(layout).identity()
        )
        var logger = Logger(label: "tern", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        http = HTTPClient(
            configuration: HTTPClientConfiguration(tls: tls), group: MultiThreadedEventLoopGroup(numberOfThreads: 1),
            logger: logger)
        port = layout.apiPort
    }

    /// Starts this program again inside the switch's network: every thread of it must be there.
    private static func enterNetwork(_ layout: Layout) throws {
        if getenv("TERN_INSIDE") != nil { return }
        let namespace = layout.namespacePath(layout.switchNamespace)
        guard Files.exists(namespace) else {
            throw CommandFailure("the cluster does not run here: 'make up' starts it")
        }
        setenv("TERN_INSIDE", "1", 1)
        let words = ["nsenter", "--net=\(namespace)", "--", executablePath()] + CommandLine.arguments.dropFirst()
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        execvp("nsenter", &argv)
        throw CommandFailure("nsenter: \(String(cString: strerror(errno)))")
    }

    /// Nil when the master does not answer within a second.
    func call(_ method: String, _ host: Host, _ target: String) async -> JSON? {
        let endpoint = HTTPEndpoint(host: host.address, port: port, isSecure: true)
        do {
            let answer = try await http.send(
                HTTPClientRequest(method: method, endpoint: endpoint, target: target, timeout: .seconds(1)))
            return try JSON.parse(Array(answer.body.readableBytesView))
        } catch {
            return nil
        }
    }
}

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the masters, the leader and the hosts.")
    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }
    @Option(name: [.short, .customLong("output")], help: "text or json.")
    var output = Format.text

    func run() async throws {
        let layout = try Layout.current()
        let running = Dictionary(
            uniqueKeysWithValues: layout.hosts.map { ($0.name, HostProcess(layout: layout, host: $0).pid != nil) })
        let report = try await MastersReport.collect(layout)
        switch output {
        case .json: say(String(decoding: json(report, running).serialized(), as: UTF8.self))
        case .text: sayTable(report, layout, running)
        }
    }

    private func json(_ report: MastersReport, _ running: [String: Bool]) -> JSON {
        let members: [JSON] = report.answers.map { host, status in
            var member: JSON = [
                "name": .string(host.name), "address": .string(host.address),
                "isRunning": .bool(running[host.name] ?? false)
            ]
            member["status"] = status ?? .null
            return member
        }
        return [
            "leader": report.leader.map { .string($0) } ?? .null, "term": .int(report.term), "members": .array(members)
        ]
    }

    private func sayTable(_ report: MastersReport, _ layout: Layout, _ running: [String: Bool]) {
        say("leader \(report.leader ?? "none"), term \(report.term)")
        say(row(["HOST", "ADDRESS", "RUNS", "ROLE", "APPLIED", "REVISION"]))
        for (host, status) in report.answers {
            let role = status?["role"]?.string ?? (running[host.name] == true ? "no answer" : "down")
            say(
                row([
                    host.name, host.address, running[host.name] == true ? "yes" : "no", role,
                    status?["appliedIndex"]?.int.map(String.init) ?? "-",
                    status?["revision"]?.int.map(String.init) ?? "-"
                ]))
        }
        for host in layout.workers {
            say(row([host.name, host.address, running[host.name] == true ? "yes" : "no", "worker", "-", "-"]))
        }
    }

    private func row(_ cells: [String]) -> String {
        cells.map { $0 + String(repeating: " ", count: max(1, 12 - $0.count)) }.joined().split(separator: "\n").first
            .map(String.init) ?? ""
    }
}

struct LeaderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leader", abstract: "Print the host that leads; exit 1 when nobody does.")

    func run() async throws {
        guard let leader = try await MastersReport.collect(try Layout.current()).leader else {
            throw CommandFailure("no master leads")
        }
        say(leader)
    }
}
