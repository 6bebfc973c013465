// Bootstrap and the life of a service against a real server over a one-peer store.
import API
import APIServer
import KVCore
import KVReplica
import Testing

@Suite(.serialized) struct PolicyServerTests {
    @Test func `bootstrap may be repeated and writes nothing the second time`() async throws {
        let test = try await TestServer()
        let bootstrap = Bootstrap(client: test.client)
        try await bootstrap.run()
        try await bootstrap.publish(masters: ["10.1.0.2", "10.1.0.1"])
        let revision = test.replica.view().revision
        try await bootstrap.run()
        try await bootstrap.publish(masters: ["10.1.0.1", "10.1.0.2"])
        #expect(test.replica.view().revision == revision)
        let service = try await test.client.get(.services, namespace: "default", name: "kubernetes")
        #expect(service["spec", "clusterIP"] == "10.96.0.1")
        let slice = try await test.client.get(.endpointSlices, namespace: "default", name: "kubernetes")
        #expect(slice["endpoints"]?.elements.count == 2)
        await test.stop()
    }

    @Test func `a deleted service gives its address back`() async throws {
        let test = try await TestServer()
        let object: JSON = [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": "s", "namespace": "default"],
            "spec": ["clusterIP": "10.96.3.4", "ports": [["port": 80]]],
        ]
        _ = try await test.client.create(.services, namespace: "default", object)
        var other = object
        other["metadata", "name"] = "t"
        do {
            _ = try await test.client.create(.services, namespace: "default", other)
            Issue.record("the address was given twice")
        } catch {
            #expect(error.lines == [
                #"spec.clusterIPs: Invalid value: ["10.96.3.4"]: failed to allocate IP 10.96.3.4: provided IP is already allocated"#
            ])
        }
        try await test.client.delete(.services, namespace: "default", name: "s", DeleteOptions())
        _ = try await test.client.create(.services, namespace: "default", other)
        await test.stop()
    }
}
