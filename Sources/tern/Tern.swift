// The one executable. It is the only reader of flags, files and environment; everything below gets validated values.
import ArgumentParser
import Glibc
import KVEtcd

@main
struct Tern: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tern",
        abstract: "A Kubernetes-compatible cluster whose control plane is replicated by Raft.",
        version: Version.text,
        subcommands: [
            UpCommand.self, DownCommand.self, StatusCommand.self, LeaderCommand.self, KillCommand.self,
            StartCommand.self, PauseCommand.self,
            ResumeCommand.self, IsolateCommand.self, HealCommand.self, HostCommand.self, ImageCommand.self,
            MasterCommand.self, WorkerCommand.self,
            MemberCommand.self, SnapshotCommand.self, TokenCommand.self, KubeconfigCommand.self, KVCommand.self,
            SimCommand.self,
            DoctorCommand.self, VersionCommand.self,
            GatewayCommand.self
        ])

    static func main() async {
        var arguments = Array(CommandLine.arguments.dropFirst())
        do { arguments = try translated(arguments) } catch { exit(withError: error) }
        await main(arguments)
    }

    /// `tern kv` is started as etcd is: with flags as Go writes them, and with variables.
    private static func translated(_ arguments: [String]) throws -> [String] {
        guard arguments.first == KVCommand.configuration.commandName else { return arguments }
        let flags: EtcdFlags
        do throws(EtcdFlagError) {
            flags = try EtcdFlags(arguments: Array(arguments.dropFirst()), environment: environment())
        } catch { throw ValidationError("\(error)") }
        for warning in flags.warnings { complain("warning: \(warning)") }
        return Array(arguments.prefix(1)) + flags.arguments
    }

    private static func environment() -> [String: String] {
        var found: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { found[String(parts[0])] = String(parts[1]) }
            next += 1
        }
        return found
    }
}
