// ReplicaSets and ReplicationControllers: keep as many pods as asked for. Adoption and release of pods by label,
// creation and deletion, status. Both kinds are one plan; they differ in names and in how the selector is written.
// Pure: the object, the pods of its namespace and the time in, changes out.

import API

/// The two kinds that keep replicas.
package struct ReplicaKind: Sendable, Hashable {
    package var resource: GroupVersionResource
    package var kind: GroupVersionKind

    package static let replicaSet = ReplicaKind(
        resource: .replicaSets, kind: GroupVersionKind("apps", "v1", "ReplicaSet"))
    package static let replicationController = ReplicaKind(
        resource: .replicationControllers, kind: GroupVersionKind("", "v1", "ReplicationController"))

    func selector(of object: JSON) -> MatchSelector {
        guard kind.group.isEmpty else { return MatchSelector(object["spec", "selector"]) }
        return MatchSelector(object["spec", "selector"].map { ["matchLabels": $0] })
    }
}

/// What is to be done for one ReplicaSet or ReplicationController.
package struct ReplicaPlan: Sendable {
    /// Creations or deletions in one round.
    package static let burstMax = 500

    let kind: ReplicaKind
    let object: JSON
    let now: Int64

    package init(_ kind: ReplicaKind, _ object: JSON, now: Int64) {
        self.kind = kind
        self.object = object
        self.now = now
    }

    /// `pods`: its own and those without a controller; `failure`: what the API server said when the last creation failed.
    package func changes(_ pods: [PodView], failure: String? = nil) -> [Change] {
        let claim = Claim(object, kind.kind, kind.selector(of: object))
        let alive = pods.filter { !$0.isFinished }
        var changes = claim.changes(alive)
        let owned = alive.filter(claim.keeps)
        let mine = owned.filter { !$0.isBeingDeleted }
        var scaling: [Change] = []
        if !object.isBeingDeleted { scaling = scale(mine, related: pods.filter { claim.selector.matches($0.labels) }) }
        changes += scaling
        changes += status(mine, failure: failure)
        return changes
    }

    private var wanted: Int64 { object.number("spec", "replicas", or: 1) }
    private var minReadySeconds: Int64 { object.number("spec", "minReadySeconds") }

    private func scale(_ mine: [PodView], related: [PodView]) -> [Change] {
        let missing = wanted &- Int64(mine.count)
        if missing > 0 {
            let pod = PodTemplate.pod(of: object, kind.kind)
            return [.many(Array(repeating: .create(.pods, pod), count: min(Int(missing), Self.burstMax)))]
        }
        guard missing < 0 else { return [] }
        let victims = DeletionOrder.sorted(mine, related: related, now: now).prefix(min(Int(-missing), Self.burstMax))
        return [.many(victims.map { .delete(.pods, Target($0), DeleteOptions(uid: $0.uid)) })]
    }

    private func status(_ mine: [PodView], failure: String?) -> [Change] {
        var status: JSON = ["replicas": .int(Int64(mine.count))]
        let templateLabels = object["spec", "template", "metadata", "labels"]?.stringMap ?? [:]
        let labelled = mine.count { pod in templateLabels.allSatisfy { pod.labels[$0.key] == $0.value } }
        let available = mine.filter { $0.isAvailable(minReadySeconds, now: now) }.count
        func set(_ key: String, _ count: Int) { if count > 0 { status[key] = .int(Int64(count)) } }
        set("fullyLabeledReplicas", labelled)
        set("readyReplicas", mine.count { $0.isReady })
        set("availableReplicas", available)
        status["observedGeneration"] = .int(object.generation)
        let conditions = conditions(mine, failure)
        if !conditions.isEmpty { status["conditions"] = .array(conditions) }
        var changes: [Change] = []
        if status.essential != (object["status"] ?? .null).essential {
            var new = object
            new["status"] = status
            changes.append(.updateStatus(kind.resource, new))
        }
        if minReadySeconds > 0, let wait = nextAvailable(mine) { changes.append(.again(milliseconds: wait)) }
        return changes
    }

    private func conditions(_ mine: [PodView], _ failure: String?) -> [JSON] {
        var list = object["status", "conditions"]?.elements ?? []
        if let failure {
            let reason = wanted < Int64(mine.count) ? "FailedDelete" : "FailedCreate"
            Conditions.set(&list, Conditions.make("ReplicaFailure", "True", reason, failure, now: now))
        } else {
            Conditions.remove(&list, "ReplicaFailure")
        }
        return list
    }

    /// How long until the next ready pod counts as available.
    private func nextAvailable(_ mine: [PodView]) -> Int64? {
        mine.filter { $0.isReady && !$0.isAvailable(minReadySeconds, now: now) }
            .map { max(1, $0.readySince &+ minReadySeconds &* 1000 &- now) }.min()
    }
}

