// Updates, immutable fields and allocations.
import API
import APIServer
import KVCore
import Testing

@Suite struct PolicyKindTests {
    private let kinds = KindTable(network: ServiceNetwork(cidr: "10.0.0.0/24"))
    private let workload: JSON = [
        "selector": ["matchLabels": ["app": "w"]],
        "template": [
            "metadata": ["labels": ["app": "w"]], "spec": ["containers": [["name": "c", "image": "nginx:1"]]]
        ]
    ]

    private func update(
        _ resource: GroupVersionResource, _ old: JSON, subresource: String = "", _ change: (inout JSON) -> Void
    ) -> (JSON, [String]) {
        var new = old
        change(&new)
        let attributes = Fixture.request(
            Fixture.user("admin"), "update", resource, subresource: subresource, namespace: old.namespace,
            name: old.name)
        var write = Fixture.write(.update, attributes, new, old: old)
        let behavior = kinds.behavior(resource)
        behavior.prepareForUpdate(&write, subresource: subresource)
        return (
            write.object, behavior.validateUpdate(write, subresource: subresource).map { "\($0.field): \($0.message)" }
        )
    }

    private func deployment() throws -> JSON {
        try Fixture.stored(
            kinds, .deployments,
            [
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "d", "namespace": "oracle"],
                "spec": workload
            ])
    }

    @Test func `a change of a deployment's spec counts, one of its status does not`() throws {
        let stored = try deployment()
        #expect(stored.generation == 1)
        #expect(update(.deployments, stored) { $0["spec", "replicas"] = 4 }.0.generation == 2)
        let (object, errors) = update(.deployments, stored, subresource: "status") {
            $0["status", "replicas"] = 1
            $0["spec", "replicas"] = 9
            $0["metadata", "annotations", "deployment.kubernetes.io/revision"] = "1"
        }
        #expect(errors.isEmpty)
        #expect(object.annotations["deployment.kubernetes.io/revision"] == "1")
        #expect(object.generation == 1)
        #expect(object["spec", "replicas"] == 1)
        #expect(object["status", "replicas"] == 1)
    }

    @Test func `counts in a deployment's status must agree`() throws {
        let (_, errors) = update(.deployments, try deployment(), subresource: "status") {
            $0["status"] = ["replicas": 1, "readyReplicas": -1, "availableReplicas": 5]
        }
        #expect(
            errors == [
                "status.readyReplicas: Invalid value: -1: must be greater than or equal to 0",
                "status.availableReplicas: Invalid value: 5: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 5: cannot be greater than readyReplicas"
            ])
    }

    @Test func `a selector is immutable`() throws {
        let stored = try Fixture.stored(
            kinds, .replicaSets,
            [
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": ["name": "rs", "namespace": "oracle"],
                "spec": workload
            ])
        let (_, errors) = update(.replicaSets, stored) {
            $0["spec", "selector", "matchLabels", "z"] = "1"
            $0["spec", "template", "metadata", "labels", "z"] = "1"
        }
        #expect(errors == [#"spec.selector: Invalid value: {"matchLabels":{"app":"w","z":"1"}}: field is immutable"#])
    }

    private func pod() throws -> JSON {
        try Fixture.stored(
            kinds, .pods,
            [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "min", "namespace": "oracle"],
                "spec": ["containers": [["name": "c", "image": "nginx"]]]
            ])
    }

    @Test func `a pod's image may change, its node selector may not`() throws {
        let stored = try pod()
        #expect(stored["status"] == ["phase": "Pending", "qosClass": "BestEffort"])
        let (object, errors) = update(.pods, stored) { $0["spec", "containers"] = [["name": "c", "image": "nginx:2"]] }
        #expect(!errors.isEmpty)  // a container that lost its defaults differs in more than its image
        #expect(object.generation == 2)
        var container = stored["spec", "containers"]?[0] ?? [:]
        container["image"] = "nginx:2"
        #expect(update(.pods, stored) { $0["spec", "containers"] = [container] }.1.isEmpty)
        let refused = update(.pods, stored) { $0["spec", "nodeSelector"] = ["x": "y"] }.1
        #expect(refused.count == 1)
        #expect(
            refused[0].hasPrefix(
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"))
    }

    @Test func `a binding sets the node and counts no generation`() throws {
        let stored = try pod()
        let bound = try PodBinding.bound(
            stored, by: ["metadata": ["name": "min"], "target": ["kind": "Node", "name": "n1"]], now: Fixture.now)
        #expect(bound["spec", "nodeName"] == "n1")
        #expect(bound["status", "conditions"]?[0]?["type"] == "PodScheduled")
        #expect(update(.pods, stored, subresource: "binding") { $0 = bound }.0.generation == 1)
        let error = #expect(throws: StatusError.self) {
            try PodBinding.bound(bound, by: ["target": ["name": "n2"]], now: Fixture.now)
        }
        #expect(
            error?.message
                == #"Operation cannot be fulfilled on pods/binding "min": pod min is already assigned to node "n1""#)
    }

    @Test func `a pod that never ran goes at once, a running one after its grace`() throws {
        var stored = try pod()
        let behavior = kinds.behavior(.pods)
        #expect(behavior.graceSeconds(stored, requested: nil) == 0)
        stored["spec", "nodeName"] = "n1"
        #expect(behavior.graceSeconds(stored, requested: nil) == 30)
        #expect(behavior.graceSeconds(stored, requested: 1) == 1)
    }

    @Test func `an immutable config map stays as it is`() throws {
        let stored: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "namespace": "oracle"],
            "data": ["k": "v"], "immutable": true
        ]
        #expect(
            update(.configMaps, stored) { $0["data"] = ["k": "z"] }.1 == [
                "data: Forbidden: field is immutable when `immutable` is set"
            ])
        #expect(
            update(.configMaps, stored) { $0["immutable"] = nil }.1 == [
                "immutable: Forbidden: field is immutable when `immutable` is set"
            ])
    }

    @Test func `a secret takes in its string data and keeps its type`() throws {
        let stored = try Fixture.stored(
            kinds, .secrets,
            [
                "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "s", "namespace": "oracle"],
                "type": "kubernetes.io/basic-auth",
                "stringData": ["username": "u"]
            ])
        #expect(stored["data", "username"] == "dQ==")
        #expect(stored["stringData"] == nil)
        #expect(
            update(.secrets, stored) { $0["type"] = "Opaque" }.1 == [
                "type: Invalid value: \"Opaque\": field is immutable"
            ])
    }

    @Test func `a role binding keeps its role`() throws {
        let stored = try Fixture.stored(
            kinds, .roleBindings,
            [
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": ["name": "rb", "namespace": "oracle"],
                "roleRef": ["kind": "Role", "name": "r"]
            ])
        #expect(
            update(.roleBindings, stored) { $0["roleRef", "name"] = "zz" }.1 == [
                #"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"zz"}: cannot change roleRef"#
            ])
    }

    @Test func `a namespace begins active and held`() throws {
        let stored = try Fixture.stored(
            kinds, .namespaces, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "n"]])
        #expect(stored["spec", "finalizers"] == ["kubernetes"])
        #expect(stored["status", "phase"] == "Active")
        #expect(stored.labels == ["kubernetes.io/metadata.name": "n"])
        #expect(update(.namespaces, stored) { $0["spec", "finalizers"] = [] }.0["spec", "finalizers"] == ["kubernetes"])
        #expect(
            update(.namespaces, stored, subresource: "finalize") { $0["spec", "finalizers"] = [] }.0[
                "spec", "finalizers"] == [])
    }
}

