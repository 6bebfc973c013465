import API
import APIServer
import Controllers
import Testing

private func workload(_ kind: String, _ name: String, image: String = "web:1", _ extra: JSON = [:]) -> JSON {
    var spec: JSON = [
        "selector": ["matchLabels": ["app": .string(name)]],
        "template": [
            "metadata": ["labels": ["app": .string(name)]],
            "spec": [
                "containers": [
                    ["name": "c", "image": .string(image), "ports": [["name": "http", "containerPort": 8080]]]
                ]
            ]
        ]
    ]
    for member in extra.object ?? [:] { spec[member.key] = member.value }
    return [
        "apiVersion": "apps/v1", "kind": .string(kind), "metadata": ["name": .string(name), "namespace": "default"],
        "spec": spec
    ]
}

private func image(_ pod: JSON) -> String { pod["spec", "containers"]?[0]?["image"]?.string ?? "" }

@Suite(.serialized, .timeLimit(.minutes(3)))
struct ClusterTests {
    private func withCluster(
        graceMilliseconds: Int64 = 60_000, _ body: (LoopsCluster) async throws -> Void
    ) async throws {
        let cluster = try await LoopsCluster(graceMilliseconds: graceMilliseconds)
        do {
            try await cluster.join("w1")
            try await cluster.join("w2")
            // Nodes come with the taint not-ready; the node controller takes it away.
            try await cluster.until("both nodes usable") {
                let nodes = try await cluster.client.list(.nodes, namespace: nil, ListOptions()).items
                return nodes.count == 2 && nodes.allSatisfy { ($0["spec", "taints"]?.elements ?? []).isEmpty }
            }
            try await body(cluster)
        } catch {
            await cluster.stop()
            throw error
        }
        await cluster.stop()
    }

    private func rolledOut(_ cluster: LoopsCluster, _ name: String) async throws {
        try await cluster.until("rollout of \(name)") {
            let found = try await cluster.client.get(.deployments, namespace: "default", name: name)
            let wanted = found["spec", "replicas"]?.int ?? 1, status = found["status"] ?? .null
            let isDone =
                status["observedGeneration"]?.int == found.generation && status["updatedReplicas"]?.int ?? 0 == wanted
                && status["replicas"]?.int ?? 0 == wanted && status["availableReplicas"]?.int ?? 0 == wanted
            return isDone
        }
    }

