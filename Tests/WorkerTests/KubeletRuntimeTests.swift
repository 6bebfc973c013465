// The kubelet on a real containerd. Opt-in: TERN_TEST_RUNTIME names the socket of a private containerd that has
// tern.local/tools:1 and its sandbox image, in the network namespace in which the tests run.
import API
import Glibc
import Kubelet
import Logging
import NIOPosix
import Testing

private let socket = getenv("TERN_TEST_RUNTIME").map { String(cString: $0) }

/// One kubelet on the private runtime, with its directories in a place of its own.
private final class Bench: Sendable {
    let client = MemoryClient()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let root: String
    let nodeName: String
    let kubelet: Kubelet
    let runtime: RuntimeClient

    init(_ nodeName: String, root: String = "/tmp/tern-kubelet-test") throws {
        self.root = root
        self.nodeName = nodeName
        var configuration = KubeletConfiguration(nodeName: nodeName, nodeIPs: ["127.0.0.1"])
        configuration.rootDirectory = root + "/lib"
        configuration.podLogsDirectory = root + "/pods"
        configuration.containerLogsDirectory = root + "/containers"
        configuration.cgroupRoot = "/tern-kubelet-test"
        let group = group
        runtime = RuntimeClient.connect(endpoint: socket ?? "", group: group).client
        configuration.runtimeEndpoint = socket ?? ""
        var logger = Logger(label: "kubelet")
        logger.logLevel = getenv("TERN_TEST_LOG") == nil ? .warning : .debug
        kubelet = try Kubelet(
            configuration: configuration, client: client, runtime: runtime, group: group, logger: logger)
        client.put(
            .services,
            [
                "metadata": ["name": "kubernetes", "namespace": "default"],
                "spec": ["clusterIP": "10.96.0.1", "ports": [["name": "https", "port": 443, "protocol": "TCP"]]]
            ])
    }

