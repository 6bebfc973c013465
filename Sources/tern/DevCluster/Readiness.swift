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

    /// Ready by what each node's present process says: its first report is as young as the process, and its lease was
    /// renewed after `began`. What the API remembers of an earlier life of the node does not count.
    func waitForNodes(_ hosts: [Host], since began: WallTime, seconds: Int) async throws {
        let client = try client()
        let born = hosts.map { HostProcess(layout: layout, host: $0).startedAt ?? began }
        try await wait(seconds, "not all nodes are ready; see kubectl describe nodes and \(layout.logs)/w1.log") {
            let nodes = try await client.list(.nodes, namespace: nil, ListOptions()).items
            let leases = try await client.list(.leases, namespace: "kube-node-lease", ListOptions()).items
            return zip(hosts, born).allSatisfy { host, born in
                guard let node = nodes.first(where: { $0.name == host.name }),
                    let lease = leases.first(where: { $0.name == host.name })
                else { return false }
                return NodeReadiness.isReady(node, lease: lease, since: began, processBorn: born)
            }
        }
        await client.shutdown()
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
