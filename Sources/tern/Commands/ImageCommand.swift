// `tern image load FILE...`: brings image archives into every worker of the development cluster.
import ArgumentParser
import Worker

struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Images on the workers.", subcommands: [Load.self])

    struct Load: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "load",
            abstract: "Import image archives (as `docker save` writes them) into every worker that runs.")
        @Argument(help: "Archives.")
        var files: [String]

        func run() throws {
            try requireRoot("to reach the workers' container runtime")
            let layout = try Layout.current()
            for file in files {
                guard Files.exists(file) else { throw CommandFailure("\(file): no such file") }
                let path = file.hasPrefix("/") ? file : "\(currentDirectory())/\(file)"
                for host in layout.workers { try HostImages(layout: layout, host: host).load(path) }
            }
        }
    }
}

/// The images of one worker host.
struct HostImages {
    var layout: Layout
    var host: Host

    /// Waits until the host's container runtime answers.
    func waitForRuntime(seconds: Int) async throws {
        let deadline = monotonicMilliseconds() + seconds * 1000
        while true {
            if let pid = HostProcess(layout: layout, host: host).initPid,
                attempt(["nsenter", "-t", "\(pid)", "-m", "--", "ctr", "-a", Containerd.socket, "version"])
            {
                return
            }
            guard monotonicMilliseconds() < deadline else {
                throw CommandFailure(
                    "\(host.name): the container runtime does not answer; see \(layout.log(host.name))")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Imports an archive; the worker must run.
    func load(_ path: String, quietly: Bool = false) throws {
        guard let pid = HostProcess(layout: layout, host: host).initPid else {
            throw CommandFailure("\(host.name) does not run")
        }
        let output = try Subprocess.run(
            [
                "nsenter", "-t", "\(pid)", "-m", "--", "ctr", "-a", Containerd.socket, "-n", "k8s.io", "images",
                "import", path
            ])
        if quietly { return }
        for line in output.split(separator: "\n") { say("\(host.name): \(line)") }
    }
}
