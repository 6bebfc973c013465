// The revisions of a daemon set: a ControllerRevision for each template, the highest being the current one. Pure.

import API

struct DaemonHistory: Sendable {
    let set: JSON
    let owned: [JSON]
    let current: JSON?

    init(_ set: JSON, _ revisions: [JSON]) {
        self.set = set
        owned = revisions.filter { $0.controllerReference?["uid"]?.string == set.uid }
            .sorted { ($0.number("revision"), $0.name) < ($1.number("revision"), $1.name) }
        let wanted = Self.data(set).essential
        current = owned.last { ($0["data"] ?? .null).essential == wanted }
    }

    /// What a revision keeps: a patch that brings the template back.
    static func data(_ set: JSON) -> JSON {
        var template = set["spec", "template"] ?? [:]
        template["$patch"] = "replace"
        return ["spec": ["template": template]]
    }

    /// Without a current revision pods cannot be labelled yet: the next round does it.
    var isSettled: Bool { current != nil }

    var currentHash: String { current?.labels[DaemonPlan.hashLabel] ?? "" }

    func isCurrent(_ pod: PodView) -> Bool {
        if pod.labels[DaemonPlan.hashLabel] == currentHash { return true }
        return pod.labels[DaemonPlan.generationLabel] == set.annotations[DaemonPlan.generationAnnotation]
            && pod.labels[DaemonPlan.generationLabel] != nil
    }

    func changes(pods: [PodView]) -> [Change] {
        let highest = owned.last?.number("revision") ?? 0
        guard let current else { return [.create(.controllerRevisions, make(highest + 1))] }
        var changes: [Change] = []
        if current.number("revision") < highest {
            var raised = current
            raised["revision"] = .int(highest + 1)
            changes.append(.update(.controllerRevisions, raised))
        }
        return changes + surplus(pods)
    }

    private func make(_ revision: Int64) -> JSON {
        let hash = Hash.template(set["spec", "template"] ?? .null, collisions: set["status", "collisionCount"]?.int)
        var labels = set["spec", "template", "metadata", "labels"] ?? [:]
        labels[DaemonPlan.hashLabel] = .string(hash)
        var metadata: JSON = [
            "name": .string("\(set.name)-\(hash)"), "namespace": .string(set.namespace), "labels": labels,
            "ownerReferences": [set.controllerReference(DaemonPlan.kind)]
        ]
        metadata["annotations"] = set["metadata", "annotations"]
        return [
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": Self.data(set),
            "revision": .int(revision)
        ]
    }

    /// Old revisions that no pod has, beyond the limit.
    private func surplus(_ pods: [PodView]) -> [Change] {
        let live = Set(pods.compactMap { $0.labels[DaemonPlan.hashLabel] }).union([currentHash])
        let idle = owned.filter { !live.contains($0.labels[DaemonPlan.hashLabel] ?? "") && $0.name != current?.name }
        let limit = Int(clamping: max(0, set.number("spec", "revisionHistoryLimit", or: 10)))
        return idle.prefix(max(0, idle.count - limit)).map {
            .delete(.controllerRevisions, Target($0), DeleteOptions(uid: $0.uid))
        }
    }
}