    func pod(_ name: String, _ spec: JSON) -> JSON {
        var spec = spec
        spec["nodeName"] = .string(nodeName)
        return [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": .string(name), "namespace": "default", "uid": .string("uid-\(name)"),
                "labels": ["app": .string(name)]
            ], "spec": spec,
            "status": ["phase": "Pending"]
        ]
    }

    /// Waits until the pod's status is as wanted; the last status otherwise.
    func wait(_ name: String, seconds: Int = 60, _ isWanted: (JSON) -> Bool) async throws -> JSON? {
        for _ in 0..<(seconds * 50) {
            if let pod = client.object(.pods, "default", name), isWanted(pod["status"] ?? [:]) { return pod["status"] }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("\(name) is \(client.object(.pods, "default", name)?["status"]?.text ?? "gone")")
        return nil
    }

    func waitGone(_ name: String) async throws {
        for _ in 0..<3000 where client.object(.pods, "default", name) != nil {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(client.object(.pods, "default", name) == nil)
    }

    func delete(_ name: String, grace: Int64) {
        guard var pod = client.object(.pods, "default", name) else { return }
        pod["metadata", "deletionTimestamp"] = .string(TimeText.text(Clock.now() + .seconds(grace)))
        pod["metadata", "deletionGracePeriodSeconds"] = .int(grace)
        client.put(.pods, pod)
    }

    func exec(_ status: JSON, _ command: String...) async throws -> String {
        let id = status["containerStatuses"]?[0]?["containerID"]?.string ?? ""
        let result = try await runtime.execSync(
            String(id.dropFirst("containerd://".count)), command: command, timeoutSeconds: 5)
        return String(decoding: result.stdout + result.stderr, as: UTF8.self)
    }

    /// Deletes every pod and waits until nothing of this bench is left.
    func clean() async throws {
        for pod in client.all(.pods) { delete(pod.name, grace: 0) }
        for pod in client.all(.pods) { try await waitGone(pod.name) }
    }
}

private func running(_ status: JSON) -> Bool { status["phase"] == "Running" }

@Suite(
    .enabled(
        if: socket != nil && getuid() == 0, "needs root and TERN_TEST_RUNTIME=unix:///path/of/a/private/containerd.sock"
    ), .serialized)
struct KubeletRuntimeTests {
    private func with(_ nodeName: String, _ body: (Bench) async throws -> Void) async throws {
        let bench = try Bench(nodeName)
        let task = Task { try await bench.kubelet.run() }
        try await body(bench)
        try await bench.clean()
        bench.kubelet.stop()
        try await task.value
        try Files.removeTree(bench.root)
    }

    @Test func `a pod with volumes and environment runs, and leaves nothing`() async throws {
        try await with("kt1") { bench in
            bench.client.put(.configMaps, ["metadata": ["name": "cm", "namespace": "default"], "data": ["k": "v1"]])
            bench.client.put(.secrets, ["metadata": ["name": "s", "namespace": "default"], "data": ["p": "cHc="]])
            bench.client.put(
                .pods,
                bench.pod(
                    "full",
                    [
                        "containers": [
                            [
                                "name": "c", "image": "tern.local/tools:1",
                                "command": ["sh", "-c", "echo hello $(WHO); exec sleep 3600"],
                                "env": [
                                    ["name": "WHO", "valueFrom": ["configMapKeyRef": ["name": "cm", "key": "k"]]]
                                ],
                                "volumeMounts": [
                                    ["name": "cm", "mountPath": "/cm"], ["name": "all", "mountPath": "/all"],
                                    ["name": "tmp", "mountPath": "/mem"],
                                    ["name": "cm", "mountPath": "/one", "subPath": "k"]
                                ],
                                "resources": ["limits": ["memory": "64Mi", "cpu": "500m"]]
                            ]
                        ],
                        "volumes": [
                            ["name": "cm", "configMap": ["name": "cm"]],
                            ["name": "tmp", "emptyDir": ["medium": "Memory"]],
                            [
                                "name": "all",
                                "projected": [
                                    "sources": [
                                        ["secret": ["name": "s"]], ["serviceAccountToken": ["path": "token"]],
                                        [
                                            "downwardAPI": [
                                                "items": [
                                                    ["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]]
                                                ]
                                            ]
                                        ]
                                    ]
                                ]
                            ]
                        ]
                    ]))
            guard
                let status = try await bench.wait(
                    "full", { running($0) && $0["containerStatuses"]?[0]?["ready"] == true })
            else { return }
            #expect(status["podIP"]?.string?.hasPrefix("10.244.77.") == true)
            let seen = try await bench.exec(
                status, "sh", "-c",
                "cat /cm/k /one /all/p /all/token /all/labels /etc/hosts; hostname; env; grep /mem /proc/mounts; cat /etc/resolv.conf"
            )
            for wanted in [
                "v1", "pw", "a-token", "app=\"full\"", "# Kubernetes-managed hosts file.", "\nfull\n",
                "KUBERNETES_SERVICE_HOST=10.96.0.1", "tmpfs /mem", "nameserver 10.96.0.10", "ndots:5"
            ] {
                #expect(seen.contains(wanted), "\(wanted) in \(seen)")
            }
            let log = try Files.text("\(bench.root)/pods/default_full_uid-full/c/0.log")
            #expect(log.contains("stdout F hello v1"))
            let group = "/sys/fs/cgroup/memory/tern-kubelet-test/kubepods/poduid-full"
            #expect(Files.isDirectory(group))
            bench.delete("full", grace: 1)
            try await bench.waitGone("full")
            #expect(!Files.exists(group))
            #expect(!Files.exists("\(bench.root)/lib/pods/uid-full"))
            #expect(!Files.exists("\(bench.root)/pods/default_full_uid-full"))
            #expect(try await bench.runtime.sandboxes().allSatisfy { $0.metadata.uid != "uid-full" })
            let reasons = bench.client.all(.events).compactMap { $0["reason"]?.string }
            for reason in ["Pulled", "Created", "Started", "Killing"] {
                #expect(reasons.contains(reason), "\(reasons)")
            }
        }
    }

    @Test func `a crash is counted and its message kept`() async throws {
        try await with("kt2") { bench in
            bench.client.put(
                .pods,
                bench.pod(
                    "crash",
                    [
                        "containers": [
                            [
                                "name": "c", "image": "tern.local/tools:1",
                                "command": ["sh", "-c", "echo oops > /dev/termination-log; exit 3"]
                            ]
                        ]
                    ]))
            let status = try await bench.wait("crash") {
                $0["containerStatuses"]?[0]?["state", "waiting", "reason"] == "CrashLoopBackOff"
            }
            let container = status?["containerStatuses"]?[0]
            #expect(container?["restartCount"] == 1)
            #expect(container?["lastState", "terminated", "exitCode"] == 3)
            #expect(container?["lastState", "terminated", "message"] == "oops\n")
        }
    }

    @Test func `jobs end, init containers run in order, missing images are told`() async throws {
        try await with("kt3") { bench in
            bench.client.put(
                .pods,
                bench.pod(
                    "job",
                    [
                        "restartPolicy": "Never",
                        "initContainers": [
                            [
                                "name": "i", "image": "tern.local/tools:1", "command": ["sh", "-c", "echo 1 > /d/x"],
                                "volumeMounts": [["name": "d", "mountPath": "/d"]]
                            ]
                        ],
                        "containers": [
                            [
                                "name": "c", "image": "tern.local/tools:1", "command": ["cat", "/d/x"],
                                "volumeMounts": [["name": "d", "mountPath": "/d"]]
                            ]
                        ],
                        "volumes": [["name": "d", "emptyDir": [:]]]
                    ]))
            bench.client.put(
                .pods,
                bench.pod(
                    "absent", ["containers": [["name": "c", "image": "tern.local/none:1", "imagePullPolicy": "Never"]]])
            )
            bench.client.put(
                .pods,
                bench.pod(
                    "noconfig",
                    [
                        "containers": [
                            [
                                "name": "c", "image": "tern.local/tools:1",
                                "env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "none", "key": "k"]]]]
                            ]
                        ]
                    ]))
            _ = try await bench.wait("job") { $0["phase"] == "Succeeded" }
            _ = try await bench.wait("absent") {
                $0["containerStatuses"]?[0]?["state", "waiting", "reason"] == "ErrImageNeverPull"
            }
            _ = try await bench.wait("noconfig") {
                $0["containerStatuses"]?[0]?["state", "waiting", "reason"] == "CreateContainerConfigError"
            }
        }
    }

    @Test func `probes decide on readiness and restart`() async throws {
        try await with("kt4") { bench in
            bench.client.put(
                .pods,
                bench.pod(
                    "probed",
                    [
                        "terminationGracePeriodSeconds": 1,
                        "containers": [
                            [
                                "name": "c", "image": "tern.local/tools:1",
                                "command": [
                                    "sh", "-c", "mkdir /w; echo ok > /w/i; httpd -p 8080 -h /w; exec sleep 3600"
                                ],
                                "readinessProbe": ["httpGet": ["path": "/i", "port": 8080], "periodSeconds": 1],
                                "startupProbe": ["tcpSocket": ["port": 8080], "periodSeconds": 1],
                                "livenessProbe": [
                                    "exec": ["command": ["test", "-e", "/w/i"]], "periodSeconds": 1,
                                    "failureThreshold": 1
                                ]
                            ]
                        ]
                    ]))
            guard let status = try await bench.wait("probed", { $0["containerStatuses"]?[0]?["ready"] == true }) else {
                return
            }
            _ = try await bench.exec(status, "rm", "/w/i")
            _ = try await bench.wait("probed") {
                $0["containerStatuses"]?[0]?["restartCount"] == 1 && $0["containerStatuses"]?[0]?["ready"] == true
            }
        }
    }

    @Test func `a restarted kubelet adopts, an API that is away changes nothing, orphans go`() async throws {
        let first = try Bench("kt5")
        let task = Task { try await first.kubelet.run() }
        for name in ["stays", "goes"] {
            first.client.put(
                .pods,
                first.pod(
                    name,
                    ["terminationGracePeriodSeconds": 0, "containers": [["name": "c", "image": "tern.local/tools:1"]]]))
        }
        let before = try await first.wait("stays", running)
        _ = try await first.wait("goes", running)
        first.client.setAway(true)
        try await Task.sleep(for: .seconds(2))
        first.kubelet.stop()
        try await task.value
        try await with("kt5") { second in
            second.client.put(
                .pods,
                second.pod(
                    "stays",
                    ["terminationGracePeriodSeconds": 0, "containers": [["name": "c", "image": "tern.local/tools:1"]]]))
            let after = try await second.wait("stays", running)
            #expect(after?["containerStatuses"]?[0]?["containerID"] == before?["containerStatuses"]?[0]?["containerID"])
            for _ in 0..<200
            where try await second.runtime.sandboxes().contains(where: { $0.metadata.uid == "uid-goes" }) {
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(try await second.runtime.sandboxes().allSatisfy { $0.metadata.uid != "uid-goes" })
        }
    }

    @Test func `the node registers and becomes ready`() async throws {
        try await with("kt6") { bench in
            for _ in 0..<250 {
                let conditions = bench.client.object(.nodes, "", "kt6")?["status", "conditions"]?.elements ?? []
                if conditions.contains(where: { $0["type"] == "Ready" && $0["status"] == "True" }) { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            let node = bench.client.object(.nodes, "", "kt6") ?? .null
            #expect(
                node["status", "conditions"]?.elements.first { $0["type"] == "Ready" }?["status"] == "True",
                "\(node.text)")
            #expect(node["status", "nodeInfo", "containerRuntimeVersion"]?.string?.hasPrefix("containerd://") == true)
            #expect(node.labels["kubernetes.io/hostname"] == "kt6")
            try await Task.sleep(for: .seconds(1))
            #expect(bench.client.object(.leases, "kube-node-lease", "kt6")?["spec", "holderIdentity"] == "kt6")
        }
    }
}