    @Test func `a deployment runs, rolls, is undone, and goes with all that it owns`() async throws {
        try await withCluster { cluster in
            let client = cluster.client
            _ = try await cluster.make(.deployments, workload("Deployment", "web", ["replicas": 4]))
            try await rolledOut(cluster, "web")
            let pods = try await cluster.pods("app=web")
            #expect(Set(pods.compactMap { $0["spec", "nodeName"]?.string }) == ["w1", "w2"])

            let change: JSON = ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "web:2"]]]]]]
            _ = try await client.patch(
                .deployments, namespace: "default", name: "web", subresource: nil, type: .strategic, change)
            try await rolledOut(cluster, "web")
            try await cluster.until("end of the old pods") {
                try await cluster.pods("app=web").allSatisfy { image($0) == "web:2" }
            }
            let sets = try await client.list(.replicaSets, namespace: "default", ListOptions()).items
            #expect(sets.map { $0.annotations["deployment.kubernetes.io/revision"] ?? "" }.sorted() == ["1", "2"])

            let undo: JSON = ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "web:1"]]]]]]
            _ = try await client.patch(
                .deployments, namespace: "default", name: "web", subresource: nil, type: .strategic, undo)
            try await rolledOut(cluster, "web")
            #expect(try await client.list(.replicaSets, namespace: "default", ListOptions()).items.count == 2)

            try await client.delete(
                .deployments, namespace: "default", name: "web", DeleteOptions(propagationPolicy: "Background"))
            try await cluster.until("end of everything") {
                let sets = try await client.list(.replicaSets, namespace: "default", ListOptions()).items
                let pods = try await cluster.pods("app=web")
                return sets.isEmpty && pods.isEmpty
            }
        }
    }

    @Test func `events tell what happened`() async throws {
        try await withCluster { cluster in
            _ = try await cluster.make(.deployments, workload("Deployment", "web", ["replicas": 1]))
            _ = try await cluster.make(
                .pods, pod("big", cpu: "99", labels: [:]).without("uid", "resourceVersion", "creationTimestamp"))
            try await cluster.until("events") {
                let events = try await cluster.client.list(.events, namespace: "default", ListOptions()).items
                let reasons = Set(events.compactMap { $0["reason"]?.string })
                return reasons.isSuperset(of: ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "FailedScheduling"]
                )
            }
            let condition = try await cluster.client.get(.pods, namespace: "default", name: "big")[
                "status", "conditions"]?.elements.first { $0["type"] == "PodScheduled" }
            #expect(condition?["reason"] == "Unschedulable")
            #expect(condition?["message"]?.string?.hasPrefix("0/2 nodes are available: 2 Insufficient cpu.") == true)
        }
    }

    @Test func `a service follows its pods`() async throws {
        try await withCluster { cluster in
            let client = cluster.client
            _ = try await cluster.make(
                .services,
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "namespace": "default"],
                    "spec": ["selector": ["app": "web"], "ports": [["port": 80, "targetPort": "http"]]]
                ])
            _ = try await cluster.make(.deployments, workload("Deployment", "web", ["replicas": 3]))
            func ready() async throws -> Int {
                let slices = try await client.list(
                    .endpointSlices, namespace: "default", ListOptions(labelSelector: "kubernetes.io/service-name=web")
                ).items
                return slices.flatMap { $0["endpoints"]?.elements ?? [] }.count {
                    $0["conditions", "ready"]?.bool == true
                }
            }
            try await cluster.until("three endpoints") { try await ready() == 3 }
            let endpoints = try await client.get(.endpoints, namespace: "default", name: "web")
            #expect(endpoints["subsets"]?[0]?["addresses"]?.elements.count == 3)
            #expect(endpoints["subsets"]?[0]?["ports"]?[0]?["port"] == 8080)
            _ = try await client.patch(
                .deployments, namespace: "default", name: "web", subresource: nil, type: .merge,
                ["spec": ["replicas": 1]])
            try await cluster.until("one endpoint") { try await ready() == 1 }
            try await client.delete(.services, namespace: "default", name: "web", DeleteOptions())
            try await cluster.until("no slice") {
                try await client.list(
                    .endpointSlices, namespace: "default", ListOptions(labelSelector: "kubernetes.io/service-name=web")
                ).items.isEmpty
            }
        }
    }

    @Test func `a daemon set runs on each node, also on one that comes later, and rolls`() async throws {
        try await withCluster { cluster in
            _ = try await cluster.make(.daemonSets, workload("DaemonSet", "ds"))
            func nodes(_ wanted: String) async throws -> [String] {
                try await cluster.pods("app=ds").filter { image($0) == wanted && !$0.isBeingDeleted }.compactMap {
                    $0["spec", "nodeName"]?.string
                }.sorted()
            }
            try await cluster.until("two daemons") { try await nodes("web:1") == ["w1", "w2"] }
            try await cluster.join("w3")
            try await cluster.until("three daemons") { try await nodes("web:1") == ["w1", "w2", "w3"] }
            let change: JSON = ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "web:2"]]]]]]
            _ = try await cluster.client.patch(
                .daemonSets, namespace: "default", name: "ds", subresource: nil, type: .strategic, change)
            try await cluster.until("new daemons") { try await nodes("web:2") == ["w1", "w2", "w3"] }
            let revisions = try await cluster.client.list(.controllerRevisions, namespace: "default", ListOptions())
                .items
            #expect(revisions.compactMap { $0["revision"]?.int }.sorted() == [1, 2])
            try await cluster.until("status") {
                let status =
                    try await cluster.client.get(.daemonSets, namespace: "default", name: "ds")["status"] ?? .null
                return status["updatedNumberScheduled"]?.int == 3 && status["numberAvailable"]?.int == 3
            }
        }
    }

    @Test func `the pods of a dead node move, and the node comes back`() async throws {
        try await withCluster(graceMilliseconds: 2000) { cluster in
            let client = cluster.client
            var object = workload("Deployment", "web", ["replicas": 4])
            object["spec", "template", "spec", "tolerations"] = [
                "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
            ].asTolerations(seconds: 1)
            _ = try await cluster.make(.deployments, object)
            try await rolledOut(cluster, "web")
            cluster.kill("w1")
            try await cluster.until("w1 Unknown") {
                let node = try await client.get(.nodes, namespace: nil, name: "w1")
                return node["status", "conditions"]?.elements.first { $0["type"] == "Ready" }?["status"] == "Unknown"
            }
            try await cluster.until("four on w2") {
                try await cluster.pods("app=web").count { $0["spec", "nodeName"] == "w2" && !$0.isBeingDeleted } == 4
            }
            cluster.revive("w1")
            try await cluster.until("w1 without taints and pods") {
                let node = try await client.get(.nodes, namespace: nil, name: "w1")
                let left = try await cluster.pods("app=web").contains { $0["spec", "nodeName"] == "w1" }
                return (node["spec", "taints"]?.elements ?? []).isEmpty && !left
            }
        }
    }

    @Test func `nodes get ranges of their own`() async throws {
        try await withCluster { cluster in
            try await cluster.until("ranges") {
                let ranges = try await cluster.client.list(.nodes, namespace: nil, ListOptions()).items.compactMap {
                    $0["spec", "podCIDR"]?.string
                }
                return Set(ranges) == ["10.244.0.0/24", "10.244.1.0/24"]
            }
        }
    }

    @Test func `a namespace is furnished, and empties when it is deleted`() async throws {
        try await withCluster { cluster in
            let client = cluster.client
            _ = try await client.create(
                .namespaces, namespace: nil, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "n"]])
            try await cluster.wait("account") {
                try await client.get(.serviceAccounts, namespace: "n", name: "default")
            }
            let map = try await cluster.wait("CA") {
                try await client.get(.configMaps, namespace: "n", name: "kube-root-ca.crt")
            }
            #expect(map["data", "ca.crt"] != nil)
            var object = workload("Deployment", "web", ["replicas": 2])
            object["metadata", "namespace"] = "n"
            _ = try await cluster.make(.deployments, object, in: "n")
            try await cluster.until("pods") { try await cluster.pods("app=web", in: "n").count == 2 }
            try await client.delete(.namespaces, namespace: nil, name: "n", DeleteOptions())
            try await cluster.until("the end of the namespace") {
                do throws(StatusError) {
                    _ = try await client.get(.namespaces, namespace: nil, name: "n")
                    return false
                } catch { return error.isNotFound }
            }
        }
    }

    @Test func `foreground deletion waits for dependents, orphaning leaves them`() async throws {
        try await withCluster { cluster in
            let client = cluster.client
            _ = try await cluster.make(.replicaSets, workload("ReplicaSet", "kept", ["replicas": 2]))
            try await cluster.until("pods") { try await cluster.pods("app=kept").count == 2 }
            try await client.delete(
                .replicaSets, namespace: "default", name: "kept", DeleteOptions(propagationPolicy: "Orphan"))
            func goes(_ what: String) async throws {
                try await cluster.until("end of \(what)") {
                    try await client.list(.replicaSets, namespace: "default", ListOptions()).items.isEmpty
                }
            }
            try await goes("the orphaning set")
            try await cluster.until("orphans") {
                let pods = try await cluster.pods("app=kept")
                return pods.count == 2 && pods.allSatisfy { $0.ownerReferences.isEmpty }
            }
            _ = try await cluster.make(.replicaSets, workload("ReplicaSet", "kept", ["replicas": 2]))
            try await cluster.until("adoption") {
                let pods = try await cluster.pods("app=kept")
                return pods.count == 2 && pods.allSatisfy { $0.controllerReference?["name"] == "kept" }
            }
            try await client.delete(
                .replicaSets, namespace: "default", name: "kept", DeleteOptions(propagationPolicy: "Foreground"))
            try await goes("the set")
            #expect(try await cluster.pods("app=kept").isEmpty)
        }
    }

    @Test func `nobody acts without leadership, and all act after it`() async throws {
        try await withCluster { cluster in
            try await cluster.wait("leases") {
                try await cluster.client.get(.leases, namespace: "kube-system", name: "kube-scheduler")
            }
            cluster.deactivate()
            try await Task.sleep(for: .milliseconds(100))
            _ = try await cluster.make(.deployments, workload("Deployment", "web", ["replicas": 2]))
            try await Task.sleep(for: .milliseconds(500))
            #expect(try await cluster.pods("app=web").isEmpty)
            cluster.activate()
            try await cluster.until("pods on nodes") {
                try await cluster.pods("app=web").count { $0["spec", "nodeName"]?.string != nil } == 2
            }
            let lease = try await cluster.client.get(.leases, namespace: "kube-system", name: "kube-controller-manager")
            #expect(lease["spec", "holderIdentity"] == "m1")
        }
    }

    @Test func `two hundred pods are created and scheduled exactly once`() async throws {
        try await withCluster { cluster in
            _ = try await cluster.make(.deployments, workload("Deployment", "many", ["replicas": 200]))
            try await cluster.until("two hundred") {
                try await cluster.pods("app=many").count { $0["spec", "nodeName"]?.string != nil } == 200
            }
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await cluster.pods("app=many").count == 200)
        }
    }
}

extension JSON {
    fileprivate func without(_ fields: String...) -> JSON {
        var copy = self
        for field in fields { copy["metadata", field] = nil }
        return copy
    }
}

extension [String] {
    fileprivate func asTolerations(seconds: Int64) -> JSON {
        .array(
            map {
                ["key": .string($0), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": .int(seconds)]
            })
    }
}
