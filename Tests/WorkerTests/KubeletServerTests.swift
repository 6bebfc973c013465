// The kubelet's HTTPS face on a real containerd: who may come in, logs, exec with its exit code and the end of stdin.
import API
import Glibc
import Kubelet
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Synchronization
import Testing

private let socket = getenv("TERN_TEST_RUNTIME").map { String(cString: $0) }

/// A kubelet that serves, and a client that masters would use.
private final class ServedBench: Sendable {
    let client = MemoryClient()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let kubelet: Kubelet
    let http: HTTPClient
    let stranger: HTTPClient
    let root = "/tmp/tern-kubelet-server-test"
    let port = 20250

    init() throws {
        let authority = try CertificateAuthority.make(commonName: "kubernetes-ca")
        let serving = try authority.issue(
            CertificateSpec(commonName: "node", ipAddresses: ["127.0.0.1"], usages: [.server]))
        let master = try authority.issue(
            CertificateSpec(commonName: "master", organizations: ["system:masters"], usages: [.client]))
        var configuration = KubeletConfiguration(nodeName: "ks", nodeIPs: ["127.0.0.1"])
        configuration.rootDirectory = root + "/lib"
        configuration.podLogsDirectory = root + "/pods"
        configuration.containerLogsDirectory = root + "/containers"
        configuration.cgroupRoot = "/tern-kubelet-server-test"
        configuration.listenHost = "127.0.0.1"
        configuration.port = port
        configuration.serverTLS = try ServerTLS(identity: TLSIdentity(serving), clientCAPEM: authority.certificatePEM)
        let logger = Logger(label: "kubelet")
        let runtime = RuntimeClient.connect(endpoint: socket ?? "", group: group).client
        kubelet = try Kubelet(
            configuration: configuration, client: client, runtime: runtime, group: group, logger: logger)
        http = HTTPClient(
            configuration: HTTPClientConfiguration(
                tls: try ClientTLS(trustRootsPEM: authority.certificatePEM, identity: TLSIdentity(master))),
            group: group, logger: logger)
        stranger = HTTPClient(
            configuration: HTTPClientConfiguration(tls: try ClientTLS(trustRootsPEM: authority.certificatePEM)),
            group: group, logger: logger)
        client.put(
            .pods,
            [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "namespace": "default", "uid": "uid-p"],
                "status": ["phase": "Pending"],
                "spec": [
                    "nodeName": "ks", "terminationGracePeriodSeconds": 0,
                    "containers": [
                        [
                            "name": "c", "image": "tern.local/tools:1",
                            "command": ["sh", "-c", "for i in 1 2 3; do echo line $i; done; exec sleep 3600"]
                        ]
                    ]
                ]
            ])
    }

    func request(_ method: String, _ target: String) -> HTTPClientRequest {
        HTTPClientRequest(
            method: method, endpoint: HTTPEndpoint(host: "127.0.0.1", port: port, isSecure: true), target: target)
    }

    func waitRunning() async throws {
        for _ in 0..<500 {
            if client.object(.pods, "default", "p")?["status", "containerStatuses"]?[0]?["ready"] == true { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("the pod does not run")
    }

    func finish() async throws {
        if var pod = client.object(.pods, "default", "p") {
            pod["metadata", "deletionTimestamp"] = .string(TimeText.text(Clock.now()))
            pod["metadata", "deletionGracePeriodSeconds"] = 0
            client.put(.pods, pod)
        }
        for _ in 0..<500 where client.object(.pods, "default", "p") != nil {
            try await Task.sleep(for: .milliseconds(20))
        }
        kubelet.stop()
    }

    /// Runs a command over WebSocket v5, sends `input` and closes stdin; all that came by channel, and the close code.
    func exec(_ query: String, input: String?) async throws -> [UInt8: String] {
        let socket = try await http.webSocket(
            request("GET", "/exec/default/p/c?\(query)"), protocols: ["v5.channel.k8s.io"])
        let heard = Mutex<[UInt8: String]>([:])
        let box = HeardBox(heard)
        socket.onMessage { bytes, _ in
            var rest = bytes
            guard let channel: UInt8 = rest.readInteger() else { return }
            box.add(channel, String(buffer: rest))
        }
        if let input {
            socket.send(binary: ByteBuffer(bytes: [0] + Array(input.utf8)))
            socket.send(binary: ByteBuffer(bytes: [255, 0]))
        }
        await withCheckedContinuation { continuation in socket.onClose { _ in continuation.resume() } }
        return box.all
    }
}

private final class HeardBox: Sendable {
    private let heard: Mutex<[UInt8: String]>
    init(_ heard: consuming Mutex<[UInt8: String]>) { self.heard = heard }
    func add(_ channel: UInt8, _ text: String) { heard.withLock { $0[channel, default: ""] += text } }
    var all: [UInt8: String] { heard.withLock { $0 } }
}

@Suite(
    .enabled(
        if: socket != nil && getuid() == 0, "needs root and TERN_TEST_RUNTIME=unix:///path/of/a/private/containerd.sock"
    ), .serialized,
    .timeLimit(.minutes(1)))
struct KubeletServerTests {
    @Test func `masters get in, strangers do not, exec ends with its stdin and its code`() async throws {
        let bench = try ServedBench()
        let task = Task { try await bench.kubelet.run() }
        try await bench.waitRunning()
        #expect(try await bench.stranger.send(bench.request("GET", "/pods")).status == 401)
        #expect(try await bench.http.send(bench.request("GET", "/healthz")).status == 200)
        #expect(try await bench.http.send(bench.request("GET", "/nothing")).status == 404)
        let logs = try await bench.http.send(bench.request("GET", "/containerLogs/default/p/c?tailLines=2"))
        #expect(String(buffer: logs.body) == "line 2\nline 3\n")
        let limited = try await bench.http.send(bench.request("GET", "/containerLogs/default/p/c?limitBytes=4"))
        #expect(String(buffer: limited.body) == "line")

        let cat = try await bench.exec("command=cat&input=1&output=1&error=1", input: "through and back")
        #expect(cat[1] == "through and back")
        #expect(cat[3]?.contains("\"status\":\"Success\"") == true)
        let failed = try await bench.exec(
            "command=sh&command=-c&command=echo%20bad%20%3E%262;%20exit%207&output=1&error=1", input: nil)
        #expect(failed[2] == "bad\n")
        #expect(failed[3]?.contains("\"reason\":\"ExitCode\",\"message\":\"7\"") == true, "\(failed)")

        let metrics = try await bench.http.send(bench.request("GET", "/metrics/resource"))
        #expect(
            String(buffer: metrics.body).contains(
                "container_memory_working_set_bytes{container=\"c\",namespace=\"default\",pod=\"p\"}"))
        let summary = try await bench.http.send(bench.request("GET", "/stats/summary"))
        #expect(String(buffer: summary.body).contains("\"podRef\""))
        try await bench.finish()
        try await task.value
        await bench.http.shutdown()
        await bench.stranger.shutdown()
        try Files.removeTree(bench.root)
    }
}
