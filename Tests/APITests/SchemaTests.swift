import API
import Testing

@Suite struct SchemaTests {
    let table = SchemaTable()

    @Test func `every reference of every definition resolves`() {
        for name in table.definitions {
            guard let type = table.type(named: name) else {
                Issue.record("\(name) is missing")
                continue
            }
            for field in type.fields { check(field.type, "\(name).\(field.name)") }
        }
        #expect(table.definitions.count > 400)
    }

    private func check(_ type: FieldType, _ place: String) {
        switch type {
        case .list(let inner), .map(let inner): check(inner, place)
        case .reference(let id): #expect(!table.type(id).name.isEmpty, "\(place)")
        default: break
        }
    }

    @Test func `every served resource has a definition, columns that fit and verbs`() {
        #expect(table.served.count == 30, "\(table.served.map(\.resource.description))")
        for resource in table.served {
            #expect(table.type(of: resource.kind)?.name == resource.definition, "\(resource.resource)")
            #expect(!resource.verbs.isEmpty)
            let row = table.tableRow(["metadata": ["name": "x"]], of: resource, now: 0)
            let columns = table.columnDefinitions(resource).elements
            #expect(row.cells.count == columns.count, "\(resource.resource)")
            #expect(row.cells.first == "x" || resource.kind.kind == "Event", "\(resource.resource)")
        }
    }

    @Test func `resources are found by their names and kinds`() throws {
        let deployments = try #require(table.resource(.deployments))
        #expect(deployments.kind == GroupVersionKind("apps", "v1", "Deployment"))
        #expect(deployments.shortNames == ["deploy"])
        #expect(deployments.subresource("scale")?.kind == GroupVersionKind("autoscaling", "v1", "Scale"))
        #expect(
            table.resource(kind: GroupVersionKind("", "v1", "Pod"))?.subresource("eviction")?.kind
                == GroupVersionKind("policy", "v1", "Eviction"))
        #expect(table.type(of: GroupVersionKind("apps", "v1", "DeleteOptions")) != nil)
        #expect(table.resource(GroupVersionResource("batch", "v1", "jobs"))?.isServed == false)
    }

    @Test func `list and patch rules are in the table`() throws {
        let spec = try #require(table.type(named: "io.k8s.api.core.v1.PodSpec"))
        #expect(spec.field("containers")?.mergeKey == "name")
        #expect(spec.field("containers")?.listType == .map(keys: ["name"]))
        #expect(spec.field("volumes")?.retainsKeys == true)
        #expect(spec.field("tolerations")?.listType == .atomic)
        let volume = try #require(table.type(named: "io.k8s.api.core.v1.Volume"))
        #expect(volume.field("emptyDir")?.protoPath == [2, 2])
    }
}

@Suite struct TypeCheckTests {
    let table = SchemaTable()
    let pod = GroupVersionKind("", "v1", "Pod")

    private func refusal(_ tree: JSON, _ kind: GroupVersionKind) -> String {
        do {
            _ = try table.check(tree, as: kind)
            return "accepted"
        } catch { return error.message }
    }

    @Test func `wrong types are refused in the words of Go's decoder`() {
        let deployment = GroupVersionKind("apps", "v1", "Deployment")
        #expect(
            refusal(["spec": ["containers": "x"]], pod)
                == "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container")
        #expect(
            refusal(["spec": ["containers": [["name": "c", "ports": [["containerPort": "80"]]]]]], pod)
                == "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"
        )
        #expect(
            refusal(["metadata": ["labels": ["a": 1]]], pod)
                == "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string")
        #expect(
            refusal(["spec": ["replicas": 3_000_000_000]], deployment)
                == "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
        )
        #expect(
            refusal(["data": "x"], GroupVersionKind("", "v1", "ConfigMap"))
                == "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string")
        #expect(
            refusal(["binaryData": ["a": "*"]], GroupVersionKind("", "v1", "ConfigMap"))
                == "illegal base64 data at input byte 0")
        #expect(
            refusal(
                ["spec": ["renewTime": "2020-01-01T00:00:00Z"]], GroupVersionKind("coordination.k8s.io", "v1", "Lease"))
                == "parsing time \"2020-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\""
        )
        #expect(
            refusal(["spec": ["containers": [["name": "c", "resources": ["limits": ["cpu": "1.5.5"]]]]]], pod)
                == "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    }

    @Test func `unknown fields are reported in order and dropped`() throws {
        let tree: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "spec": ["template": ["spec": ["containers": [["name": "c", "imagee": "x"]]]], "nope": 1]
        ]
        let checked = try table.check(tree, as: GroupVersionKind("apps", "v1", "Deployment"))
        #expect(
            checked.unknownFields == [
                "unknown field \"spec.template.spec.containers[0].imagee\"", "unknown field \"spec.nope\""
            ])
        #expect(checked.object["spec"] == ["template": ["spec": ["containers": [["name": "c"]]]]])
    }

    @Test func `values come into normal form and meaningless ones go`() throws {
        let tree: JSON = [
            "metadata": [
                "name": "p", "creationTimestamp": nil, "labels": [:], "deletionTimestamp": "2020-01-01T02:00:00+02:00"
            ],
            "spec": [
                "nodeName": "", "hostNetwork": false, "automountServiceAccountToken": false, "volumes": [],
                "containers": [["name": "", "resources": ["limits": ["cpu": "1000m", "memory": 1024]]]]
            ]
        ]
        let expected: JSON = [
            "metadata": ["name": "p", "deletionTimestamp": "2020-01-01T00:00:00Z"],
            "spec": [
                "automountServiceAccountToken": false,
                "containers": [["name": "", "resources": ["limits": ["cpu": "1", "memory": "1024"]]]]
            ]
        ]
        #expect(try table.check(tree, as: pod).object == expected)
    }
}

