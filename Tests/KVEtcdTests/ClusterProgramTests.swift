// Three processes of `tern kv` over mutual TLS, operated with Debian's etcdctl, and three of a real etcd beside them
// with the same certificates, where the machine has one: both print the same.
import Glibc
import TestSupport
import Testing

/// Three members of one program, in a folder of their own.
private final class Processes {
    let folder = Shell.temporaryDirectory()
    private var processes: [ChildProcess] = []
    private var endpoints: [String] = []
    private let names = ["a", "b", "c"]

    /// `program`: what takes etcd's flags.
    init(_ program: String) {
        Certificates.make(in: folder)
        let ports = names.map { _ in (client: FreePort.take(), peer: FreePort.take()) }
        let cluster = zip(names, ports).map { "\($0)=https://127.0.0.1:\($1.peer)" }.joined(separator: ",")
        for (name, port) in zip(names, ports) {
            let client = "https://127.0.0.1:\(port.client)"
            let peer = "https://127.0.0.1:\(port.peer)"
            let flags = [
                "--name \(name) --data-dir \(name).data --log-level error", "--listen-client-urls \(client)",
                "--advertise-client-urls \(client) --listen-peer-urls \(peer)",
                "--initial-advertise-peer-urls \(peer) --initial-cluster \(cluster)",
                "--cert-file server.crt --key-file server.key --client-cert-auth --trusted-ca-file ca.crt",
                "--peer-cert-file server.crt --peer-key-file server.key --peer-client-cert-auth",
                "--peer-trusted-ca-file ca.crt --peer-cert-allowed-hostname localhost"
            ].joined(separator: " ")
            processes.append(ChildProcess("\(program) \(flags)", in: folder, log: "\(name).log"))
            endpoints.append("127.0.0.1:\(port.client)")
        }
    }

    var environment: [String: String] {
        [
            "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoints.joined(separator: ","),
            "ETCDCTL_CACERT": "\(folder)/ca.crt", "ETCDCTL_CERT": "\(folder)/server.crt",
            "ETCDCTL_KEY": "\(folder)/server.key"
        ]
    }

    /// Once all three know who leads.
    func areUp() -> Bool { Shell.succeeds("timeout 20 etcdctl endpoint health", environment: environment) }

    /// Several commands of one step may go to several members: a moment for the last of them to hear it.
    func answers(_ transcript: Transcript, stretch: Double) -> [(command: String, output: String)] {
        transcript.steps.map { step in
            let command = Transcript.stretched("sleep 0.2; \(step.command)", stretch)
            let output = Shell.run("cd \(folder); \(command)", environment: environment)
            return (step.command, Transcript.plain(output))
        }
    }

    var logs: String { Shell.run("tail -n 5 \(folder)/*.log") }

    func end() {
        for process in processes { process.end() }
        Shell.remove(folder)
    }
}

@Suite(.serialized, .enabled(if: Shell.has("etcdctl") && Shell.has("openssl"))) struct ClusterProgramTests {
    private func compare(_ program: String, isWriting: Bool = false) async throws {
        var transcript = try Transcript("three")
        if isWriting {
            transcript.steps = try answers(program, transcript, stretch: 1)
            return transcript.write()
        }
        try await transcript.compare { stretch in try answers(program, transcript, stretch: stretch) }
    }

    private func answers(
        _ program: String, _ transcript: Transcript, stretch: Double
    ) throws -> [(command: String, output: String)] {
        let members = Processes(program)
        defer { members.end() }
        try #require(members.areUp(), "\(members.logs)")
        return members.answers(transcript, stretch: stretch)
    }

    @Test(.enabled(if: canRunProgram))
    func `etcdctl operates three processes over mutual TLS as recorded`() async throws {
        try await compare("\(TernProgram.command) kv", isWriting: getenv("UPDATE") != nil)
    }

    @Test(.enabled(if: Shell.has("etcd"))) func `three processes of etcd are operated alike`() async throws {
        try await compare("etcd")
    }
}
