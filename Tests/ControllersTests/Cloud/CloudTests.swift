import API
import APIServer
import Cloud
import Testing

struct CloudTests {
    private func service(_ name: String, wish: String? = nil) -> JSON {
        var service: JSON = [
            "metadata": ["name": .string(name), "namespace": "default"], "spec": ["type": "LoadBalancer"]
        ]
        if let wish { service["spec", "loadBalancerIP"] = .string(wish) }
        return service
    }

    @Test func `the pool gives each service an address of its own and keeps it`() async throws {
        let provider = try #require(StaticPoolProvider(pool: ["192.0.2.10-192.0.2.11"]))
        let first = try await provider.ensureLoadBalancer(service("a"), nodes: [], taken: [:])
        #expect(first == ["192.0.2.10"])
        let second = try await provider.ensureLoadBalancer(
            service("b"), nodes: [], taken: ["default/a": ["192.0.2.10"]])
        #expect(second == ["192.0.2.11"])
        let kept = try await provider.ensureLoadBalancer(service("b"), nodes: [], taken: ["default/b": ["192.0.2.11"]])
        #expect(kept == ["192.0.2.11"])
        await #expect(throws: CloudError.self) {
            _ = try await provider.ensureLoadBalancer(
                service("c"), nodes: [], taken: ["default/a": ["192.0.2.10"], "default/b": ["192.0.2.11"]])
        }
    }

    @Test func `a wished address must be in the pool and free`() async throws {
        let provider = try #require(StaticPoolProvider(pool: ["192.0.2.0/30"]))
        #expect(
            try await provider.ensureLoadBalancer(service("a", wish: "192.0.2.3"), nodes: [], taken: [:]) == [
                "192.0.2.3"
            ])
        await #expect(throws: CloudError.self) {
            _ = try await provider.ensureLoadBalancer(service("a", wish: "10.0.0.1"), nodes: [], taken: [:])
        }
        #expect(StaticPoolProvider(pool: ["nonsense"]) == nil)
    }

    @Test func `what a provider knows becomes id, labels and addresses, and the node is initialised`() {
        let fresh: JSON = [
            "metadata": ["name": "w1", "resourceVersion": "4"],
            "spec": ["taints": [["key": "node.cloudprovider.kubernetes.io/uninitialized", "effect": "NoSchedule"]]]
        ]
        let instance = CloudInstance(
            providerID: "x://1", zone: "z1", addresses: [.init(type: "InternalIP", address: "10.0.0.1")])
        let changes = CloudPlan.node(fresh, .found(instance))
        #expect(changes.count == 2)
        guard case .patchNode("w1", false, let patch) = changes[0] else { Issue.record("no patch"); return }
        #expect(patch["spec"] == ["taints": .null, "providerID": "x://1"])
        #expect(patch["metadata", "labels"] == ["topology.kubernetes.io/zone": "z1"])
    }

    @Test func `a node that is gone in the cloud is deleted only when it is not ready`() {
        let ready: JSON = [
            "metadata": ["name": "w1", "uid": "u"], "status": ["conditions": [["type": "Ready", "status": "True"]]]
        ]
        #expect(CloudPlan.node(ready, .gone) == [])
        let dead: JSON = [
            "metadata": ["name": "w1", "uid": "u"], "status": ["conditions": [["type": "Ready", "status": "Unknown"]]]
        ]
        #expect(CloudPlan.node(dead, .gone) == [.deleteNode(name: "w1", uid: "u")])
        #expect(CloudPlan.node(dead, .notMine) == [])
    }

    @Test func `an address that was given and does not show yet is taken`() {
        let seen = ["default/a": ["192.0.2.1"], "default/b": [], "default/c": []]
        let given = ["default/b": ["192.0.2.2"], "default/gone": ["192.0.2.3"]]
        #expect(
            CloudPlan.taken(seen: seen, given: given) == [
                "default/a": ["192.0.2.1"], "default/b": ["192.0.2.2"], "default/c": []
            ])
    }

    @Test func `the static provider knows its own nodes and leaves those of others alone`() async throws {
        let provider = try #require(StaticPoolProvider(pool: []))
        #expect(
            try await provider.instance(node: "w1", providerID: "")
                == .found(CloudInstance(providerID: "static://w1")))
        #expect(try await provider.instance(node: "w1", providerID: "aws:///i-1") == .notMine)
    }

    @Test(.timeLimit(.minutes(1)))
    func `on the real server services get addresses and give them back, and nodes are initialised`() async throws {
        let cluster = try await LoopsCluster()
        let provider = try #require(StaticPoolProvider(pool: ["192.0.2.10-192.0.2.11"]))
        let cloud = CloudControllers(client: cluster.client, provider: provider, identity: "m1")
        cloud.start()
        cloud.activate(client: cluster.client)
        try await cluster.join("n1")
        try await cluster.until("the node is initialised") {
            try await cluster.client.get(.nodes, namespace: nil, name: "n1")["spec", "providerID"] == "static://n1"
        }
        for name in ["z", "a"] {
            _ = try await cluster.make(
                .services,
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name), "namespace": "default"],
                    "spec": ["type": "LoadBalancer", "ports": [["port": 80]], "selector": ["app": "x"]]
                ])
        }
        let both = try await cluster.wait("both have an address") { () async throws -> Set<String>? in
            var found: Set<String> = []
            for name in ["z", "a"] {
                let service = try await cluster.client.get(.services, namespace: "default", name: name)
                guard let address = CloudPlan.addresses(of: service).first else { return nil }
                found.insert(address)
            }
            return found
        }
        #expect(both == ["192.0.2.10", "192.0.2.11"])
        try await cluster.client.delete(.services, namespace: "default", name: "z", DeleteOptions())
        try await cluster.until("the service is gone") {
            try await cluster.client.list(.services, namespace: "default", ListOptions()).items.allSatisfy {
                $0.name != "z"
            }
        }
        cloud.stop()
        await cluster.stop()
    }
}
