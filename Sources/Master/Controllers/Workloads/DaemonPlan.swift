// Daemon sets: one pod on each node that takes it. A pod is bound by node affinity to its node's name and goes through
// the scheduler. Updates replace old pods within maxUnavailable (or maxSurge); ControllerRevisions keep the history for
// `kubectl rollout`. Pure: the set, its pods, its revisions, the nodes and the time in, changes out.

import API

/// What is to be done for one daemon daemons.
package struct DaemonPlan: Sendable {
    static let kind = GroupVersionKind("apps", "v1", "DaemonSet")
    static let hashLabel = "controller-revision-hash"
    static let generationLabel = "pod-template-generation"
    static let generationAnnotation = "deprecated.daemonset.template.generation"
    static let burstMax = 250
    /// A failed pod is replaced only when it is so old, so that a node that refuses it is not hammered.
    static let failedRestMilliseconds: Int64 = 10_000

    let daemons: JSON
    let nodes: [NodeView]
    let now: Int64
    let history: DaemonHistory
    var changes: [Change] = []
    /// Own pods by the node they are for.
    var byNode: [String: [PodView]] = [:]

    /// `pods`: its own and those without a controller; `revisions`: the ControllerRevisions of the namespace.
    package static func changes(
        _ set: JSON, pods: [PodView], revisions: [JSON], nodes: [NodeView], now: Int64
    )
        -> [Change]
    {
        let selector = MatchSelector(set["spec", "selector"])
        guard selector.requirements?.isEmpty == false else {
            return [
                .note(
                    set, warning: true, "SelectingAll",
                    "This daemon set is selecting all pods. A non-empty selector is required.")
            ]
        }
        let claim = Claim(set, kind, selector)
        var plan = DaemonPlan(set, nodes, DaemonHistory(set, revisions), now)
        plan.changes = claim.changes(pods.filter { !$0.isFinished || $0.owner?.uid == set.uid })
        guard !set.isBeingDeleted else { return plan.changes }
        let mine = pods.filter(claim.keeps)
        plan.byNode = Dictionary(grouping: mine, by: \.targetNode)
        plan.changes += plan.history.changes(pods: mine)
        guard plan.history.isSettled else { return plan.changes }
        plan.manage()
        plan.update()
        plan.status()
        return plan.changes
    }

    private init(_ set: JSON, _ nodes: [NodeView], _ history: DaemonHistory, _ now: Int64) {
        daemons = set
        self.nodes = nodes
        self.history = history
        self.now = now
    }

    private var minReadySeconds: Int64 { daemons.number("spec", "minReadySeconds") }

    /// (should run here, may go on running here).
    func fits(_ node: NodeView) -> (runs: Bool, stays: Bool) {
        let spec = daemons["spec", "template", "spec"] ?? .null
        if let name = spec["nodeName"]?.string, !name.isEmpty, name != node.name { return (false, false) }
        guard spec.placementAccepts(node: node.name, labels: node.labels) else { return (false, false) }
        let tolerations = Self.tolerations(spec).map(Toleration.init)
        let bad = node.taints.filter { timed in !tolerations.contains { $0.tolerates(timed.taint) } }
        let runs = !bad.contains { $0.taint.effect == "NoSchedule" || $0.taint.effect == "NoExecute" }
        return (runs, !bad.contains { $0.taint.effect == "NoExecute" })
    }

    /// The template's tolerations and those that every daemon has.
    static func tolerations(_ spec: JSON) -> [JSON] {
        var own = spec["tolerations"]?.elements ?? []
        var standard = [
            ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
            ("memory-pressure", "NoSchedule"),
            ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")
        ]
        if spec["hostNetwork"]?.bool == true { standard.append(("network-unavailable", "NoSchedule")) }
        for (key, effect) in standard {
            let toleration: JSON = [
                "key": .string("node.kubernetes.io/\(key)"), "operator": "Exists", "effect": .string(effect)
            ]
            if !own.contains(toleration) { own.append(toleration) }
        }
        return own
    }

    private mutating func manage() {
        var missing: [String] = []
        var surplus: [PodView] = []
        for node in nodes {
            let pods = byNode[node.name] ?? []
            let (runs, stays) = fits(node)
            for failed in pods where failed.phase == "Failed" && !failed.isBeingDeleted && runs {
                let age = now &- failed.createdAt
                if age < Self.failedRestMilliseconds {
                    changes.append(.again(milliseconds: Self.failedRestMilliseconds - age))
                    continue
                }
                let text =
                    "Found failed daemon pod \(failed.namespace)/\(failed.name) on node \(node.name), will try to kill it"
                changes.append(.note(daemons, warning: true, "FailedDaemonPod", text))
                surplus.append(failed)
            }
            let alive = pods.filter { !$0.isFinished && !$0.isBeingDeleted }
            let ending = pods.contains { $0.isBeingDeleted && !$0.isFinished }
            if runs && alive.isEmpty && !ending { missing.append(node.name) }
            if !stays { surplus += alive } else { surplus += doubles(alive) }
        }
        let known = Set(nodes.map(\.name))
        surplus += byNode.filter { !known.contains($0.key) }.values.flatMap { $0 }.filter {
            $0.isActive && $0.nodeName.isEmpty
        }
        create(on: missing)
        delete(surplus.sorted { $0.key < $1.key })
    }

    /// All but the oldest; while surging, an old and a new pod may stand side by side.
    private func doubles(_ alive: [PodView]) -> [PodView] {
        let sorted = alive.sorted {
            (($0.nodeName.isEmpty ? 1 : 0), $0.createdAt, $0.name) < (
                ($1.nodeName.isEmpty ? 1 : 0), $1.createdAt, $1.name
            )
        }
        guard surge > 0 else { return Array(sorted.dropFirst()) }
        let old = sorted.filter { !history.isCurrent($0) }
        let new = sorted.filter(history.isCurrent)
        let isNewAvailable = new.first?.isAvailable(minReadySeconds, now: now) ?? false
        let oldRest =
            isNewAvailable || (!new.isEmpty && old.first?.isAvailable(minReadySeconds, now: now) == false)
            ? old : Array(old.dropFirst())
        return oldRest + new.dropFirst()
    }

    private mutating func create(on names: [String]) {
        guard !names.isEmpty else { return }
        changes.append(.many(names.prefix(Self.burstMax).map { .create(.pods, pod(for: $0)) }))
    }

    private mutating func delete(_ pods: [PodView]) {
        guard !pods.isEmpty else { return }
        changes.append(.many(pods.prefix(Self.burstMax).map { .delete(.pods, Target($0), DeleteOptions(uid: $0.uid)) }))
    }

    private func pod(for node: String) -> JSON {
        var pod = PodTemplate.pod(of: daemons, Self.kind)
        pod["metadata", "labels", Self.hashLabel] = .string(history.currentHash)
        pod["metadata", "labels", Self.generationLabel] = .string(
            daemons.annotations[Self.generationAnnotation] ?? String(daemons.generation))
        pod["spec", "tolerations"] = .array(Self.tolerations(daemons["spec", "template", "spec"] ?? .null))
        let field: JSON = ["key": "metadata.name", "operator": "In", "values": [.string(node)]]
        let path = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]
        let terms = (pod.value(at: path + ["nodeSelectorTerms"])?.elements ?? []).map { term in
            var term = term
            term["matchFields"] = [field]
            return term
        }
        pod.setValue(["nodeSelectorTerms": .array(terms.isEmpty ? [["matchFields": [field]]] : terms)], at: path)
        return pod
    }

    // Rolling update.

    private var isRolling: Bool { daemons["spec", "updateStrategy", "type"]?.string != "OnDelete" }

    private var surge: Int64 {
        isRolling
            ? Portion.resolve(
                daemons["spec", "updateStrategy", "rollingUpdate", "maxSurge"], of: desired, roundUp: true) : 0
    }

    private var desired: Int64 { Int64(nodes.count { fits($0).runs }) }

    private var unavailableMax: Int64 {
        let value = daemons["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"] ?? 1
        let resolved = Portion.resolve(value, of: desired, roundUp: true)
        return resolved == 0 && surge == 0 ? 1 : resolved
    }

    private mutating func update() {
        guard isRolling else { return }
        var unavailable: Int64 = 0
        var replaceable: [PodView] = []
        var broken: [PodView] = []
        var surging: [String] = []
        var surged: Int64 = 0
        for node in nodes where fits(node).runs {
            let alive = (byNode[node.name] ?? []).filter { $0.isActive }
            let old = alive.filter { !history.isCurrent($0) }
            let new = alive.filter(history.isCurrent)
            let isAvailable = alive.contains { $0.isAvailable(minReadySeconds, now: now) }
            if !isAvailable { unavailable += 1 }
            if !new.isEmpty && !old.isEmpty { surged += 1 }
            guard let first = old.first, new.isEmpty else { continue }
            if !isAvailable {
                broken.append(first)
            } else {
                replaceable.append(first)
                surging.append(node.name)
            }
        }
        if surge > 0 {
            create(on: Array(surging.prefix(Int(max(0, surge - surged)))))
            return delete(broken)
        }
        delete(broken + replaceable.prefix(Int(max(0, unavailableMax - unavailable))))
    }

    // Status.

    private mutating func status() {
        var scheduled: Int64 = 0
        var misplaced: Int64 = 0
        var ready: Int64 = 0
        var updated: Int64 = 0
        var available: Int64 = 0
        var soonest: Int64?
        for node in nodes {
            let pods = (byNode[node.name] ?? []).filter { !$0.isFinished }
            let runs = fits(node).runs
            if !runs {
                misplaced += pods.isEmpty ? 0 : 1
                continue
            }
            guard let pod = pods.sorted(by: { ($0.createdAt, $0.name) < ($1.createdAt, $1.name) }).last else {
                continue
            }
            scheduled += 1
            if pod.isReady { ready += 1 }
            if history.isCurrent(pod) { updated += 1 }
            if pod.isAvailable(minReadySeconds, now: now) {
                available += 1
            } else if pod.isReady {
                soonest = min(soonest ?? Int64.max, pod.readySince &+ minReadySeconds &* 1000 &- now)
            }
        }
        var status: JSON = [
            "currentNumberScheduled": .int(scheduled), "numberMisscheduled": .int(misplaced),
            "desiredNumberScheduled": .int(desired),
            "numberReady": .int(ready), "observedGeneration": .int(daemons.generation)
        ]
        let extras = [
            ("updatedNumberScheduled", updated), ("numberAvailable", available),
            ("numberUnavailable", desired - available)
        ]
        for (key, count) in extras where count > 0 { status[key] = .int(count) }
        status["collisionCount"] = daemons["status", "collisionCount"]
        status["conditions"] = daemons["status", "conditions"]
        if status.essential != (daemons["status"] ?? .null).essential {
            var object = daemons
            object["status"] = status
            changes.append(.updateStatus(.daemonSets, object))
        }
        if let soonest { changes.append(.again(milliseconds: max(1, soonest))) }
    }
}

extension PodView {
    /// The node that a daemon pod is for: where it runs, or where its affinity sends it.
    var targetNode: String { nodeName.isEmpty ? affinityNode : nodeName }
}
