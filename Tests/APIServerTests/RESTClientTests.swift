// The HTTP object client against the real server: what kubelet and proxy rely on.
import API
import APIClient
import APIServer
import Foundation
import NIOPosix
import NetHTTP
import NetPKI
import Testing

@Suite(.serialized) struct RESTClientTests {
    @Test func `objects, lists, watches and refusals over HTTP`() async throws {
        let server = try await TestServer()
        let identity = try TLSIdentity(
            try server.authority.issue(CertificateSpec(commonName: "admin", organizations: ["system:masters"])))
        let tls = try ClientTLS(trustRootsPEM: server.authority.certificatePEM, identity: identity)
        // The first server does not answer: the client goes on to the second.
        let client = try RESTClient(
            RESTClientConfiguration(servers: ["https://127.0.0.1:1", "https://127.0.0.1:\(server.port)"], tls: tls),
            group: server.group,
            logger: server.logger)
        let list = try await client.list(.configMaps, namespace: "default", ListOptions())
        let watch = try await client.watch(
            .configMaps, namespace: "default", ListOptions(resourceVersion: list.resourceVersion))
        let made = try await client.create(
            .configMaps, namespace: "default",
            ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "r"], "data": ["a": "1"]])
        #expect(!made.uid.isEmpty)
        var changed = made
        changed["data", "a"] = "2"
        let updated = try await client.update(.configMaps, namespace: "default", name: "r", changed)
        await #expect(throws: StatusError.self) {
            try await client.update(.configMaps, namespace: "default", name: "r", changed)
        }
        let patched = try await client.patch(
            .configMaps, namespace: "default", name: "r", subresource: nil, type: .strategic,
            ["metadata": ["labels": ["x": "y"]]])
        #expect(patched.labels == ["x": "y"] && patched.resourceVersion != updated.resourceVersion)
        let selected = try await client.list(.configMaps, namespace: nil, ListOptions(labelSelector: "x in (y)"))
        #expect(selected.items.map(\.name) == ["r"] && selected.items.first?.kind == "ConfigMap")
        try await client.delete(.configMaps, namespace: "default", name: "r", DeleteOptions())
        do {
            _ = try await client.get(.configMaps, namespace: "default", name: "r")
            Issue.record("a deleted object is found")
        } catch {
            #expect(error.isNotFound && error.message == "configmaps \"r\" not found")
        }
        var seen: [String] = []
        for try await event in watch {
            switch event {
            case .added: seen.append("added")
            case .modified: seen.append("modified")
            case .deleted: seen.append("deleted")
            case .bookmark: continue
            }
            if seen.last == "deleted" { break }
        }
        #expect(seen == ["added", "modified", "modified", "deleted"])
        await client.shutdown()
        await server.stop()
    }
}
