// Keeps the Node object: registers it, reports how it fares, renews its lease, and tells the network layer the
// pod CIDR.
// The node is ready only while the runtime and its network are. It must never give up: the API may be away for hours.
import API
import Logging
import Synchronization

package final class NodeAgent: Sendable {
    private let configuration: KubeletConfiguration
    private let facts: MachineFacts
    private let client: any ObjectClient
    private let runtime: any ContainerRuntime
    private let lookedAt: @Sendable () -> Nanoseconds?
    private let events: EventRecorder
    private let logger: Logger
    private let onPodCIDRs: @Sendable ([String]) -> Void

    private struct State {
        var podCIDRs: [String] = []
        var reportedAt: Nanoseconds = 0
        var wasReady: Bool?
        var nodeUID = ""
        var lease: JSON?
        var runtimeVersion: RuntimeVersion?
        var images: [Image] = []
        var health = RuntimeHealth()
    }
    private let state = Mutex(State())

    package init(
        configuration: KubeletConfiguration, facts: MachineFacts, client: any ObjectClient,
        runtime: any ContainerRuntime,
        lookedAt: @escaping @Sendable () -> Nanoseconds?, events: EventRecorder, logger: Logger,
        onPodCIDRs: @escaping @Sendable ([String]) -> Void
    ) {
        self.configuration = configuration
        self.facts = facts
        self.client = client
        self.runtime = runtime
        self.lookedAt = lookedAt
        self.events = events
        self.logger = logger
        self.onPodCIDRs = onPodCIDRs
    }

    /// Runs until the task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.keepStatus() }
            group.addTask { await self.keepLease() }
        }
    }

    // MARK: status

    /// Quick until the node is ready, then at the configured pace, at once when readiness changes.
    private func keepStatus() async {
        var problemTold: String?? = nil
        var nextAt: Nanoseconds = 0
        while !Task.isCancelled {
            let now = Clock.now()
            let problem = await problem()
            let hasCIDR = state.withLock { !$0.podCIDRs.isEmpty }
            if problemTold != .some(problem) || now >= nextAt || !hasCIDR {
                if await report(problem, now) {
                    problemTold = .some(problem)
                    nextAt = now &+ configuration.statusUpdateEvery
                }
            }
            let isSettled = problem == nil && hasCIDR && problemTold == .some(nil)
            do { try await Task.sleep(for: .milliseconds(isSettled ? 1000 : 200)) } catch { return }
        }
    }

    /// Why the node is not ready, in upstream's words.
    private func problem() async -> String? {
        do throws(RuntimeError) {
            let conditions = try await runtime.conditions()
            state.withLock { $0.health.answered(conditions, now: Clock.now()) }
        } catch {
            logger.debug("the runtime does not answer", metadata: ["error": "\(error)"])
        }
        return state.withLock { $0.health.problem(lookedAt: lookedAt(), now: Clock.now()) }
    }

    /// Creates or updates the Node; false when the API did not take it.
    private func report(_ problem: String?, _ now: Nanoseconds) async -> Bool {
        do throws(StatusError) {
            let node = try await registered()
            noteCIDRs(node)
            let status = NodeObject.status(
                await makeReport(problem), configuration, old: node["status"] ?? [:], now: now)
            let isDue = now &- state.withLock { $0.reportedAt } >= configuration.statusReportEvery
            guard isDue || NodeObject.differs(status, node["status"] ?? [:]) else { return true }
            let patch: JSON = ["metadata": ["resourceVersion": .string(node.resourceVersion)], "status": status]
            let written = try await client.patch(
                .nodes, namespace: nil, name: configuration.nodeName, subresource: "status", type: .merge, patch)
            noteCIDRs(written)
            tellReadiness(problem == nil, now)
            return true
        } catch  where error.isConflict {
            // Taints and the pod range are written by others at the same moment; the next look has them.
            logger.debug("the node changed meanwhile", metadata: ["error": "\(error)"])
            return false
        } catch {
            logger.info("the node's status is not written", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func tellReadiness(_ isReady: Bool, _ now: Nanoseconds) {
        let changed = state.withLock { state in
            state.reportedAt = now
            defer { state.wasReady = isReady }
            return state.wasReady != isReady
        }
        guard changed else { return }
        let name = configuration.nodeName
        let reason = isReady ? "NodeReady" : "NodeNotReady"
        events.record(reference, reason: reason, message: "Node \(name) status is now: \(reason)", through: client)
    }

    private var reference: ObjectReference {
        ObjectReference(
            apiVersion: "", kind: "Node", namespace: "", name: configuration.nodeName, uid: configuration.nodeName,
            resourceVersion: "")
    }

    private func registered() async throws(StatusError) -> JSON {
        let name = configuration.nodeName
        var node: JSON
        do throws(StatusError) {
            node = try await client.get(.nodes, namespace: nil, name: name)
        } catch  where error.isNotFound && configuration.registersNode {
            node = try await create()
        }
        state.withLock { $0.nodeUID = node.uid }
        let wanted = NodeObject.labels(configuration, facts)
        guard wanted.contains(where: { node.labels[$0.key] != $0.value }) else { return node }
        return try await client.patch(
            .nodes, namespace: nil, name: name, subresource: nil, type: .merge, ["metadata": ["labels": JSON(wanted)]])
    }

    private func create() async throws(StatusError) -> JSON {
        events.record(reference, reason: "Starting", message: "Starting kubelet.", through: client)
        do throws(StatusError) {
            return try await client.create(.nodes, namespace: nil, NodeObject.new(configuration, facts))
        } catch  where error.isAlreadyExists {
            return try await client.get(.nodes, namespace: nil, name: configuration.nodeName)
        }
    }

    private func noteCIDRs(_ node: JSON) {
        var cidrs = (node["spec", "podCIDRs"]?.elements ?? []).compactMap(\.string)
        if cidrs.isEmpty, let one = node["spec", "podCIDR"]?.string?.nonEmpty { cidrs = [one] }
        let changed = state.withLock { state in
            defer { state.podCIDRs = cidrs }
            return state.podCIDRs != cidrs && !cidrs.isEmpty
        }
        if changed { onPodCIDRs(cidrs) }
    }

    private func makeReport(_ problem: String?) async -> NodeReport {
        var report = NodeReport()
        report.facts = facts
        report.problem = problem
        report.hasMemoryPressure = (MachineFacts.memory("MemAvailable:") ?? .max) < NodeObject.reservedMemoryBytes
        report.hasDiskPressure = (Disk.read(configuration.rootDirectory)?.usedPercent ?? 0) >= 95
        do throws(RuntimeError) {
            let known = state.withLock { $0.runtimeVersion }
            let version = if let known { known } else { try await runtime.version() }
            let images = try await runtime.images()
            state.withLock { ($0.runtimeVersion, $0.images) = (version, images) }
        } catch {
            logger.debug("the runtime does not answer", metadata: ["error": "\(error)"])
        }
        // What was known last stands while the runtime is silent.
        (report.runtime, report.images) = state.withLock { ($0.runtimeVersion ?? RuntimeVersion(), $0.images) }
        return report
    }

    // MARK: lease

    private static let leaseNamespace = "kube-node-lease"

    private func keepLease() async {
        while !Task.isCancelled {
            let isOwned = state.withLock { !$0.nodeUID.isEmpty }
            if isOwned {
                do throws(StatusError) { try await renew() } catch {
                    logger.info("the node's lease is not renewed", metadata: ["error": "\(error)"])
                }
            }
            let pause = isOwned ? configuration.leaseRenewEvery : .second / 5
            do { try await Task.sleep(for: .nanoseconds(pause)) } catch { return }
        }
    }

    private func renew() async throws(StatusError) {
        let name = configuration.nodeName
        var lease = state.withLock { $0.lease } ?? fresh()
        lease["spec", "holderIdentity"] = .string(name)
        lease["spec", "leaseDurationSeconds"] = .int(configuration.leaseSeconds)
        lease["spec", "renewTime"] = .string(TimeText.microText(Clock.now()))
        state.withLock { $0.lease = nil }
        let isNew = lease.resourceVersion.isEmpty
        do throws(StatusError) {
            let written =
                isNew
                ? try await client.create(.leases, namespace: Self.leaseNamespace, lease)
                : try await client.update(.leases, namespace: Self.leaseNamespace, name: name, lease)
            state.withLock { $0.lease = written }
        } catch  where error.code == 409 {
            let current = try await client.get(.leases, namespace: Self.leaseNamespace, name: name)
            state.withLock { $0.lease = current }
        }
    }

    private func fresh() -> JSON {
        let name = configuration.nodeName
        let owner: JSON = [
            "apiVersion": "v1", "kind": "Node", "name": .string(name), "uid": .string(state.withLock { $0.nodeUID })
        ]
        return [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": ["name": .string(name), "namespace": .string(Self.leaseNamespace), "ownerReferences": [owner]],
            "spec": [:]
        ]
    }
}
