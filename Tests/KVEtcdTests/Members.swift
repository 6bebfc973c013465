// Members of one cluster as users run them, each a `tern kv` of its own process and folder on loopback, and what the
// commands of operators say to them.
import Glibc

final class Members {
    static let path = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/.build/release/tern"
    static var isPossible: Bool {
        access(path, X_OK) == 0 && Shell.has("etcdctl") && Shell.run("\(path) snapshot --help").contains("restore")
    }

    let folder: String
    let names: [String]
    private var ports: [String: (client: Int, peer: Int)] = [:]
    private var taken: Set<Int> = []
    private var processes: [String: String] = [:]

    init(_ names: [String]) throws {
        folder = Shell.temporaryDirectory()
        self.names = names
        for name in names { try findPorts(name) }
    }

    func findPorts(_ name: String) throws { ports[name] = (try newPort(), try newPort()) }

    /// Not one of those that nobody listens on yet.
    private func newPort() throws -> Int {
        while true { if case let port = try Face.freePort(), taken.insert(port).inserted { return port } }
    }

    func client(_ name: String) -> String { "http://127.0.0.1:\(ports[name]?.client ?? 0)" }
    func peer(_ name: String) -> String { "http://127.0.0.1:\(ports[name]?.peer ?? 0)" }
    func data(_ name: String) -> String { "\(folder)/\(name)" }
    func log(_ name: String) -> String { Shell.run("cat \(folder)/\(name).log") }
    func cluster(_ names: [String]) -> String { names.map { "\($0)=\(peer($0))" }.joined(separator: ",") }

    /// `with`: the members that it is told of; all of them when nothing is said.
    func start(_ name: String, data: String? = nil, with others: [String]? = nil, _ flags: String = "") throws {
        let command = [
            "exec \(Self.path) kv --name \(name) --data-dir \(data ?? self.data(name))",
            "--listen-client-urls \(client(name)) --advertise-client-urls \(client(name))",
            "--listen-peer-urls \(peer(name)) --initial-advertise-peer-urls \(peer(name))",
            "--initial-cluster \(cluster(others ?? names)) \(flags)"
        ].joined(separator: " ")
        processes[name] = Shell.run("(\(command)) >> \(folder)/\(name).log 2>&1 & echo $!").filter(\.isNumber)
    }

    func kill(_ name: String, _ signal: String = "TERM") {
        guard let process = processes.removeValue(forKey: name) else { return }
        Shell.end(process, signal)
    }

    func end() {
        for name in processes.keys.sorted() { kill(name, "KILL") }
        Shell.remove(folder)
    }

    /// Until a member answers a linearizable read, for some minutes at most.
    func isServing(_ name: String) -> Bool {
        let ask = "etcdctl --endpoints=\(client(name)) --command-timeout=5s get serving"
        return Shell.run("export ETCDCTL_API=3; for i in $(seq 100); do \(ask) && echo up && break; sleep 0.2; done")
            .hasSuffix("up\n")
    }

    func etcdctl(_ name: String, _ arguments: String) -> String {
        let patience = arguments.contains("--command-timeout") ? "" : "--command-timeout=60s"
        return Shell.run(
            "timeout 60 etcdctl --endpoints=\(client(name)) \(patience) \(arguments)", environment: ["ETCDCTL_API": "3"]
        )
    }

    /// A command of the program, in the folder of all; its output, and its exit code when that is not 0.
    func tern(_ arguments: String) -> String { Shell.run("cd \(folder) && \(Self.path) \(arguments)") }

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
