// The admission plugins: what they add to an object, and what they refuse in upstream's words.
import API
import APIServer
import Testing

@Suite struct PolicyAdmissionTests {
    private func create(
        _ resource: GroupVersionResource, _ object: JSON, namespace: String = "oracle",
        user: UserInfo = Fixture.user("admin"), reader: MemoryReader = .cluster
    ) throws -> JSON {
        var write = Fixture.write(.create, Fixture.request(user, "create", resource, namespace: namespace), object)
        let policy = try Fixture.policy()
        try policy.admission.admit(&write, reader: reader)
        try policy.admission.validate(write, reader: reader)
        return write.object
    }

    private func refusal(_ body: () throws -> JSON) -> StatusError? {
        do { _ = try body() } catch { return error as? StatusError }
        return nil
    }

    private func pod(_ spec: JSON = [:]) -> JSON {
        var spec = spec
        spec["containers"] = [["name": "c", "image": "nginx"]]
        return ["kind": "Pod", "apiVersion": "v1", "metadata": ["name": "x1", "namespace": "oracle"], "spec": spec]
    }

    @Test func `a pod gets its account, token, tolerations and priority`() throws {
        let spec = try create(.pods, pod())["spec"] ?? [:]
        #expect(spec["serviceAccountName"] == "default")
        let name = spec["volumes"]?[0]?["name"]?.string ?? ""
        #expect(name.hasPrefix("kube-api-access-") && name.count == "kube-api-access-".count + 5)
        #expect(
            spec["volumes"]?[0]?["projected", "sources"]?[0] == [
                "serviceAccountToken": ["expirationSeconds": 3607, "path": "token"]
            ])
        #expect(
            spec["containers"]?[0]?["volumeMounts"] == [
                ["name": .string(name), "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"]
            ])
        #expect(spec["tolerations"]?.elements.count == 2)
        #expect(spec["priority"] == 0)
        #expect(spec["preemptionPolicy"] == "PreemptLowerPriority")
        #expect(try create(.pods, pod(["automountServiceAccountToken": false]))["spec", "volumes"] == nil)
    }

    @Test func `refusals read as upstream's`() throws {
        #expect(
            refusal { try create(.pods, pod(["serviceAccountName": "none"])) }?.message
                == #"pods "x1" is forbidden: error looking up service account oracle/none: serviceaccount "none" not found"#
        )
        #expect(
            refusal { try create(.pods, pod(["priority": 5])) }?.message
                == #"pods "x1" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#
        )
        #expect(
            refusal { try create(.configMaps, ["metadata": ["name": "b"]], namespace: "zz") }?.message
                == #"namespaces "zz" not found"#)
    }

    @Test func `a runtime class must exist`() throws {
        #expect(
            refusal { try create(.pods, pod(["runtimeClassName": "none"])) }?.message
                == #"pods "x1" is forbidden: pod rejected: RuntimeClass "none" not found"#)
    }

    @Test func `nothing is created in a namespace that goes`() throws {
        var reader = MemoryReader.cluster
        reader.add(
            .namespaces,
            [
                "metadata": ["name": "oracle-term", "deletionTimestamp": "2020-01-01T00:00:00Z"],
                "status": ["phase": "Terminating"]
            ])
        let error = refusal {
            try create(.configMaps, ["metadata": ["name": "b"]], namespace: "oracle-term", reader: reader)
        }
        #expect(
            error?.message
                == #"configmaps "b" is forbidden: unable to create new content in namespace oracle-term because it is being terminated"#
        )
        #expect(
            error?.status["details", "causes"]?[0] == [
                "reason": "NamespaceTerminating", "message": "namespace oracle-term is being terminated",
                "field": "metadata.namespace"
            ])
    }

    @Test func `the first namespaces are never deleted`() throws {
        var write = Fixture.write(
            .delete,
            Fixture.request(Fixture.user("admin", ["system:masters"]), "delete", .namespaces, name: "kube-system"),
            .null,
            old: ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": "kube-system"]])
        let policy = try Fixture.policy()
        let error = #expect(throws: StatusError.self) {
            try policy.admission.admit(&write, reader: MemoryReader.cluster)
        }
        #expect(error?.message == #"namespaces "kube-system" is forbidden: this namespace may not be deleted"#)
    }

    @Test func `a new node is tainted, and only its own kubelet makes it`() throws {
        let node: JSON = [
            "kind": "Node", "apiVersion": "v1", "metadata": ["name": "n1", "labels": ["kubernetes.io/hostname": "n1"]]
        ]
        #expect(
            try create(.nodes, node, namespace: "", user: Fixture.node("n1"))["spec", "taints"]
                == [["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]])
        #expect(
            refusal { try create(.nodes, node, namespace: "", user: Fixture.node("n2")) }?.message
                == #"nodes "n1" is forbidden: node "n2" is not allowed to modify node "n1""#)
    }

    @Test func `a kubelet makes mirror pods only`() throws {
        #expect(
            refusal { try create(.pods, pod(), user: Fixture.node("n1")) }?.message.contains(
                "can only create mirror pods") == true)
    }
}

@Suite struct PolicyBootstrapTests {
    @Test func `every default role and binding is well formed`() throws {
        let objects = DefaultRoles.objects()
        #expect(objects.filter { $0.kind == "ClusterRole" }.count > 55)
        #expect(objects.filter { $0.kind == "Role" }.count == 7)
        let kinds = KindTable()
        let resources: [String: GroupVersionResource] = [
            "ClusterRole": .clusterRoles, "ClusterRoleBinding": .clusterRoleBindings, "Role": .roles,
            "RoleBinding": .roleBindings
        ]
        for object in objects {
            let resource = try #require(resources[object.kind])
            let attributes = Fixture.request(.loopback, "create", resource, namespace: object.namespace)
            let errors = kinds.behavior(resource).validateCreate(Fixture.write(.create, attributes, object))
            #expect(errors.isEmpty, "\(object.kind) \(object.name): \(errors)")
        }
        let names = Set(objects.filter { $0.kind == "ClusterRole" }.map(\.name))
        for binding in objects where binding["roleRef", "kind"] == "ClusterRole" {
            let role = binding["roleRef", "name"]?.string ?? ""
            #expect(
                names.contains(role) || role == "system:cluster-trust-bundle-discovery", "\(binding.name) names \(role)"
            )
        }
    }

    @Test func `aggregated roles settle`() {
        let roles = DefaultRoles.objects().filter { $0.kind == "ClusterRole" }
        for role in roles where role["aggregationRule"] != nil {
            #expect(role["rules"] == RoleAggregation.rules(of: role, among: roles))
        }
        let admin = roles.first { $0.name == "admin" }
        #expect((admin?["rules"]?.elements.count ?? 0) > 20)
    }

    @Test func `the service of the masters names those that live`() {
        let slice = MasterService.slice(["10.1.0.3", "10.1.0.1"], port: 6443)
        #expect(slice["endpoints"]?.elements.compactMap { $0["addresses"]?[0]?.string } == ["10.1.0.1", "10.1.0.3"])
        #expect(MasterService.endpoints([], port: 6443)["subsets"] == nil)
        #expect(MasterService.service(address: "10.96.0.1", port: 6443)["spec", "clusterIP"] == "10.96.0.1")
    }
}
