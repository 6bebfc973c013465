// What runs on the cluster, as kubectl shows it: deployments, services, pods on both workers, streams into containers.
import API
import Testing
import Worker

extension ClusterTests {
    @Test func `both workers are ready, and up again changes nothing`() async throws {
        let cluster = try cluster()
        let before = cluster.processes
        #expect(before.count == 6)
        try cluster.up()
        #expect(cluster.processes == before)
        let nodes = try cluster.json("nodes")["items"]?.elements ?? []
        #expect(nodes.map(\.name) == ["w1", "w2"])
        for node in nodes {
            #expect(Self.condition(node, "Ready")?["status"] == "True")
            let info = node["status", "nodeInfo"]
            #expect(info?["containerRuntimeVersion"]?.string?.hasPrefix("containerd://") == true)
            #expect(info?["kubeletVersion"]?.string?.hasPrefix("v1.33.0+tern") == true)
        }
        try await cluster.eventually("a master is ready") {
            try cluster.kubectl("get", "--raw", "/readyz?verbose").contains("readyz check passed")
        }
    }

    @Test func `a deployment is exposed, scaled, rolled out and back, and reached from everywhere`() async throws {
        let cluster = try cluster()
        try cluster.kubectl("create", "namespace", "web")
        try cluster.kubectl("create", "deployment", "web", "--image=tern.local/web:1", "--replicas=2", "-n", "web")
        try cluster.kubectl("run", "tools", "--image=tern.local/tools:1", "-n", "web")
        try cluster.kubectl("expose", "deployment", "web", "--type=NodePort", "--port=8080", "-n", "web")
        try cluster.kubectl("scale", "deployment", "web", "--replicas=4", "-n", "web")
        try cluster.kubectl("rollout", "status", "deployment/web", "-n", "web", "--timeout=60s")
        try cluster.kubectl("wait", "--for=condition=Ready", "pod/tools", "-n", "web", "--timeout=60s")
        let pods = try cluster.json("pods", "-n", "web", "-l", "app=web")["items"]?.elements ?? []
        #expect(pods.count == 4)
        #expect(Set(pods.compactMap { $0["spec", "nodeName"]?.string }) == ["w1", "w2"])
        for address in pods.compactMap({ $0["status", "podIP"]?.string }) {
            try await cluster.eventually("from pod to pod \(address)") {
                try self.fetch("http://\(address):8080").contains("version 1")
            }
        }
        try await cluster.eventually("the service by its name") {
            try self.fetch("http://web:8080").contains("version 1")
        }
        let port = try cluster.json("service", "web", "-n", "web")["spec", "ports"]?[0]?["nodePort"]?.int ?? 0
        for address in ["10.89.0.21", "10.89.0.22"] {
            try await cluster.eventually("NodePort on \(address)") {
                try cluster.tern("host", "m1", "--", "curl", "-s", "-m", "10", "http://\(address):\(port)")
                    .contains("version 1")
            }
        }
        try cluster.kubectl("set", "image", "deployment/web", "*=tern.local/web:2", "-n", "web")
        try cluster.kubectl("rollout", "status", "deployment/web", "-n", "web", "--timeout=90s")
        try await cluster.eventually("the new version") { try self.fetch("http://web:8080").contains("version 2") }
        #expect(try cluster.kubectl("rollout", "history", "deployment/web", "-n", "web").contains("2 "))
        try cluster.kubectl("rollout", "undo", "deployment/web", "-n", "web")
        try cluster.kubectl("rollout", "status", "deployment/web", "-n", "web", "--timeout=90s")
        try await cluster.eventually("the old version") { try self.fetch("http://web:8080").contains("version 1") }
        try cluster.kubectl("delete", "namespace", "web", "--timeout=110s")
    }

    /// What the pod `tools` of the namespace `web` gets.
    private func fetch(_ url: String) throws -> String {
        try cluster().kubectl("exec", "-n", "web", "tools", "--", "timeout", "10", "wget", "-q", "-O", "-", url)
    }

