// All pods of this node as one value: which lives there are, which of them must be looked at, what their status is and
// what the API was told. Pure; the loop (Shell/KubeletLoop.swift) feeds and obeys it.
// Pods that the runtime has and the API does not are ended like deleted ones; foreign sandboxes never get in here.
import API

/// What the loop shall do after a decision.
package struct NodeDecision: Sendable {
    /// Effects of a pod, with what they need to know of it.
    package var actions: [(PodContext, PodAction)] = []
    /// Statuses to be written: the object as last seen and the new status.
    package var statuses: [(pod: JSON, known: JSON, status: JSON)] = []
    package var wakeAt: Nanoseconds?
    /// Pods that are over and forgotten.
    package var forgotten: [String] = []
}

/// A pod as an effect sees it: a snapshot.
package struct PodContext: Sendable {
    package var pod: JSON
    package var spec: PodSpec
    package var ips: [String]
    package var status: JSON
    package var sandbox: Sandbox?
    /// Container ids by name, newest attempt.
    package var containerIDs: [String: String]
    package var isRemoval: Bool
}

package struct NodePods: Sendable {
    package static let podsMax = 4096

    private struct Entry: Sendable {
        var life: PodLife
        /// What the API shows, as far as this kubelet knows.
        var known: JSON
        var isWriting = false
        var retryAt: Nanoseconds = 0
        var failures = 0
        var wakeAt: Nanoseconds = 0
        /// Came from the API, not from the runtime.
        var isFromAPI: Bool
    }

    private var entries: [String: Entry] = [:]
    private let hostIPs: [String]
    /// The API was heard once: from then on an unknown pod is an orphan.
    package private(set) var isSynced = false
    private var isRuntimeSeen = false
    private var lastSeen: [String: PodSeen] = [:]

    package init(hostIPs: [String]) { self.hostIPs = hostIPs }

    package var count: Int { entries.count }
    package var uids: [String] { entries.keys.sorted() }
    package var objects: [JSON] {
        uids.compactMap { uid in
            entries[uid].map { entry in
                var pod = entry.life.pod
                pod["status"] = entry.known
                return pod
            }
        }
    }
    /// The epoch of every life, taken when an observation begins.
    package var epochs: [String: UInt64] { entries.mapValues(\.life.epoch) }
    package func life(_ uid: String) -> PodLife? { entries[uid]?.life }

    // MARK: inputs

    /// The whole list of the API.
    package mutating func sync(_ pods: [JSON], now: Nanoseconds) {
        let listed = Set(pods.map(\.uid))
        for pod in pods { upsert(pod, now: now) }
        for uid in entries.keys where !listed.contains(uid) && entries[uid]?.isFromAPI == true { remove(uid: uid) }
        isSynced = true
        adoptOrphans(now: now)
    }

    package mutating func upsert(_ pod: JSON, now: Nanoseconds) {
        let uid = pod.uid
        guard !uid.isEmpty else { return }
        if entries[uid] != nil {
            entries[uid]?.life.update(pod, now: now)
            entries[uid]?.wakeAt = 0
        } else if entries.count < Self.podsMax {
            var life = PodLife(pod: pod, hostIPs: hostIPs, now: now)
            if isRuntimeSeen { life.observe(lastSeen[uid] ?? PodSeen()) }
            entries[uid] = Entry(life: life, known: pod["status"] ?? [:], isFromAPI: true)
        }
    }

    /// The API forgot the pod.
    package mutating func remove(uid: String) {
        entries[uid]?.life.vanish()
        entries[uid]?.wakeAt = 0
    }

    /// An object that volumes show has changed.
    package mutating func changed(_ object: ObjectName) {
        for uid in entries.keys where entries[uid]?.life.changed(object) == true { entries[uid]?.wakeAt = 0 }
    }

    /// Every object that volumes of living pods show.
    package var shownObjects: Set<ObjectName> {
        entries.values.reduce(into: []) { found, entry in
            if entry.isFromAPI && !entry.life.isEnding && !entry.life.isFinished {
                found.formUnion(entry.life.spec.shownObjects)
            }
        }
    }

    /// The host ports that lead to pods now, in a fixed order.
    package var hostPorts: [HostPort] {
        uids.flatMap { uid -> [HostPort] in
            guard let life = entries[uid]?.life, life.readySandbox != nil, let address = life.ips.first else {
                return []
            }
            return life.spec.hostPorts.map { HostPort($0, podAddress: address) }
        }
    }

    /// What the runtime shows of all pods of this node; `epochs` from the moment when the looking began.
    package mutating func observe(_ seen: [String: PodSeen], epochs: [String: UInt64], now: Nanoseconds) {
        isRuntimeSeen = true
        lastSeen = seen
        for uid in entries.keys {
            guard let entry = entries[uid], entry.life.epoch == epochs[uid] ?? entry.life.epoch else { continue }
            entries[uid]?.life.observe(seen[uid] ?? PodSeen())
            entries[uid]?.wakeAt = 0
        }
        if isSynced { adoptOrphans(now: now) }
    }

    private mutating func adoptOrphans(now: Nanoseconds) {
        for (uid, seen) in lastSeen where entries[uid] == nil {
            var life = PodLife(pod: Self.orphan(uid, seen), hostIPs: hostIPs, now: now)
            life.observe(seen)
            life.vanish()
            entries[uid] = Entry(life: life, known: [:], isFromAPI: false)
        }
    }

    /// A pod made from what the runtime remembers of it, enough to end it.
    private static func orphan(_ uid: String, _ seen: PodSeen) -> JSON {
        let metadata = seen.sandboxes.first?.metadata
        let labels = seen.containers.first?.status.labels ?? [:]
        let grace =
            seen.containers.compactMap { $0.status.annotations[PodLabels.podGrace].flatMap { Int64($0) } }.max() ?? 30
        let names = Set(seen.containers.map(\.status.name)).sorted()
        return [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": .string(metadata?.name ?? labels[PodLabels.podName] ?? ""),
                "namespace": .string(metadata?.namespace ?? labels[PodLabels.podNamespace] ?? ""), "uid": .string(uid)
            ],
            "spec": [
                "terminationGracePeriodSeconds": .int(grace), "containers": .array(names.map { ["name": .string($0)] })
            ]
        ]
    }

    package mutating func finished(_ uid: String, _ outcome: PodOutcome, now: Nanoseconds) -> [PodAction] {
        guard entries[uid] != nil else { return [] }
        entries[uid]?.wakeAt = 0
        return entries[uid]?.life.finished(outcome, now: now).actions ?? []
    }

    /// A write of a status ended; `written` is what the API now shows, nil after a failure.
    package mutating func statusWritten(_ uid: String, _ written: JSON?, now: Nanoseconds) {
        guard var entry = entries[uid] else { return }
        entry.isWriting = false
        if let written {
            entry.known = written
            entry.failures = 0
            entry.retryAt = 0
        } else {
            entry.failures += 1
            entry.retryAt = now &+ min(.seconds(10), .second / 5 << Int64(min(entry.failures, 6)))
        }
        entry.wakeAt = 0
        entries[uid] = entry
    }

    // MARK: decision

    package mutating func decide(now: Nanoseconds) -> NodeDecision {
        var decision = NodeDecision()
        for uid in entries.keys.sorted() {
            guard let wakeAt = entries[uid]?.wakeAt else { continue }
            if wakeAt <= now { decide(uid, now, &decision) }
            if let next = entries[uid]?.wakeAt { decision.wakeAt = min(decision.wakeAt ?? .max, next) }
        }
        return decision
    }

    private mutating func decide(_ uid: String, _ now: Nanoseconds, _ decision: inout NodeDecision) {
        guard var entry = entries.removeValue(forKey: uid) else { return }
        let podDecision = entry.life.decide(now: now)
        if entry.life.isOver {
            decision.forgotten.append(uid)
            lastSeen[uid] = nil
            return
        }
        entry.wakeAt = podDecision.wakeAt ?? .max
        if entry.life.isObserved && entry.isFromAPI && !entry.life.isGone { offerStatus(&entry, now, &decision) }
        let context = context(of: entry, now)
        for action in podDecision.actions { decision.actions.append((context, action)) }
        entries[uid] = entry
    }

    private func offerStatus(_ entry: inout Entry, _ now: Nanoseconds, _ decision: inout NodeDecision) {
        let status = entry.life.status(previous: entry.known, now: now)
        guard status != entry.known, !entry.isWriting, entry.life.deletion != .inFlight else { return }
        if entry.retryAt > now {
            entry.wakeAt = min(entry.wakeAt, entry.retryAt)
            return
        }
        entry.isWriting = true
        decision.statuses.append((entry.life.pod, entry.known, status))
    }

    private func context(of entry: Entry, _ now: Nanoseconds) -> PodContext {
        let life = entry.life
        let ids = life.containers.compactMap { c in c.current.map { (c.spec.name, $0.status.id) } }
        return PodContext(
            pod: life.pod, spec: life.spec, ips: life.spec.isHostNetwork ? hostIPs : life.ips,
            status: life.isGone ? .null : life.status(previous: entry.known, now: now), sandbox: life.newestSandbox,
            containerIDs: Dictionary(ids, uniquingKeysWith: { $1 }), isRemoval: life.mustBeRemoved)
    }

    /// A snapshot for the server and for housekeeping.
    package func context(_ uid: String, now: Nanoseconds) -> PodContext? { entries[uid].map { context(of: $0, now) } }
    package func context(namespace: String, name: String, now: Nanoseconds) -> PodContext? {
        let found = entries.values.filter { $0.life.spec.namespace == namespace && $0.life.spec.name == name }
        return found.sorted { !$0.life.isGone && $1.life.isGone }.first.map { context(of: $0, now) }
    }
}
