// Members of one cluster as users run them, each a `tern kv` of its own process and folder on loopback, and what the
// commands of operators say to them.
import Glibc
import TestSupport

final class Members {
    static var isPossible: Bool { Shell.has("etcdctl") && TernProgram.knows("restore", of: "snapshot") }

    let folder: String
    let names: [String]
    private var ports: [String: (client: Int, peer: Int)] = [:]
    private var processes: [String: ChildProcess] = [:]

    init(_ names: [String]) {
        folder = Shell.temporaryDirectory()
        self.names = names
        for name in names { findPorts(name) }
    }

    /// What a failed test leaves.
    deinit { end() }

    func findPorts(_ name: String) { ports[name] = (FreePort.take(), FreePort.take()) }

    func client(_ name: String) -> String { "http://127.0.0.1:\(ports[name]?.client ?? 0)" }
    func peer(_ name: String) -> String { "http://127.0.0.1:\(ports[name]?.peer ?? 0)" }
    func data(_ name: String) -> String { "\(folder)/\(name)" }
    func log(_ name: String) -> String { Shell.run("cat \(folder)/\(name).log") }
    func cluster(_ names: [String]) -> String { names.map { "\($0)=\(peer($0))" }.joined(separator: ",") }

    /// `with`: the members that it is told of; all of them when nothing is said.
    func start(_ name: String, data: String? = nil, with others: [String]? = nil, _ flags: String = "") {
        let command = [
            "\(TernProgram.command) kv --name \(name) --data-dir \(data ?? self.data(name))",
            "--listen-client-urls \(client(name)) --advertise-client-urls \(client(name))",
            "--listen-peer-urls \(peer(name)) --initial-advertise-peer-urls \(peer(name))",
            "--initial-cluster \(cluster(others ?? names)) \(flags)"
        ].joined(separator: " ")
        processes[name] = ChildProcess(command, in: folder, log: "\(name).log")
    }

    func kill(_ name: String, _ signal: String = "TERM") {
        processes.removeValue(forKey: name)?.end(signal)
    }

    /// Its process is gone, also when it ended by itself.
    func hasEnded(_ name: String) -> Bool { processes[name]?.isGone ?? true }

    func end() {
        for name in processes.keys.sorted() { kill(name, "KILL") }
        Shell.remove(folder)
    }

    /// Once a member answers a linearizable read.
    func isServing(_ name: String) -> Bool {
        Shell.succeeds(
            "etcdctl --endpoints=\(client(name)) --command-timeout=5s get serving", environment: ["ETCDCTL_API": "3"])
    }

    func etcdctl(_ name: String, _ arguments: String) -> String {
        let patience = arguments.contains("--command-timeout") ? "" : "--command-timeout=60s"
        return Shell.run(
            "timeout 60 etcdctl --endpoints=\(client(name)) \(patience) \(arguments)", environment: ["ETCDCTL_API": "3"]
        )
    }

    /// A command of the program, in the folder of all; its output, and its exit code when that is not 0.
    func tern(_ arguments: String) -> String { Shell.run("cd \(folder) && \(TernProgram.command) \(arguments)") }

    /// Numbers of members by name, as one member tells them.
    func numbers(_ name: String) -> [String: String] {
        var found: [String: String] = [:]
        for line in tern("member list --endpoint \(client(name))").split(separator: "\n") {
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
            if columns.count >= 4 { found[String(columns[1])] = String(columns[0]) }
        }
        return found
    }
}
