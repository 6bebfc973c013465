// The cloud controllers' shell: nodes, services and routes brought in line with what a provider says. Runs only where a
// provider is configured and only while this master leads. Works through everything in rounds; a change brings the next
// round early.

import API
import Synchronization

/// Brings a provider and the cluster together.
package final class CloudControllers: Sendable {
    package static let roundSeconds = 10
    private let provider: any CloudProvider
    private let nodes: Informer<JSON>
    private let services: Informer<JSON>
    private let identity: String
    private let now: @Sendable () -> Int64
    private let recorder: EventRecorder
    private let task = Mutex<Task<Void, Never>?>(nil)
    /// One stream a term of leadership, since a cancelled consumer ends its stream.
    private let wake = Mutex<AsyncStream<Void>.Continuation?>(nil)

    /// `client` reads for the caches; `identity` is the master's name.
    package init(
        client: any ObjectClient, provider: any CloudProvider, identity: String,
        now: @escaping @Sendable () -> Int64 = { Int64(Timestamp.nowSeconds() * 1000) }
    ) {
        self.provider = provider
        self.identity = identity
        self.now = now
        nodes = Informer(client, InformerScope(.nodes)) { Self.slim($0) }
        services = Informer(client, InformerScope(.services)) { service -> JSON? in
            if service["spec", "type"]?.string == "LoadBalancer" || !service.finalizers.isEmpty { return service }
            return nil
        }
        recorder = EventRecorder(component: "service-controller", now: now)
        services.onChange { [weak self] _ in self?.wakeUp() }
        nodes.onChange { [weak self] change in
            if case .updated(_, let old, let new) = change, old["spec"] == new["spec"],
                old["metadata", "labels"] == new["metadata", "labels"]
            {
                return
            }
            self?.wakeUp()
        }
    }

    private func wakeUp() { _ = wake.withLock { $0?.yield() } }

    /// Images and the like are no concern here.
    private static func slim(_ node: JSON) -> JSON {
        var node = node
        node["status", "images"] = nil
        node["metadata", "managedFields"] = nil
        return node
    }

    package func start() {
        nodes.start()
        services.start()
    }

    package func stop() {
        deactivate()
        nodes.stop()
        services.stop()
    }

    /// This master leads: acts through `client`, which carries the fence of this term. Returns at once.
    package func activate(client: any ObjectClient) {
        let lease = LeaderLease(name: "cloud-controller-manager", holder: identity, now: now)
        task.withLock { task in
            task?.cancel()
            task = Task { await self.run(client, lease) }
        }
    }

    package func deactivate() {
        task.withLock { task in
            task?.cancel()
            task = nil
        }
    }

    private func run(_ client: any ObjectClient, _ lease: LeaderLease) async {
        await nodes.waitForSync()
        await services.waitForSync()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await lease.run(client) }
            group.addTask { await self.rounds(client) }
            await group.waitForAll()
        }
    }

    private func rounds(_ client: any ObjectClient) async {
        let (wakes, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        wake.withLock { $0 = continuation }
        let timer = Task {
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(Self.roundSeconds)) } catch { return }
                continuation.yield()
            }
        }
        defer { timer.cancel() }
        var given: [String: [String]] = [:]
        await round(client, &given)
        for await _ in wakes {
            if Task.isCancelled { return }
            await round(client, &given)
        }
    }

    /// `given`: what this term gave out and the local copy of the services may not show yet.
    private func round(_ client: any ObjectClient, _ given: inout [String: [String]]) async {
        for node in nodes.all { await attempt { try await self.follow(node, client) } }
        let services = services.all
        let seen = Dictionary(
            services.map { ("\($0.namespace)/\($0.name)", CloudPlan.addresses(of: $0)) }, uniquingKeysWith: { $1 })
        var taken = CloudPlan.taken(seen: seen, given: given)
        for service in services { await balance(service, &taken, client) }
        given = taken
        let routes = nodes.all.flatMap { node in
            (node["spec", "podCIDRs"]?.elements ?? []).compactMap(\.string).map {
                CloudRoute(node: node.name, range: $0)
            }
        }
        await attempt { _ = try await self.provider.ensureRoutes(routes) }
    }

    private func follow(_ node: JSON, _ client: any ObjectClient) async throws {
        let answer = try await provider.instance(node: node.name, providerID: node["spec", "providerID"]?.string ?? "")
        for change in CloudPlan.node(node, answer) { _ = try await perform(change, client) }
    }

    private func balance(_ service: JSON, _ taken: inout [String: [String]], _ client: any ObjectClient) async {
        let key = "\(service.namespace)/\(service.name)"
        do {
            if CloudPlan.wantsBalancer(service) {
                guard let addresses = try await provider.ensureLoadBalancer(service, nodes: nodes.keys, taken: taken)
                else { return }
                taken[key] = addresses
                var current = service
                if let claim = CloudPlan.claim(service) { current = try await perform(claim, client) ?? service }
                if let assign = CloudPlan.assign(current, addresses) {
                    _ = try await perform(assign, client)
                    recorder.record(
                        ObjectReference(service), reason: "EnsuredLoadBalancer", message: "Ensured load balancer",
                        through: client)
                }
            } else if service.finalizers.contains(CloudPlan.finalizer) {
                try await provider.deleteLoadBalancer(
                    namespace: service.namespace, name: service.name, uid: service.uid)
                taken[key] = nil
                var current = service
                if !service.isBeingDeleted, let clear = CloudPlan.assign(service, []) {
                    current = try await perform(clear, client) ?? service
                }
                if let release = CloudPlan.release(current) { _ = try await perform(release, client) }
            }
        } catch let error as CloudError {
            let text = "Error syncing load balancer: failed to ensure load balancer: \(error)"
            recorder.record(
                ObjectReference(service), warning: true, reason: "SyncLoadBalancerFailed", message: text,
                through: client)
        } catch {
            return  // the API server refused: the next round sees the new state
        }
    }

    private func perform(_ change: CloudChange, _ client: any ObjectClient) async throws -> JSON? {
        switch change {
        case .patchNode(let name, let status, let patch):
            return try await client.patch(
                .nodes, namespace: nil, name: name, subresource: status ? "status" : nil,
                type: status ? .strategic : .merge, patch)
        case .deleteNode(let name, let uid):
            try await client.delete(.nodes, namespace: nil, name: name, DeleteOptions(uid: uid))
            return nil
        case .updateService(let service):
            return try await client.update(.services, namespace: service.namespace, name: service.name, service)
        case .updateServiceStatus(let service):
            return try await client.updateStatus(.services, namespace: service.namespace, name: service.name, service)
        }
    }

    /// What fails here is tried again with the next round.
    private func attempt(_ body: @Sendable () async throws -> Void) async {
        do { try await body() } catch { return }
    }
}
