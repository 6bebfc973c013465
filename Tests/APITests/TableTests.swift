import API
import Testing

@Suite struct TableTests {
    let table = SchemaTable()

    private func cells(_ object: JSON, _ resource: GroupVersionResource, now: Double = 0) throws -> [JSON] {
        table.tableRow(object, of: try #require(table.resource(resource)), now: now).cells
    }

    @Test func `a fresh pod and a gated one`() throws {
        let fresh: JSON = ["metadata": ["name": "min"], "spec": ["containers": [[:]]], "status": ["phase": "Pending"]]
        #expect(
            try cells(fresh, .pods) == [
                "min", "0/1", "Pending", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"
            ])
        var gated = fresh
        gated["status", "conditions"] = [["type": "PodScheduled", "status": "False", "reason": "SchedulingGated"]]
        gated["spec", "readinessGates"] = [["conditionType": "x"]]
        #expect(
            try cells(gated, .pods)[2...] == ["SchedulingGated", "0", "<unknown>", "<none>", "<none>", "<none>", "0/1"])
    }

    @Test func `a running pod shows restarts, address and node`() throws {
        let pod: JSON = [
            "metadata": ["name": "p", "creationTimestamp": "1970-01-01T00:00:00Z"],
            "spec": ["containers": [[:]], "nodeName": "n"],
            "status": [
                "phase": "Running", "podIPs": [["ip": "10.1.0.5"]],
                "containerStatuses": [
                    [
                        "ready": true, "restartCount": 2, "state": ["running": [:]],
                        "lastState": ["terminated": ["finishedAt": "1970-01-01T00:01:00Z"]]
                    ]
                ]
            ]
        ]
        #expect(
            try cells(pod, .pods, now: 360) == [
                "p", "1/1", "Running", "2 (5m ago)", "6m", "10.1.0.5", "n", "<none>", "<none>"
            ])
    }

    @Test(
        arguments: [
            (["waiting": ["reason": "CrashLoopBackOff"]], "CrashLoopBackOff"),
            (["terminated": ["exitCode": 3]], "ExitCode:3"),
            (["terminated": ["signal": 9]], "Signal:9"),
            (["terminated": ["reason": "OOMKilled", "exitCode": 137]], "OOMKilled")
        ] as [(JSON, String)])
    func `the state of a container becomes the status`(state: JSON, text: String) throws {
        let pod: JSON = [
            "spec": ["containers": [[:]]], "status": ["phase": "Running", "containerStatuses": [["state": state]]]
        ]
        #expect(try cells(pod, .pods)[2].string == text)
        let initial: JSON = [
            "spec": ["initContainers": [[:], [:]]],
            "status": ["phase": "Pending", "initContainerStatuses": [["state": state]]]
        ]
        #expect(try cells(initial, .pods)[2].string == "Init:\(text)")
    }

    @Test func `deletion and completion show`() throws {
        var pod: JSON = ["metadata": ["deletionTimestamp": "1970-01-01T00:00:00Z"], "status": ["phase": "Running"]]
        #expect(try cells(pod, .pods)[2] == "Terminating")
        pod["status", "phase"] = "Succeeded"
        #expect(
            table.tableRow(pod, of: try #require(table.resource(.pods)), now: 0).conditions[0]["type"] == "Completed")
    }

    @Test func `workloads, services, nodes and bindings`() throws {
        let template: JSON = ["spec": ["containers": [["name": "c", "image": "nginx:1"]]]]
        let workload: JSON = [
            "metadata": ["name": "d"],
            "spec": ["replicas": 1, "selector": ["matchLabels": ["app": "w"]], "template": template]
        ]
        #expect(try cells(workload, .deployments) == ["d", "0/1", 0, 0, "<unknown>", "c", "nginx:1", "app=w"])
        #expect(try cells(workload, .replicaSets) == ["d", 1, 0, 0, "<unknown>", "c", "nginx:1", "app=w"])
        #expect(
            try cells(workload, .daemonSets) == ["d", 0, 0, 0, 0, 0, "<none>", "<unknown>", "c", "nginx:1", "app=w"])
        let service: JSON = [
            "metadata": ["name": "s"],
            "spec": [
                "type": "NodePort", "clusterIP": "10.0.0.1",
                "ports": [["port": 80, "nodePort": 30080, "protocol": "TCP"], ["port": 2, "protocol": "UDP"]]
            ]
        ]
        #expect(
            try cells(service, .services) == [
                "s", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,2/UDP", "<unknown>", "<none>"
            ])
        let node: JSON = [
            "metadata": ["name": "n", "labels": ["node-role.kubernetes.io/worker": ""]],
            "spec": ["unschedulable": true],
            "status": [
                "conditions": [["type": "Ready", "status": "True"]],
                "addresses": [["type": "InternalIP", "address": "127.0.0.1"]]
            ]
        ]
        #expect(
            try cells(node, .nodes)
                == [
                    "n", "Ready,SchedulingDisabled", "worker", "<unknown>", "", "127.0.0.1", "<none>", "<unknown>",
                    "<unknown>", "<unknown>"
                ])
        let binding: JSON = [
            "metadata": ["name": "rb"], "roleRef": ["kind": "Role", "name": "ro"],
            "subjects": [
                ["kind": "User", "name": "u"], ["kind": "ServiceAccount", "name": "default", "namespace": "oracle"]
            ]
        ]
        #expect(try cells(binding, .roleBindings) == ["rb", "Role/ro", "<unknown>", "u", "", "oracle/default"])
    }

    @Test func `kinds without columns show when they were made`() throws {
        let role: JSON = ["metadata": ["name": "r", "creationTimestamp": "2020-01-01T00:00:00Z"]]
        #expect(try cells(role, .clusterRoles) == ["r", "2020-01-01T00:00:00Z"])
        let definitions = table.columnDefinitions(try #require(table.resource(.clusterRoles)))
        #expect(definitions.elements.map { $0["name"] } == ["Name", "Created At"])
    }
}
