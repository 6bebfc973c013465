// The scheduler as one synchronous value: changes of the cluster go in, decisions come out, one pod at a time. A
// decided pod is assumed to be on its node at once, so that the next decision sees it; the shell reports how the
// binding went. It never does I/O and never reads a clock.

/// A decision and the pod that it concerns.
package struct Attempt: Sendable {
    package var pod: SchedulingPod
    package var decision: Decision
}

/// Snapshot, queue and assumptions.
package struct SchedulerCore: Sendable {
    package let name: String
    package private(set) var snapshot = Snapshot()
    package private(set) var queue = SchedulingQueue()
    /// Pods that wait for a node, by key.
    private var waiting: [String: SchedulingPod] = [:]
    /// Pods decided but not yet seen as bound, by key: the uid.
    private var assumed: [String: String] = [:]
    /// Waiting pods that may want to be where other pods are: a placed pod may help them.
    private var choosy: Set<String> = []

    package init(name: String = "default-scheduler") { self.name = name }

    package mutating func apply(node: SchedulingNode, now: Int64) {
        if snapshot.set(node) { queue.clusterChanged(now: now) }
    }

    package mutating func removeNode(_ name: String) { snapshot.removeNode(name) }

    package mutating func apply(namespace: String, labels: [String: String]?) {
        snapshot.namespaceLabels[namespace] = labels
    }

    /// A pod was added or changed.
    package mutating func apply(pod: SchedulingPod, now: Int64) {
        if pod.occupies { return placed(pod, now: now) }
        guard pod.waits(for: name) else { return removePod(pod.key, now: now) }
        let before = waiting.updateValue(pod, forKey: pod.key)
        if pod.constraints?.concernsPods == true { choosy.insert(pod.key) }
        if assumed[pod.key] == pod.uid { return }
        if assumed[pod.key] != nil { forget(pod.key) }
        let changed = before.map { $0.uid != pod.uid || $0.labels != pod.labels || $0.isGated } ?? false
        queue.add(pod.key, priority: pod.priority, again: changed)
    }

    package mutating func removePod(_ key: String, now: Int64) {
        waiting[key] = nil
        choosy.remove(key)
        assumed[key] = nil
        queue.remove(key)
        if snapshot.remove(key) { queue.clusterChanged(now: now) }
    }

    /// The next decision, nil when nobody's turn is now.
    package mutating func next(now: Int64, using random: inout some RandomNumberGenerator) -> Attempt? {
        while let key = queue.next(now: now) {
            guard let pod = waiting[key] else {
                queue.remove(key)
                continue
            }
            let decision = Decider.decide(pod, snapshot, using: &random)
            switch decision {
            case .bind(let node):
                snapshot.put(pod, on: node)
                assumed[key] = pod.uid
            case .refuse: queue.refused(key, now: now)
            }
            return Attempt(pod: pod, decision: decision)
        }
        return nil
    }

    /// The binding was refused or its outcome is not known: the pod is tried again.
    package mutating func bindingFailed(_ pod: SchedulingPod, now: Int64) {
        guard assumed[pod.key] == pod.uid else { return }
        forget(pod.key)
        queue.failed(pod.key, now: now)
    }

    /// The pod no longer exists: it is dropped until the informer speaks of it again.
    package mutating func podIsGone(_ pod: SchedulingPod, now: Int64) {
        guard assumed[pod.key] == pod.uid else { return }
        removePod(pod.key, now: now)
    }

    /// Leadership is lost: assumptions are void.
    package mutating func reset() {
        for key in assumed.keys.sorted() { forget(key) }
        queue.reset()
    }

    /// When `next` may have something to say again.
    package func deadline() -> Int64? { queue.deadline() }

    private mutating func forget(_ key: String) {
        assumed[key] = nil
        snapshot.remove(key)
    }

    private mutating func placed(_ pod: SchedulingPod, now: Int64) {
        waiting[pod.key] = nil
        choosy.remove(pod.key)
        assumed[pod.key] = nil
        queue.remove(pod.key)
        snapshot.put(pod, on: pod.nodeName)
        if !choosy.isEmpty { queue.clusterChanged(now: now) }
    }
}
