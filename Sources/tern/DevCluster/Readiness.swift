// Waits until the cluster answers and its nodes are ready, as a person would see it: through the gateway with the administrator's kubeconfig.
import API
import APIClient
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Worker

struct Readiness {
    var layout: Layout
    var port: Int

    /// A client of the cluster through the gateway, as administrator.
    func client() throws -> RESTClient {
        let identity = try AdministratorFiles(layout).identity()
        let tls = try ClientTLS(trustRootsPEM: try PEMFile.read("\(layout.pki)/ca.crt"), identity: identity)
        var logger = Logger(label: "tern.up", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        return try RESTClient(
            RESTClientConfiguration(servers: ["https://127.0.0.1:\(port)"], tls: tls),
            group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    }

    func waitForMasters(seconds: Int) async throws {
        let client = try client()
        try await wait(seconds, "the masters are not ready; see \(layout.logs)/m1.log") {
            let answer = try await client.raw("GET", "/readyz")
            return answer.status == 200
        }
        await client.shutdown()
    }

    func waitForNodes(_ names: [String], seconds: Int) async throws {
        let client = try client()
        try await wait(seconds, "not all nodes are ready; see kubectl describe nodes and \(layout.logs)/w1.log") {
            let nodes = try await client.list(.nodes, namespace: nil, ListOptions()).items
            return names.allSatisfy { name in nodes.contains { $0.name == name && Self.isReady($0) } }
        }
        await client.shutdown()
    }

    private static func isReady(_ node: JSON) -> Bool {
        node["status", "conditions"]?.elements.contains {
            $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
        } ?? false
    }

    private func wait(_ seconds: Int, _ failure: String, _ isDone: () async throws -> Bool) async throws {
        let deadline = monotonicMilliseconds() + seconds * 1000
        var last = ""
        while monotonicMilliseconds() < deadline {
            do {
                if try await isDone() { return }
            } catch {
                last = ": \(error)"
            }
            try await Task.sleep(for: .milliseconds(25))
        }
        throw CommandFailure(failure + last)
    }
}

/// The administrator's certificate and key, kept beside the cluster's authorities.
struct AdministratorFiles {
    private let folder: String

    init(_ layout: Layout) { folder = layout.pki }

    var certificate: String { "\(folder)/admin.crt" }
    var key: String { "\(folder)/admin.key" }

    func identity() throws -> TLSIdentity {
        try TLSIdentity(certificatePEM: try PEMFile.read(certificate), keyPEM: try PEMFile.read(key))
    }
}