@Suite struct DefaultsTests {
    let table = SchemaTable()

    private func defaulted(_ tree: JSON, _ group: String, _ kind: String) -> JSON {
        var tree = tree
        table.applyDefaults(&tree, as: GroupVersionKind(group, "v1", kind))
        return tree
    }

    @Test func `a minimal deployment gets what upstream gives it`() {
        let made = defaulted(
            ["spec": ["selector": [:], "template": ["spec": ["containers": [["name": "c", "image": "nginx:1"]]]]]],
            "apps", "Deployment")
        let expected: JSON = [
            "replicas": 1, "selector": [:],
            "template": [
                "spec": [
                    "containers": [
                        [
                            "name": "c", "image": "nginx:1", "resources": [:],
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"
                        ]
                    ],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                    "securityContext": [:],
                    "schedulerName": "default-scheduler"
                ]
            ],
            "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": "25%", "maxSurge": "25%"]],
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600
        ]
        #expect(made["spec"] == expected)
    }

    @Test(arguments: [
        ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1", "IfNotPresent"), ("r:5000/nginx", "Always"),
        ("nginx@sha256:0", "IfNotPresent")
    ])
    func `the pull policy follows the tag`(image: String, policy: String) {
        let made = defaulted(["spec": ["containers": [["image": .string(image)]]]], "", "Pod")
        #expect(made["spec"]?["containers"]?[0]?["imagePullPolicy"]?.string == policy)
    }

    @Test func `pods get requests from limits, probes and volumes their defaults`() {
        let container: JSON = [
            "image": "a:1", "resources": ["limits": ["cpu": "1"]], "livenessProbe": ["httpGet": ["port": 80]],
            "ports": [["containerPort": 80]]
        ]
        let made = defaulted(
            [
                "spec": [
                    "hostNetwork": true, "containers": [container],
                    "volumes": [["name": "v"], ["name": "s", "secret": [:]]]
                ]
            ], "", "Pod")
        let result = made["spec"]?["containers"]?[0]
        #expect(result?["resources", "requests"] == ["cpu": "1"])
        #expect(result?["ports"]?[0] == ["containerPort": 80, "protocol": "TCP", "hostPort": 80])
        let probe: JSON = [
            "httpGet": ["port": 80, "path": "/", "scheme": "HTTP"], "timeoutSeconds": 1, "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3
        ]
        #expect(result?["livenessProbe"] == probe)
        #expect(
            made["spec"]?["volumes"] == [
                ["name": "v", "emptyDir": [:]], ["name": "s", "secret": ["defaultMode": 420]]
            ])
    }

    @Test func `services and endpoint slices get theirs, set values stay`() {
        let service = defaulted(
            ["spec": ["type": "NodePort", "ports": [["port": 80, "protocol": "UDP"]]]], "", "Service")
        let expected: JSON = [
            "type": "NodePort", "ports": [["port": 80, "protocol": "UDP", "targetPort": 80]], "sessionAffinity": "None",
            "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"
        ]
        #expect(service["spec"] == expected)
        #expect(
            defaulted(["ports": [["port": 1]]], "discovery.k8s.io", "EndpointSlice")["ports"] == [
                ["port": 1, "name": "", "protocol": "TCP"]
            ])
    }

    @Test func `stringData becomes data`() {
        let secret = defaulted(["data": ["a": "eA=="], "stringData": ["b": "plain"]], "", "Secret")
        #expect(secret == ["data": ["a": "eA==", "b": "cGxhaW4="], "type": "Opaque"])
    }
}