    @Test func `exec ends with its input, files go both ways, logs are read`() async throws {
        let cluster = try cluster()
        try cluster.kubectl("run", "box", "--image=tern.local/tools:1")
        try cluster.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
        #expect(try cluster.shell("echo hello | timeout 100 kubectl exec -i box -- cat") == "hello\n")
        try cluster.shell("head -c 300000 /dev/urandom > there")
        try cluster.kubectl("cp", "there", "box:/tmp/there")
        try cluster.kubectl("cp", "box:/tmp/there", "back")
        try cluster.shell("cmp there back")
        try cluster.kubectl(
            "run", "talk", "--image=tern.local/tools:1", "--restart=Never", "--", "sh", "-c", "echo one; echo two")
        try await cluster.eventually("the end of the pod") {
            try cluster.json("pod", "talk")["status", "phase"] == "Succeeded"
        }
        #expect(try cluster.kubectl("logs", "talk") == "one\ntwo\n")
        try cluster.kubectl("delete", "pod", "box", "talk", "--grace-period=1")
    }

    @Test func `an image that does not exist is pulled again with pauses`() async throws {
        let cluster = try cluster()
        // Nothing listens there: the runtime is refused without leaving the host.
        try cluster.kubectl("run", "broken", "--image=127.0.0.1:9/none:1")
        try await cluster.eventually("ImagePullBackOff") {
            let status = try cluster.json("pod", "broken")["status", "containerStatuses"]?[0]
            let waiting = status?["state", "waiting"]
            let message = "Back-off pulling image \"127.0.0.1:9/none:1\""
            return waiting?["reason"] == "ImagePullBackOff" && waiting?["message"]?.string?.hasPrefix(message) == true
        }
        // They are written apart from the status.
        try await cluster.eventually("its events") {
            let events = try cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=broken")
            return events.contains("Failed to pull image \"127.0.0.1:9/none:1\"")
                && events.contains("Error: ErrImagePull")
        }
        try cluster.kubectl("delete", "pod", "broken", "--grace-period=1")
    }

    @Test func `a changed ConfigMap shows in its volume, a host port and a load balancer lead to the pod`() async throws
    {
        let cluster = try cluster()
        try Files.write(Self.shown, to: "\(cluster.folder)/shown.yaml")
        try cluster.kubectl("apply", "-f", "shown.yaml")
        try cluster.kubectl("wait", "--for=condition=Ready", "pod/shown", "--timeout=60s")
        #expect(try cluster.kubectl("exec", "shown", "--", "cat", "/config/key") == "old")
        try cluster.kubectl("patch", "configmap", "shown", "-p", #"{"data":{"key":"new"}}"#)
        try await cluster.eventually("the new content") {
            try cluster.kubectl("exec", "shown", "--", "cat", "/config/key") == "new"
        }
        let node = try cluster.json("pod", "shown")["status", "hostIP"]?.string ?? ""
        try await cluster.eventually("the host port") {
            try cluster.tern("host", "m2", "--", "curl", "-s", "-m", "10", "http://\(node):8123")
                .contains("shown version 1")
        }
        try await cluster.eventually("an address of the load balancer") {
            let service = try cluster.json("service", "shown")
            let address = service["status", "loadBalancer", "ingress"]?[0]?["ip"]?.string ?? ""
            let url = "http://\(address):80"
            return try cluster.tern("host", "w1", "--", "curl", "-s", "-m", "5", url).contains("shown version 1")
        }
        try cluster.kubectl("delete", "-f", "shown.yaml", "--grace-period=1")
    }

    private static let shown = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: shown}
        data: {key: old}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: shown}
        spec:
          type: LoadBalancer
          selector: {app: shown}
          ports: [{port: 80, targetPort: 8080}]
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: shown, labels: {app: shown}}
        spec:
          containers:
          - name: web
            image: tern.local/web:1
            ports: [{containerPort: 8080, hostPort: 8123}]
            volumeMounts: [{name: config, mountPath: /config}]
          volumes: [{name: config, configMap: {name: shown}}]
        """
}
