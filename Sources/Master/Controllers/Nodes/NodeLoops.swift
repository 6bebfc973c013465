// The loops about nodes: health and taints, eviction, address ranges, and garbage among pods. Health is observed on
// every master.

import API
import Synchronization

/// Node lifecycle, taint eviction, IPAM and pod garbage collection.
final class NodeLoops: Sendable {
    private static let everything = "all"
    private static let garbageMilliseconds: Int64 = 20_000
    private let caches: Caches
    private let health: Shared<NodeHealth>
    private let now: @Sendable () -> Int64
    let lifecycle: Loop
    let eviction: Loop
    let ranges: Loop
    let garbage: Loop

    var all: [Loop] { [lifecycle, eviction, ranges, garbage] }

    init(_ caches: Caches, _ options: ControllerOptions) {
        self.caches = caches
        now = options.now
        let health = Shared(NodeHealth())
        let missing = Shared(MissingNodes())
        self.health = health
        lifecycle = Loop(
            "node-controller", caches,
            seed: {
                health.withLock { $0.leadershipBegan(now: options.now()) }
                return [Self.everything]
            }
        ) { _, session in
            let nodes = caches.nodes.all
            let now = session.now()
            let settings = options.nodeLifecycle
            let silences = health.withLock { health in
                Dictionary(nodes.map { ($0.name, health.silence(of: $0.name, now: now)) }, uniquingKeysWith: { $1 })
            }
            let groups = NodeLifecyclePlan(settings, now: now)
                .changes(nodes, silence: { silences[$0] ?? 0 }, pods: { caches.pods.values("node:\($0)") })
            var performed = await session.perform(apart: groups)
            performed.failures.removeAll { $0.error.isConflict }
            performed.again = min(performed.again ?? Int64.max, settings.monitorPeriodMilliseconds)
            return performed
        }
        eviction = Loop("taint-eviction-controller", caches, seed: { caches.nodes.keys }) { key, session in
            guard let node = caches.nodes.get(key) else { return Performed() }
            return await session.perform(
                apart: TaintEvictionPlan.changes(node, caches.pods.values("node:\(key)"), now: session.now()))
        }
        ranges = Loop("node-ipam-controller", caches, width: 1, seed: { [Self.everything] }) { _, session in
            guard let range = options.podRange else { return Performed() }
            return await session.perform(NodeIPAMPlan.changes(caches.nodes.all, range))
        }
        garbage = Loop("pod-garbage-collector", caches, width: 1, seed: { [Self.everything] }) { _, session in
            let pods = caches.pods.all
            let nodes = caches.nodes.all
            let now = session.now()
            let since = missing.withLock { missing in
                missing.update(named: Set(pods.map(\.nodeName)), existing: Set(nodes.map(\.name)), now: now)
                return missing.since
            }
            var plan = PodGarbagePlan()
            plan.finishedMax = options.finishedPodsMax
            var performed = await session.perform(
                apart: plan.changes(pods, nodes: nodes, missingSince: since, now: now))
            performed.again = Self.garbageMilliseconds
            return performed
        }
    }

    func connect() {
        let now = now
        caches.nodeLeases.onChange { [health] _, old, new in
            guard let name = (new ?? old)?.name else { return }
            if let new { health.withLock { $0.saw(lease: new.renewTime, of: name, now: now()) } }
        }
        caches.nodes.onChange { [health, lifecycle, eviction, ranges] key, old, new in
            guard let new else { return health.withLock { $0.forget(key) } }
            health.withLock { $0.saw(heartbeat: new.conditions["Ready"]?.heartbeat ?? "", of: key, now: now()) }
            if new.podCIDRs.isEmpty { ranges.enqueue(Self.everything) }
            if old?.ready != new.ready || old?.unschedulable != new.unschedulable
                || Self.statuses(old) != Self.statuses(new)
            {
                lifecycle.enqueue(Self.everything)
            }
            if old?.taints != new.taints { eviction.enqueue(key) }
        }
        caches.pods.onChange { [caches, eviction, garbage] _, old, new in
            guard let new else { return }
            if new.nodeName.isEmpty && new.isBeingDeleted { garbage.enqueue(Self.everything) }
            if new.nodeName != (old?.nodeName ?? ""), let node = caches.nodes.get(new.nodeName), !node.taints.isEmpty {
                eviction.enqueue(new.nodeName)
            }
        }
    }

    private static func statuses(_ node: NodeView?) -> [String: String] { node?.conditions.mapValues(\.status) ?? [:] }
}
