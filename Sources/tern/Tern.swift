// The one executable. It is the only reader of flags, files and environment; everything below gets validated values.
import ArgumentParser

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
}
