// A client that is not ours and not Go's: Python's etcd3, over grpcio's own HTTP/2. The same script runs against a real etcd
// where there is one, so that it asks for nothing that etcd does not do.
import TestSupport
import Testing

private enum PythonClient {
    static var isPossible: Bool { Shell.run("/usr/bin/python3 -c 'import etcd3' && echo yes") == "yes\n" }
    static let script =
        #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
        + "/Clients/python_client.py"
    static let parts = "keys transactions watches leases locks compaction cluster snapshot"
}

@Suite(.serialized, .enabled(if: PythonClient.isPossible, "needs Debian's python3-etcd3"), .timeLimit(.minutes(2)))
struct PythonClientTests {
    private func run(port: Int) -> String {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        return Shell.run("timeout 60 /usr/bin/python3 \(PythonClient.script) \(port) \(folder)")
    }

    @Test func `Python's client works with each part`() async throws {
        let face = try await Face()
        #expect(run(port: face.port).split(separator: "\n").joined(separator: " ") == PythonClient.parts)
        try await face.end()
    }

    @Test(.enabled(if: Shell.has("etcd"))) func `what is asked of the client holds with etcd too`() throws {
        let etcd = try RealEtcd(name: "m1")
        defer { etcd.end() }
        let port = try #require(etcd.endpoint.split(separator: ":").last.flatMap { Int($0) })
        #expect(run(port: port).split(separator: "\n").joined(separator: " ") == PythonClient.parts)
    }
}