@Suite struct PolicyServiceTests {
    private let kinds = KindTable(network: ServiceNetwork(cidr: "10.0.0.0/24"))

    private func create(_ spec: JSON, name: String = "s", view: KVView = KVView()) throws -> WriteRequest {
        let stored = try Fixture.stored(
            kinds, .services,
            [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name), "namespace": "oracle"],
                "spec": spec
            ])
        var write = Fixture.write(
            .create, Fixture.request(Fixture.user("admin"), "create", .services, namespace: "oracle"), stored)
        try kinds.behavior(.services).allocate(&write, reader: MemoryReader(), view: view)
        return write
    }

    @Test func `an address is allocated and guarded`() throws {
        let write = try create(["ports": [["port": 80]]])
        let address = write.object["spec", "clusterIP"]?.string ?? ""
        #expect(address.hasPrefix("10.0.0."))
        #expect(write.object["spec", "clusterIPs"] == [.string(address)])
        #expect(write.object["spec", "ipFamilies"] == ["IPv4"])
        #expect(write.guards == [.absent(Key("/registry/allocations/serviceip/\(address)"))])
        #expect(write.effects.count == 1)
    }

    @Test func `two services begin their search apart`() throws {
        let one = try create(["ports": [["port": 80]]], name: "a")
        let other = try create(["ports": [["port": 80]]], name: "b")
        #expect(one.object["spec", "clusterIP"] != other.object["spec", "clusterIP"])
    }

    @Test func `a headless service and an external name take no address`() throws {
        #expect(try create(["clusterIP": "None"]).effects.isEmpty)
        let external = try create(["type": "ExternalName", "externalName": "a.example.com"])
        #expect(external.effects.isEmpty)
        #expect(external.object["spec", "clusterIP"] == nil)
    }

    @Test func `node ports are allocated for each port, and one for the health of a local balancer`() throws {
        let write = try create([
            "type": "LoadBalancer", "externalTrafficPolicy": "Local",
            "ports": [["name": "a", "port": 80], ["name": "b", "port": 81]]
        ])
        let ports = (write.object["spec", "ports"]?.elements ?? []).compactMap { $0["nodePort"]?.int }
        #expect(ports.count == 2 && Set(ports).count == 2)
        #expect(ports.allSatisfy { (30000...32767).contains($0) })
        #expect(write.object["spec", "healthCheckNodePort"]?.int != nil)
        #expect(write.guards.count == 4)
    }

    @Test func `an address outside the range is refused in upstream's words`() throws {
        let error = #expect(throws: StatusError.self) {
            try create(["clusterIP": "10.9.0.1", "ports": [["port": 80]]])
        }
        #expect(
            error?.lines == [
                #"spec.clusterIPs: Invalid value: ["10.9.0.1"]: failed to allocate IP 10.9.0.1: "#
                    + "the provided IP (10.9.0.1) is not in the valid range. The range of valid IPs is 10.0.0.0/24"
            ])
    }

    @Test func `an update keeps what was allocated and frees what is no longer needed`() throws {
        let old = try create(["type": "NodePort", "ports": [["port": 80]]]).object
        func update(_ change: (inout JSON) -> Void) throws -> WriteRequest {
            var new = old
            change(&new)
            let attributes = Fixture.request(Fixture.user("admin"), "update", .services, namespace: "oracle", name: "s")
            var write = Fixture.write(.update, attributes, new, old: old)
            let behavior = kinds.behavior(.services)
            behavior.prepareForUpdate(&write, subresource: "")
            #expect(behavior.validateUpdate(write, subresource: "").isEmpty)
            try behavior.allocate(&write, reader: MemoryReader(), view: KVView())
            return write
        }
        let same = try update {
            $0["spec"] = [
                "type": "NodePort", "ports": [["port": 80, "protocol": "TCP", "targetPort": 80]],
                "sessionAffinity": "None"
            ]
        }
        #expect(same.object["spec", "clusterIP"] == old["spec", "clusterIP"])
        #expect(same.object["spec", "ports"]?[0]?["nodePort"] == old["spec", "ports"]?[0]?["nodePort"])
        #expect(same.effects.isEmpty)
        let plain = try update { $0["spec", "type"] = "ClusterIP" }
        #expect(plain.object["spec", "ports"]?[0]?["nodePort"] == nil)
        #expect(plain.effects.count == 1)
        let external = try update {
            $0["spec", "type"] = "ExternalName"
            $0["spec", "externalName"] = "x.y"
        }
        #expect(external.object["spec", "clusterIP"] == nil)
        #expect(external.effects.count == 2)
    }
}