/// Whose pods are whose: adoption of orphans that match, release of own ones that no longer do.
struct Claim {
    let owner: JSON
    let kind: GroupVersionKind
    let selector: MatchSelector

    init(_ owner: JSON, _ kind: GroupVersionKind, _ selector: MatchSelector) {
        self.owner = owner
        self.kind = kind
        self.selector = selector
    }

    /// Whether a pod counts, now or after adoption.
    func keeps(_ pod: PodView) -> Bool {
        if let uid = pod.owner?.uid { return uid == owner.uid && selector.matches(pod.labels) }
        return adopts(pod)
    }

    private func adopts(_ pod: PodView) -> Bool {
        pod.owner == nil && selector.matches(pod.labels) && !pod.isBeingDeleted && !owner.isBeingDeleted
    }

    func changes(_ pods: [PodView]) -> [Change] {
        pods.compactMap { pod in
            if adopts(pod) { return .patch(.pods, Target(pod), .strategic, Self.adoption(owner, kind, uid: pod.uid)) }
            guard pod.owner?.uid == owner.uid, !selector.matches(pod.labels), !pod.isBeingDeleted else { return nil }
            return .patch(.pods, Target(pod), .strategic, Self.release(owner, uid: pod.uid))
        }
    }

    static func adoption(_ owner: JSON, _ kind: GroupVersionKind, uid: String) -> JSON {
        ["metadata": ["ownerReferences": [owner.controllerReference(kind)], "uid": .string(uid)]]
    }

    static func release(_ owner: JSON, uid: String) -> JSON {
        ["metadata": ["ownerReferences": [["$patch": "delete", "uid": .string(owner.uid)]], "uid": .string(uid)]]
    }
}

/// A pod made from a controller's template.
enum PodTemplate {
    static func pod(of owner: JSON, _ kind: GroupVersionKind, prefix: String? = nil) -> JSON {
        let template = owner["spec", "template"] ?? .null
        var metadata: JSON = [
            "generateName": .string("\(prefix ?? String(owner.name.prefix(240)))-"),
            "namespace": .string(owner.namespace)
        ]
        for field in ["labels", "annotations", "finalizers"] { metadata[field] = template["metadata", field] }
        metadata["ownerReferences"] = [owner.controllerReference(kind)]
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? [:]]
    }
}

/// Which pods go first when there are too many.
enum DeletionOrder {
    static func sorted(_ pods: [PodView], related: [PodView], now: Int64) -> [PodView] {
        let perNode = Dictionary(related.filter { $0.isActive }.map { ($0.nodeName, Int64(1)) }, uniquingKeysWith: +)
        func rank(_ pod: PodView) -> [Int64] {
            let phase: Int64 = pod.phase == "Pending" ? 0 : pod.phase == "Unknown" ? 1 : 2
            return [
                pod.nodeName.isEmpty ? 0 : 1, phase, pod.isReady ? 1 : 0, pod.deletionCost,
                -(perNode[pod.nodeName] ?? 0),
                pod.isReady ? -logarithm(now &- pod.readySince) : 0, -pod.restarts, -logarithm(now &- pod.createdAt)
            ]
        }
        return pods.map { (rank($0), $0) }
            .sorted { $0.0 == $1.0 ? $0.1.uid < $1.1.uid : $0.0.lexicographicallyPrecedes($1.0) }.map(\.1)
    }

    /// Ages are compared by their order of magnitude, youngest first.
    private static func logarithm(_ age: Int64) -> Int64 { Int64(64 - max(0, age).leadingZeroBitCount) }
}
