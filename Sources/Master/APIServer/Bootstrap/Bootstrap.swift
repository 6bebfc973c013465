// What every cluster has from its first second: namespaces, default roles, priority classes, the services
// `kubernetes` and `kube-dns`. Each function is given a client, may be repeated at any time and by several masters at
// once, and writes only what is missing or outdated.
import API

package struct Bootstrap: Sendable {
    package struct Configuration: Sendable {
        /// Address of the Service `kubernetes`, and of `kube-dns`.
        package var apiAddress: String
        package var dnsAddress: String
        /// The port on which masters serve.
        package var apiPort: Int64

        package init(apiAddress: String = "10.96.0.1", dnsAddress: String = "10.96.0.10", apiPort: Int64 = 6443) {
            self.apiAddress = apiAddress
            self.dnsAddress = dnsAddress
            self.apiPort = apiPort
        }
    }

    /// Writes under way at the same time.
    static let writesMax = 32
    private let client: any ObjectClient
    private let configuration: Configuration

    package init(client: any ObjectClient, configuration: Configuration = Configuration()) {
        self.client = client
        self.configuration = configuration
    }

    /// Everything that does not depend on which masters live.
    package func run() async throws(StatusError) {
        try await namespaces()
        try await roles()
        try await priorityClasses()
        try await services()
    }

    /// `default`, `kube-system`, `kube-public`, `kube-node-lease`.
    package func namespaces() async throws(StatusError) {
        try await createMissing(
            .namespaces,
            ["default", "kube-system", "kube-public", "kube-node-lease"].map { name in
                ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": .string(name)]]
            })
    }

    package func priorityClasses() async throws(StatusError) {
        let texts = [
            "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
            "system-cluster-critical":
                "Used for system critical pods that must run in the cluster, "
                + "but can be moved to another node if necessary."
        ]
        try await createMissing(
            .priorityClasses,
            PriorityClassKind.system.sorted { $0.key < $1.key }.map { name, value in
                [
                    "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": ["name": .string(name)],
                    "value": .int(value),
                    "preemptionPolicy": "PreemptLowerPriority", "description": .string(texts[name] ?? "")
                ]
            })
    }

    package func services() async throws(StatusError) {
        try await createMissing(
            .services,
            [
                MasterService.service(address: configuration.apiAddress, port: configuration.apiPort),
                MasterService.dns(address: configuration.dnsAddress)
            ])
    }

    /// Default roles and bindings: missing ones are created, outdated ones get what they lack, unless their owner
    /// forbade it.
    package func roles() async throws(StatusError) {
        let wanted = DefaultRoles.objects()
        for (kind, resource) in [
            ("ClusterRole", GroupVersionResource.clusterRoles), ("ClusterRoleBinding", .clusterRoleBindings),
            ("Role", .roles),
            ("RoleBinding", .roleBindings)
        ] {
            let objects = wanted.filter { $0.kind == kind }
            let present = try await present(resource)
            try await writeAll(objects) { object throws(StatusError) in
                try await settle(resource, object, present[Self.key(object)])
            }
        }
    }

    private func settle(_ resource: GroupVersionResource, _ wanted: JSON, _ present: JSON?) async throws(StatusError) {
        guard let present else { return try await create(resource, wanted) }
        guard let merged = RoleReconciliation.merged(present, wanted) else { return }
        let namespace = wanted.namespace.isEmpty ? nil : wanted.namespace
        do { _ = try await client.update(resource, namespace: namespace, name: wanted.name, merged) } catch {
            if !error.isConflict { throw error }
        }
    }

    /// Makes the objects of the Service `kubernetes` name the masters that live.
    package func publish(masters addresses: [String]) async throws(StatusError) {
        try await apply(.endpoints, MasterService.endpoints(addresses, port: configuration.apiPort)) { $0["subsets"] }
        try await apply(.endpointSlices, MasterService.slice(addresses, port: configuration.apiPort)) {
            [$0["endpoints"] ?? [], $0["ports"] ?? []]
        }
    }

    private func apply(
        _ resource: GroupVersionResource, _ wanted: JSON, _ content: @Sendable (JSON) -> JSON?
    ) async throws(StatusError) {
        let present: JSON
        do { present = try await client.get(resource, namespace: wanted.namespace, name: wanted.name) } catch {
            if error.isNotFound { return try await create(resource, wanted) }
            throw error
        }
        if content(present) == content(wanted) { return }
        var object = wanted
        object["metadata", "resourceVersion"] = .string(present.resourceVersion)
        do { _ = try await client.update(resource, namespace: wanted.namespace, name: wanted.name, object) } catch {
            if !error.isConflict { throw error }
        }
    }
}

extension Bootstrap {
    private static func key(_ object: JSON) -> String { "\(object.namespace)/\(object.name)" }

    private func present(_ resource: GroupVersionResource) async throws(StatusError) -> [String: JSON] {
        let items = try await client.list(resource, namespace: nil, ListOptions()).items
        return Dictionary(items.map { (Self.key($0), $0) }, uniquingKeysWith: { $1 })
    }

    private func createMissing(_ resource: GroupVersionResource, _ objects: [JSON]) async throws(StatusError) {
        let present = try await present(resource)
        try await writeAll(objects.filter { present[Self.key($0)] == nil }) { object throws(StatusError) in
            try await create(resource, object)
        }
    }

    /// Another master may have been quicker: that is as good.
    private func create(_ resource: GroupVersionResource, _ object: JSON) async throws(StatusError) {
        let namespace = object.namespace.isEmpty ? nil : object.namespace
        do { _ = try await client.create(resource, namespace: namespace, object) } catch {
            if !error.isAlreadyExists { throw error }
        }
    }

    /// Many writes side by side, since each waits for the disks of a majority.
    private func writeAll(
        _ objects: [JSON], _ write: @escaping @Sendable (JSON) async throws(StatusError) -> Void
    ) async throws(StatusError) {
        let failure = await withTaskGroup(of: StatusError?.self, returning: StatusError?.self) { group in
            var next = 0
            var failure: StatusError?
            func start() {
                guard next < objects.count else { return }
                let object = objects[next]
                next += 1
                group.addTask {
                    do throws(StatusError) {
                        try await write(object)
                        return nil
                    } catch { return error }
                }
            }
            for _ in 0..<Self.writesMax { start() }
            while let result = await group.next() {
                if let result { failure = failure ?? result }
                if failure == nil { start() }
            }
            return failure
        }
        if let failure { throw failure }
    }
}
