// Hosts and processes that die, freeze and come back, and what clients see of it.
import API
import Glibc
import Testing
import Worker

extension ClusterTests {
    @Test func `the leader is killed, writes go on, and it comes back`() async throws {
        let cluster = try cluster()
        try cluster.kubectl("create", "configmap", "before")
        let leader = try await cluster.leader()
        try cluster.tern("kill", leader)
        for number in 0..<5 {
            try await cluster.eventually("a write after the kill") {
                let result = try cluster.attempt("create", "configmap", "after-\(number)")
                return result.status == 0 || result.output.contains("already exists")
            }
        }
        #expect(try await cluster.leader(besides: leader) != leader)
        try await cluster.eventually("what was there before is there") {
            try cluster.attempt("get", "configmap", "before").status == 0
        }
        try cluster.tern("start", leader)
        try await cluster.eventually("the killed one caught up") { try self.isWhole() }
    }

    /// Every master answers, and none is behind what the leader had applied.
    private func isWhole() throws -> Bool {
        let cluster = try cluster()
        let status = try JSON.parse(Array(try cluster.tern("status", "-o", "json").utf8))
        let applied = (status["members"]?.elements ?? []).compactMap { $0["status", "appliedIndex"]?.int }
        return applied.count == 3 && (applied.max() ?? 0) - (applied.min() ?? 0) < 50
    }

    @Test func `a frozen leader holds no client up`() async throws {
        let cluster = try cluster()
        let leader = try await cluster.leader()
        try cluster.tern("pause", leader)
        // Some of these connections go to the frozen master first; a hang would end in the client's own time-out.
        for number in 0..<8 {
            let name = "frozen-\(number)"
            try await cluster.eventually("a write beside the frozen master") {
                let result = try cluster.attempt("create", "configmap", name, "--request-timeout=60s")
                #expect(!result.output.contains("Timeout exceeded"), "\(result.output)")
                return result.status == 0 || result.output.contains("already exists")
            }
        }
        try cluster.tern("resume", leader)
        try await cluster.eventually("the frozen one caught up") { try self.isWhole() }
    }

    @Test func `with two masters down reads go on with a warning, and writes are refused`() async throws {
        let cluster = try cluster()
        try cluster.tern("kill", "m2")
        try cluster.tern("kill", "m3")
        try await cluster.eventually("a read from memory with a warning") {
            let result = try cluster.attempt("get", "--raw", "/api/v1/namespaces?resourceVersion=0")
            return result.status == 0 && result.output.contains("Warning:") && result.output.contains("kube-system")
        }
        try await cluster.eventually("a refused write") {
            let result = try cluster.attempt("create", "namespace", "refused", "--request-timeout=60s")
            return result.status != 0 && result.output.contains("(ServiceUnavailable)")
        }
        try cluster.tern("heal")
        try await cluster.eventually("a write") {
            try cluster.attempt("create", "configmap", "again").status == 0
        }
        try await cluster.eventually("all three") { try self.isWhole() }
    }

    @Test func `the runtime is killed and its pods live on`() async throws {
        let cluster = try cluster()
        let overrides = #"--overrides={"spec":{"nodeName":"w1"}}"#
        try cluster.kubectl("run", "survivor", "--image=tern.local/web:1", overrides)
        try cluster.kubectl("wait", "--for=condition=Ready", "pod/survivor", "--timeout=60s")
        let before = try cluster.json("pod", "survivor")["status", "containerStatuses"]?[0] ?? .null
        let ready = Self.condition(try cluster.json("node", "w1"), "Ready")
        try cluster.tern("host", "w1", "--", "sh", "-c", Self.killRuntime)
        try await cluster.eventually("the runtime answers again") {
            try cluster.attempt("exec", "survivor", "--", "true").status == 0
        }
        let after = try cluster.json("pod", "survivor")["status", "containerStatuses"]?[0] ?? .null
        #expect(after["containerID"] == before["containerID"])
        #expect(after["restartCount"] == 0)
        // The node never counted as lost.
        let again = Self.condition(try cluster.json("node", "w1"), "Ready")
        #expect(again?["status"] == "True")
        #expect(again?["lastTransitionTime"] == ready?["lastTransitionTime"])
        try cluster.kubectl("delete", "pod", "survivor", "--grace-period=1")
    }

    private static let killRuntime = """
        for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = containerd ] && kill -9 ${p#/proc/}; done; true
        """

    @Test func `a worker is killed, its pods run elsewhere, and it is used again`() async throws {
        let cluster = try cluster()
        try Files.write(Self.impatient, to: "\(cluster.folder)/impatient.yaml")
        try cluster.kubectl("apply", "-f", "impatient.yaml")
        try cluster.kubectl("rollout", "status", "deployment/impatient", "--timeout=60s")
        try cluster.tern("kill", "w2")
        try cluster.kubectl("wait", "--for=condition=Ready=Unknown", "node/w2", "--timeout=110s")
        try await cluster.eventually("both on w1") { try self.places() == ["w1", "w1"] }
        try cluster.tern("start", "w2")
        try cluster.kubectl("wait", "--for=condition=Ready=True", "node/w2", "--timeout=60s")
        try await cluster.eventually("no taint on w2") {
            (try cluster.json("node", "w2")["spec", "taints"]?.elements ?? []).isEmpty
        }
        try cluster.kubectl("scale", "deployment", "impatient", "--replicas=4")
        try await cluster.eventually("pods on w2") {
            try cluster.kubectl("rollout", "status", "deployment/impatient", "--timeout=60s")
            if try self.places().contains("w2") { return true }
            // They were placed before the scheduler had heard of it.
            try cluster.kubectl("rollout", "restart", "deployment/impatient")
            return false
        }
        try cluster.kubectl("delete", "deployment", "impatient")
    }

    /// The nodes of the pods that are ready.
    private func places() throws -> [String] {
        let pods = try cluster().json("pods", "-l", "app=impatient")["items"]?.elements ?? []
        return pods.filter { !$0.isBeingDeleted && Self.condition($0, "Ready")?["status"] == "True" }
            .compactMap { $0["spec", "nodeName"]?.string }.sorted()
    }

    /// Two pods that wait one second for a node that is gone.
    private static let impatient = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: impatient}
        spec:
          replicas: 2
          selector: {matchLabels: {app: impatient}}
          template:
            metadata: {labels: {app: impatient}}
            spec:
              terminationGracePeriodSeconds: 1
              tolerations:
              - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
              - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
              containers: [{name: web, image: "tern.local/web:1"}]
        """

    @Test func `everything is killed at once, and up repairs it`() async throws {
        let cluster = try cluster()
        try cluster.kubectl("create", "deployment", "lasting", "--image=tern.local/web:1", "--replicas=2")
        try cluster.kubectl("rollout", "status", "deployment/lasting", "--timeout=60s")
        for text in cluster.processes.values {
            if let pid = pid_t(text.prefix { $0.isNumber }) { kill(pid, SIGKILL) }
        }
        try cluster.up()
        // Right after "up": both nodes are ready by what they report now, not by what was known before.
        for node in try cluster.json("nodes")["items"]?.elements ?? [] {
            #expect(Self.condition(node, "Ready")?["status"] == "True")
        }
        try await cluster.eventually("the pods run again") {
            let pods = try cluster.json("pods", "-l", "app=lasting")["items"]?.elements ?? []
            return pods.count == 2
                && pods.allSatisfy {
                    let status = $0["status", "containerStatuses"]?[0]
                    return status?["ready"] == true && status?["restartCount"]?.int ?? 0 > 0
                }
        }
        try cluster.kubectl("delete", "deployment", "lasting")
    }
}
