import API
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
}
