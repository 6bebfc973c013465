import API
import Testing

@Suite struct ProtobufTests {
    let table = SchemaTable()

    private func decoded(_ bytes: [UInt8]) throws -> JSON {
        let tree = try table.decodeProtobuf(bytes)
        let checked = try table.check(tree, as: GroupVersionKind(apiVersion: tree.apiVersion, kind: tree.kind))
        #expect(checked.unknownFields == [])
        return checked.object
    }

    @Test func `kubectl's deployment is read`() throws {
        let expected: JSON = [
            "kind": "Deployment", "apiVersion": "apps/v1", "metadata": ["name": "dd", "labels": ["app": "dd"]],
            "spec": [
                "replicas": 0, "selector": ["matchLabels": ["app": "dd"]],
                "template": [
                    "metadata": ["labels": ["app": "dd"]],
                    "spec": [
                        "containers": [
                            ["name": "nginx", "image": "nginx", "ports": [["containerPort": 80]], "resources": [:]]
                        ], "securityContext": nil
                    ]
                ],
                "strategy": [:]
            ],
            "status": [:]
        ]
        var made = try decoded(KubectlBodies.deployment)
        var wanted = expected
        wanted["spec", "template", "spec", "securityContext"] = nil
        made["spec", "template", "spec", "securityContext"] = nil
        #expect(made == wanted, "\(made.text)")
    }

    @Test func `maps, bytes, int-or-string and small kinds are read`() throws {
        #expect(try decoded(KubectlBodies.configMap)["data"] == ["a": "b"])
        #expect(try decoded(KubectlBodies.secret)["data"] == ["a": "Yg=="])
        #expect(
            try decoded(KubectlBodies.service)["spec", "ports"] == [
                ["name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http"]
            ])
        #expect(try decoded(KubectlBodies.disruptionBudget)["spec", "minAvailable"] == "50%")
        #expect(try decoded(KubectlBodies.tokenRequest)["spec", "expirationSeconds"] == 3600)
        #expect(try decoded(KubectlBodies.job)["spec", "template", "spec", "restartPolicy"] == "Never")
    }

    @Test func `a pod survives writing and reading`() throws {
        let pod: JSON = [
            "kind": "Pod", "apiVersion": "v1",
            "metadata": [
                "name": "p", "creationTimestamp": "2024-02-29T12:00:00Z", "annotations": ["x": "ü"], "generation": 3,
                "managedFields": [["manager": "m", "fieldsType": "FieldsV1", "fieldsV1": ["f:spec": [:]]]]
            ],
            "spec": [
                "volumes": [
                    ["name": "e", "emptyDir": ["sizeLimit": "1Gi"]],
                    ["name": "c", "configMap": ["name": "cm", "defaultMode": 420]]
                ],
                "containers": [
                    [
                        "name": "c", "env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "s", "key": "k"]]]],
                        "resources": ["limits": ["cpu": "500m"]],
                        "livenessProbe": ["httpGet": ["port": "web", "path": "/"], "timeoutSeconds": 5],
                        "command": ["a", "b"]
                    ]
                ],
                "terminationGracePeriodSeconds": 0
            ]
        ]
        #expect(try decoded(table.encodeProtobuf(pod)) == pod)
    }

    @Test func `a review with extra values survives`() throws {
        let review: JSON = [
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": ["user": "u", "extra": ["k": ["a", "b"]], "resourceAttributes": ["verb": "get"]],
            "status": ["allowed": true]
        ]
        #expect(try decoded(table.encodeProtobuf(review)) == review)
    }

    @Test func `every cut and every flipped byte ends without a trap`() throws {
        let body = KubectlBodies.deployment
        for count in 0..<body.count { _ = Result { try table.decodeProtobuf(Array(body[..<count])) } }
        for index in body.indices {
            for flip in [UInt8(0x01), 0x80, 0xFF] {
                var changed = body
                changed[index] ^= flip
                _ = Result { try table.decodeProtobuf(changed) }
            }
        }
        #expect(throws: ProtobufError.self) { try table.decodeProtobuf(Array("xxxx".utf8)) }
    }
}
