// What the controllers ask the API server of which nothing is kept.
import API
import APIServer
import Testing

struct ReviewTests {
    @Test func `a controller's access review is answered as over the network`() async throws {
        let cluster = try await LoopsCluster()
        func isAllowed(_ group: String) async throws -> Bool? {
            let reviews = GroupVersionResource("authorization.k8s.io", "v1", "subjectaccessreviews")
            let review: JSON = [
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": [
                    "user": "system:bootstrap:abcdef", "groups": [.string(group)],
                    "resourceAttributes": [
                        "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                        "subresource": "nodeclient"
                    ]
                ]
            ]
            return try await cluster.client.create(reviews, namespace: nil, review)["status", "allowed"]?.bool
        }
        #expect(try await isAllowed("system:bootstrappers") == true)
        #expect(try await isAllowed("somebody") == false)
        await cluster.stop()
    }
}
