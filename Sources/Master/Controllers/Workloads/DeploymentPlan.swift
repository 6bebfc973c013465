// Deployments: which ReplicaSet is the new one, and how many replicas each has now. One round of the plan does what
// upstream's controller does in one sync; the changes it causes bring the next round. Working copies are changed in
// place and what differs from the originals at the end becomes the list of changes. Pure.

import API

enum Revision {
    static let annotation = "deployment.kubernetes.io/revision"
    static let history = "deployment.kubernetes.io/revision-history"
    static let desired = "deployment.kubernetes.io/desired-replicas"
    static let most = "deployment.kubernetes.io/max-replicas"
    static let hashLabel = "pod-template-hash"
    /// Annotations of a deployment that its ReplicaSets do not inherit.
    static let private_: Set<String> = [
        "kubectl.kubernetes.io/last-applied-configuration", annotation, history, desired, most,
        "deprecated.deployment.rollback.to"
    ]
}

/// A ReplicaSet under change.
struct ReplicaSetDraft {
    let original: JSON?
    var object: JSON

    init(existing: JSON) {
        original = existing
        object = existing
    }

    init(new: JSON) {
        original = nil
        object = new
    }

    var name: String { object.name }
    var replicas: Int64 { object.number("spec", "replicas", or: 1) }
    var actual: Int64 { object.number("status", "replicas") }
    var available: Int64 { object.number("status", "availableReplicas") }
    var ready: Int64 { object.number("status", "readyReplicas") }
    var revision: Int64 { Int64(object.annotations[Revision.annotation] ?? "") ?? 0 }
    /// Creation, then name; a set that is yet to be created is the youngest.
    var age: (Int64, String) { (original == nil ? Int64.max : object.createdAt, name) }
}

/// What is to be done for one deployment.
package struct DeploymentPlan: Sendable {
    static let kind = GroupVersionKind("apps", "v1", "Deployment")
    static let noDeadline: Int64 = Int64(Int32.max)

    let original: JSON
    let now: Int64
    let podsBySet: [String: [PodView]]
    var deployment: JSON
    var new: ReplicaSetDraft?
    var old: [ReplicaSetDraft] = []
    var conditions: [JSON]
    var changes: [Change] = []
    var notes: [Change] = []

    /// `sets`: its own and those without a controller; `pods`: by the uid of the ReplicaSet that owns them.
    package static func changes(_ deployment: JSON, sets: [JSON], pods: [String: [PodView]], now: Int64) -> [Change] {
        var plan = DeploymentPlan(deployment, pods, now)
        plan.run(sets)
        return plan.changes + plan.notes
    }

    private init(_ deployment: JSON, _ pods: [String: [PodView]], _ now: Int64) {
        original = deployment
        self.deployment = deployment
        self.now = now
        podsBySet = pods
        conditions = deployment["status", "conditions"]?.elements ?? []
    }

    var replicas: Int64 { deployment.number("spec", "replicas", or: 1) }
    var isPaused: Bool { deployment["spec", "paused"]?.bool ?? false }
    var isRolling: Bool { deployment["spec", "strategy", "type"]?.string != "Recreate" }
    var deadlineSeconds: Int64 { deployment.number("spec", "progressDeadlineSeconds", or: Self.noDeadline) }
    var hasDeadline: Bool { deadlineSeconds != Self.noDeadline }
    var all: [ReplicaSetDraft] { old + (new.map { [$0] } ?? []) }

    /// How many pods above and below `replicas` there may be while rolling; never both zero.
    var margins: (surge: Int64, unavailable: Int64) {
        guard isRolling else { return (0, 0) }
        let settings = deployment["spec", "strategy", "rollingUpdate"]
        let surge = Portion.resolve(settings?["maxSurge"] ?? "25%", of: replicas, roundUp: true)
        let unavailable = Portion.resolve(settings?["maxUnavailable"] ?? "25%", of: replicas, roundUp: false)
        return surge == 0 && unavailable == 0 ? (0, 1) : (surge, min(unavailable, max(replicas, 0)))
    }

    private mutating func run(_ sets: [JSON]) {
        let selector = MatchSelector(deployment["spec", "selector"])
        if selector.requirements?.isEmpty ?? true {
            notes.append(
                .note(
                    deployment, warning: true, "SelectingAll",
                    "This deployment is selecting all pods. A non-empty selector is required."))
            return
        }
        let owned = claim(sets, selector)
        if deployment.isBeingDeleted {
            find(owned)
            return finish()
        }
        pauseConditions()
        find(owned)
        if isPaused || isScaling {
            syncRevision(mayCreate: false)
            scaleAll()
            if isPaused { cleanup() }
            return finish()
        }
        if isRolling { roll() } else { recreate() }
        finish()
    }

    private mutating func claim(_ sets: [JSON], _ selector: MatchSelector) -> [JSON] {
        var owned: [JSON] = []
        for set in sets {
            let owner = Owner(set.controllerReference)?.uid
            if owner == deployment.uid {
                if selector.matches(set.labels) {
                    owned.append(set)
                } else {
                    changes.append(
                        .patch(.replicaSets, Target(set), .strategic, Claim.release(deployment, uid: set.uid)))
                }
            } else if owner == nil && selector.matches(set.labels) && !set.isBeingDeleted && !deployment.isBeingDeleted
            {
                changes.append(
                    .patch(.replicaSets, Target(set), .strategic, Claim.adoption(deployment, Self.kind, uid: set.uid)))
            }
        }
        return owned
    }

    /// Splits the sets into the one with the deployment's template (the oldest of several) and the others.
    private mutating func find(_ sets: [JSON]) {
        let wanted = Self.comparable(deployment["spec", "template"])
        let sorted = sets.map(ReplicaSetDraft.init(existing:)).sorted { $0.age < $1.age }
        for draft in sorted {
            if new == nil && Self.comparable(draft.object["spec", "template"]) == wanted {
                new = draft
            } else {
                old.append(draft)
            }
        }
    }

    static func comparable(_ template: JSON?) -> JSON {
        var template = template ?? .null
        template["metadata", "labels", Revision.hashLabel] = nil
        return template.essential
    }

    /// The deployment was scaled: a set still carries another number of desired replicas.
    private var isScaling: Bool {
        all.contains { draft in
            guard draft.replicas > 0, let desired = Int64(draft.object.annotations[Revision.desired] ?? "") else {
                return false
            }
            return desired != replicas
        }
    }

    private mutating func pauseConditions() {
        guard hasDeadline else { return }
        let current = conditions.first { $0["type"]?.string == "Progressing" }
        let reason = current?["reason"]?.string
        if reason == "ProgressDeadlineExceeded" { return }
        if isPaused && reason != "DeploymentPaused" {
            progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        } else if !isPaused && reason == "DeploymentPaused" {
            progressing("Unknown", "DeploymentResumed", "Deployment is resumed")
        }
    }

    mutating func progressing(_ status: String, _ reason: String, _ message: String) {
        Conditions.set(&conditions, Conditions.make("Progressing", status, reason, message, now: now, updated: true))
    }

    /// Emits the changes: sets first, then the deployment's status, with which its revision annotation travels: by the
    /// status path it counts no generation.
    private mutating func finish() {
        for draft in all {
            if let original = draft.original {
                if original != draft.object { changes.append(.update(.replicaSets, draft.object)) }
            } else {
                changes.append(.create(.replicaSets, draft.object))
            }
        }
        status()
    }
}
