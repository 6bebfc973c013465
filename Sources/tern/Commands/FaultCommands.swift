// The faults of the development cluster: what a person types to see the cluster go on without a host.
import ArgumentParser
import Glibc
import Worker

/// A host named on the command line.
struct HostArgument: ParsableArguments {
    @Argument(help: "A host: m1, m2, m3, w1, w2.")
    var name: String

    func process() throws -> HostProcess {
        try requireRoot("to act on a host")
        let layout = try Layout.current()
        guard let host = layout.host(name) else {
            throw CommandFailure("no host '\(name)'; hosts: \(layout.hosts.map(\.name).joined(separator: " "))")
        }
        return HostProcess(layout: layout, host: host)
    }
}

struct KillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill",
        abstract: "Kill every process of a host with SIGKILL; `tern start` brings it back with its data.")
    @OptionGroup var host: HostArgument
    @Flag(help: "Cut its network first, so that its peers see silence instead of closed connections.")
    var power = false

    func run() throws {
        let process = try host.process()
        guard process.pid != nil else { throw CommandFailure("\(process.host.name) does not run") }
        if power { try Switch(layout: process.layout).setPort(process.host, up: false) }
        process.kill()
    }
}

struct StartCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Start a host that was killed.")
    @OptionGroup var host: HostArgument

    func run() throws {
        let process = try host.process()
        try Switch(layout: process.layout).setPort(process.host, up: true)
        try Cluster(layout: process.layout).startHost(process.host)
    }
}

struct PauseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "pause", abstract: "Freeze every process of a host.")
    @OptionGroup var host: HostArgument

    func run() throws { try host.process().setFrozen(true) }
}

struct ResumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Let a frozen host go on.")
    @OptionGroup var host: HostArgument

    func run() throws { try host.process().setFrozen(false) }
}

struct IsolateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "isolate", abstract: "Cut a host off the network.")
    @OptionGroup var host: HostArgument

    func run() throws {
        let process = try host.process()
        try Switch(layout: process.layout).setPort(process.host, up: false)
    }
}

struct HealCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "heal", abstract: "Connect, thaw and start every host again.")

    func run() throws {
        try requireRoot("to act on hosts")
        let layout = try Layout.current()
        for host in layout.hosts {
            let process = HostProcess(layout: layout, host: host)
            try Switch(layout: layout).setPort(host, up: true)
            if process.pid != nil { try process.setFrozen(false) }
            try Cluster(layout: layout).startHost(host)
        }
    }
}

struct HostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host", abstract: "Run a command inside a host of the development cluster: tern host w1 -- ip addr"
    )
    @OptionGroup var host: HostArgument
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var command: [String] = []

    func run() throws {
        let process = try host.process()
        guard let pid = process.initPid else { throw CommandFailure("\(process.host.name) does not run") }
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        let inside =
            ["nsenter", "-t", "\(pid)", "-n", "-m", "-u", "-i", "-p", "-C", "--"] + (words.isEmpty ? ["sh"] : words)
        var argv: [UnsafeMutablePointer<CChar>?] = inside.map { strdup($0) } + [nil]
        execvp("nsenter", &argv)
        throw CommandFailure("nsenter: \(String(cString: strerror(errno)))")
    }
}
