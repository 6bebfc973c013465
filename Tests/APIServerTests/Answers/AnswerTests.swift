// Every recorded exchange that our kinds can answer, repeated against a whole server: status, reason, message, details
// and objects must be those of the real one. What differs stands with its reason in `Golden/api/differences.tsv`, and
// nothing stands there that does not differ.
import API
import APIServer
import Foundation
import Testing

@Suite struct AnswerTests {
    @Test func `recorded requests are answered as the real server answered them`() async throws {
        let recorded = try RecordedAnswer.all()
        let known = try RecordedAnswer.differences()
        #expect(recorded.count > 700)
        let server = try await TestServer { policy in
            policy.issuer = "https://kubernetes.default.svc"
            policy.network = ServiceNetwork(cidr: "10.0.0.0/24")
            policy.staticTokens["admintoken"] = UserInfo(
                name: "admin", uid: "1", groups: ["system:masters", "system:authenticated"])
        }
        let bootstrap = Bootstrap(
            client: server.client, configuration: .init(apiAddress: "10.0.0.1", dnsAddress: "10.0.0.10"))
        try await bootstrap.run()
        let replay = try AnswerReplay(server)
        var alike = 0
        for one in recorded {
            try await Self.supply(before: one.id, server, replay)
            let lines = try await replay.run(one)
            if lines.isEmpty { alike += 1 }
            switch (lines.isEmpty, known[one.id]) {
            case (true, let reason?): Issue.record("\(one) no longer differs, take it off the list (\(reason))")
            case (false, nil): Issue.record("\(one)\n  \(lines.prefix(12).joined(separator: "\n  "))")
            default: break
            }
        }
        print("recorded answers: \(alike) of \(recorded.count) alike, \(known.count) known to differ")
        await replay.end()
        await server.stop()
    }

    /// Exchanges that others build on and that the recording's copy leaves out.
    private static func supply(before id: Int, _ server: TestServer, _ replay: AnswerReplay) async throws {
        switch id {
        case 693: try await replay.unrecorded("GET", "/api/v1/namespaces/oracle-list/configmaps?limit=2")
        case 789:
            try await replay.unrecorded("DELETE", "/api/v1/namespaces/oracle-list/configmaps?labelSelector=set%3Da")
        case 877:
            let role: JSON = [
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": ["name": "rolemgr"],
                "rules": [
                    [
                        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
                        "verbs": ["get", "list", "create", "update", "delete"]
                    ],
                    ["apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get", "list"]]
                ]
            ]
            _ = try await server.client.create(.roles, namespace: "oracle", role)
        case 929:
            let map: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "twice"]]
            _ = try await server.client.create(.configMaps, namespace: "oracle", map)
        default: break
        }
    }
}
