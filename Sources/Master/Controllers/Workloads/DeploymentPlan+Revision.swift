// The new ReplicaSet of a deployment and the revision numbers by which `kubectl rollout` finds its way.

import API

extension DeploymentPlan {
    /// Gives the new set the next revision (when it is not the highest yet) and creates it where it is missing.
    mutating func syncRevision(mayCreate: Bool) {
        let revision = (old.map(\.revision).max() ?? 0) + 1
        if var draft = new {
            annotate(&draft, revision, isNew: false)
            draft.object["spec", "minReadySeconds"] = deployment["spec", "minReadySeconds"]
            new = draft
            setOwnRevision(draft.revision)
            if hasDeadline && !conditions.contains(where: { $0["type"]?.string == "Progressing" }) {
                progressing("True", "FoundNewReplicaSet", "Found new replica set \"\(draft.name)\"")
            }
        } else if mayCreate {
            create(revision)
        }
    }

    private mutating func setOwnRevision(_ revision: Int64) {
        if deployment.annotations[Revision.annotation] != String(revision) {
            deployment["metadata", "annotations", Revision.annotation] = .string(String(revision))
        }
    }

    private mutating func create(_ revision: Int64) {
        let collisions = deployment["status", "collisionCount"]?.int
        let hash = Hash.template(deployment["spec", "template"] ?? .null, collisions: collisions)
        var template = deployment["spec", "template"] ?? [:]
        template["metadata", "labels", Revision.hashLabel] = .string(hash)
        var selector = deployment["spec", "selector"] ?? [:]
        selector["matchLabels", Revision.hashLabel] = .string(hash)
        var spec: JSON = ["replicas": 0, "selector": selector, "template": template]
        spec["minReadySeconds"] = deployment["spec", "minReadySeconds"]
        let set: JSON = [
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": [
                "name": .string("\(deployment.name)-\(hash)"), "namespace": .string(deployment.namespace),
                "labels": template["metadata", "labels"] ?? [:],
                "ownerReferences": [deployment.controllerReference(Self.kind)]
            ],
            "spec": spec
        ]
        var draft = ReplicaSetDraft(new: set)
        annotate(&draft, revision, isNew: true)
        new = draft
        let count = newSetReplicas()
        new?.object["spec", "replicas"] = .int(count)
        setOwnRevision(revision)
        if count > 0 { scaled(draft.name, from: 0, to: count) }
        if hasDeadline { progressing("True", "NewReplicaSetCreated", "Created new replica set \"\(draft.name)\"") }
    }

    private func annotate(_ draft: inout ReplicaSetDraft, _ revision: Int64, isNew: Bool) {
        for (key, value) in deployment.annotations where !Revision.private_.contains(key) {
            draft.object["metadata", "annotations", key] = .string(value)
        }
        let before = draft.object.annotations[Revision.annotation]
        if (Int64(before ?? "") ?? 0) < revision {
            draft.object["metadata", "annotations", Revision.annotation] = .string(String(revision))
            if let before, !before.isEmpty {
                let past =
                    (draft.object.annotations[Revision.history] ?? "").split(separator: ",").map(String.init) + [before]
                draft.object["metadata", "annotations", Revision.history] = .string(
                    past.suffix(100).joined(separator: ","))
            }
        }
        if isNew { annotateCounts(&draft) }
    }

    func annotateCounts(_ draft: inout ReplicaSetDraft) {
        draft.object["metadata", "annotations", Revision.desired] = .string(String(replicas))
        draft.object["metadata", "annotations", Revision.most] = .string(String(replicas + margins.surge))
    }

    /// Deletes old sets that nobody needs any more, beyond the history limit.
    mutating func cleanup() {
        let limit = deployment.number("spec", "revisionHistoryLimit", or: 10)
        guard limit != Self.noDeadline else { return }
        let idle = old.filter { !$0.object.isBeingDeleted }.sorted { ($0.revision, $0.name) < ($1.revision, $1.name) }
        guard Int64(idle.count) > limit else { return }
        for draft in idle.prefix(idle.count - Int(max(0, limit))) {
            let set = draft.object
            guard draft.actual == 0, draft.replicas == 0, set.number("status", "observedGeneration") >= set.generation
            else { continue }
            changes.append(.delete(.replicaSets, Target(set), DeleteOptions(uid: set.uid)))
            old.removeAll { $0.name == draft.name }
        }
    }
}
