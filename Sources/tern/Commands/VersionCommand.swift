// `tern version`.
import ArgumentParser

enum Version {
    /// The Kubernetes version that is spoken; build metadata names this product, so that version checks of charts pass.
    static let text = "v1.33.0+tern.1"
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    func run() { say("tern \(Version.text)") }
}
