// Logs and exec through the API server: found in the store, served by a stand-in for the pod's kubelet on a real TLS socket.
import API
import APIServer
import Foundation
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Testing

/// Answers like a kubelet: logs as text, exec as a raw upgraded connection that echoes.
private struct FakeKubelet: HTTPService {
    func respond(to request: HTTPRequest, _ response: HTTPResponseWriter) {
        guard request.clientCertificate?.commonName == "kube-apiserver-kubelet-client" else {
            return response.send(status: 401, headers: [], body: ByteBuffer(string: "who are you"))
        }
        if request.path.hasPrefix("/exec/"), request.isUpgrade == "websocket" {
            let key = request.header("sec-websocket-key") ?? ""
            let headers = [
                ("upgrade", "websocket"), ("connection", "Upgrade"),
                ("sec-websocket-accept", WebSocketHandshake.accept(key)),
                ("sec-websocket-protocol", "v5.channel.k8s.io")
            ]
            return response.upgradeToRaw(status: 101, headers: headers) { connection in
                connection.send(ByteBuffer(string: "target=\(request.target);"))
                connection.onInputClosed { connection.close() }
                connection.onReceive { connection.send($0) }
            }
        }
        response.send(
            status: 200, headers: [("content-type", "text/plain")],
            body: ByteBuffer(string: "log of \(request.target)\n"))
    }
}

private func pod(_ name: String, node: String?) -> JSON {
    var pod: JSON = [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
        "spec": ["containers": [["name": "c", "image": "i"]]]
    ]
    if let node { pod["spec", "nodeName"] = .string(node) }
    return pod
}

@Suite(.serialized) struct KubeletProxyTests {
    @Test func `logs and exec go to the kubelet of the pod's node`() async throws {
        let server = try await TestServer()
        let kubelet = try await server.startKubelet(FakeKubelet())
        let client = server.client
        _ = try await client.create(
            .serviceAccounts, namespace: "default",
            ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]])
        var node: JSON = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "w1"]]
        node = try await client.create(.nodes, namespace: nil, node)
        node["status"] = [
            "addresses": [["type": "InternalIP", "address": "127.0.0.1"]],
            "daemonEndpoints": ["kubeletEndpoint": ["Port": .int(Int64(kubelet.port))]]
        ]
        _ = try await client.updateStatus(.nodes, namespace: nil, name: "w1", node)
        _ = try await client.create(.pods, namespace: "default", pod("p", node: nil))
        #expect(try server.curl("GET", "/api/v1/namespaces/default/pods/p/log").status == 204)
        let binding: JSON = [
            "apiVersion": "v1", "kind": "Binding", "metadata": ["name": "p"], "target": ["kind": "Node", "name": "w1"]
        ]
        let bound = try await client.create(.pods, namespace: "default", name: "p", subresource: "binding", binding)
        #expect(bound["status"] == "Success")
        let placed = try await client.get(.pods, namespace: "default", name: "p")
        #expect(placed["spec", "nodeName"] == "w1")
        #expect(
            placed["status", "conditions"]?.elements.contains { $0["type"] == "PodScheduled" && $0["status"] == "True" }
                ?? false)
        let log = try server.curl("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=3")
        #expect(log.status == 200 && log.body == "log of /containerLogs/default/p/c?tailLines=3\n", "\(log)")
        let unknown = try server.json("GET", "/api/v1/namespaces/default/pods/p/log?container=zz")
        #expect(unknown.status == 400 && unknown.body["message"] == "container zz is not valid for pod p")
        let plain = try server.json("POST", "/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=1")
        #expect(plain.status == 400 && plain.body["message"] == "Upgrade request required")
        var exec = (status: 0, body: "")
        // The connection stays open: whoever asks ends it, and waits longer when too little came.
        for seconds in [2, 10, 60] where !exec.body.contains("target=") {
            exec = try server.curl(
                "GET", "/api/v1/namespaces/default/pods/p/exec?command=ls&command=-l&stdout=true&tty=false",
                headers: [
                    "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
                    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol: v5.channel.k8s.io"
                ],
                more: ["--http1.1", "--max-time", "\(seconds)"])
        }
        #expect(exec.status == 101, "\(exec)")
        #expect(exec.body.contains("target=/exec/default/p/c?command=ls&command=-l&output=1&tty=0;"), "\(exec)")
        await kubelet.server.stop(grace: .seconds(1))
        await server.stop()
    }
}
