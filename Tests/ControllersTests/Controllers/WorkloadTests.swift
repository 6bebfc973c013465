import API
import Controllers
import Testing

private let template: JSON = [
    "metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "web:1"]]]
]

private func deployment(_ replicas: Int64, image: String = "web:1", strategy: JSON? = nil, status: JSON? = nil) -> JSON
{
    var template = template
    template["spec", "containers"] = [["name": "c", "image": .string(image)]]
    var object: JSON = [
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": ["name": "web", "namespace": "default", "uid": "d1", "resourceVersion": "3", "generation": 1],
        "spec": [
            "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]], "template": template,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": strategy ?? [
                "type": "RollingUpdate", "rollingUpdate": ["maxSurge": "25%", "maxUnavailable": "25%"]
            ]
        ]
    ]
    object["status"] = status
    return object
}

/// What the API server and the ReplicaSet controller make of the changes: sets as stored, all replicas ready.
private struct Stage {
    var deployment: JSON
    var sets: [String: JSON] = [:]
    var notes: [String] = []
    var now = epoch

    mutating func round(ready: Bool = true) -> [Change] {
        now += second
        let changes = DeploymentPlan.changes(
            deployment, sets: sets.values.sorted { $0.name < $1.name }, pods: [:], now: now)
        for change in changes {
            switch change {
            case .create(.replicaSets, var set):
                set["metadata", "uid"] = .string("uid-\(set.name)")
                set["metadata", "creationTimestamp"] = .string(Timestamp.seconds(now))
                sets[set.name] = set
            case .update(.replicaSets, let set, _): sets[set.name] = set
            case .delete(.replicaSets, let target, _): sets[target.name] = nil
            case .update(.deployments, let object, "status"):
                deployment["metadata"] = object["metadata"]
                deployment["status"] = object["status"]
            case .note(let note): notes.append(note.message)
            default: break
            }
        }
        if ready { settle() }
        return changes
    }

    mutating func settle() {
        for (name, set) in sets {
            let count = set["spec", "replicas"] ?? 0
            sets[name]?["status"] = [
                "replicas": count, "readyReplicas": count, "availableReplicas": count, "observedGeneration": 1
            ]
        }
    }

    /// (replicas by image)
    var replicas: [String: Int64] {
        Dictionary(
            sets.values.map {
                (
                    $0["spec", "template", "spec", "containers"]?[0]?["image"]?.string ?? "",
                    $0["spec", "replicas"]?.int ?? 0
                )
            }, uniquingKeysWith: +)
    }
}

struct DeploymentTests {
    @Test func `a new deployment makes its set with revision, hash and owner`() throws {
        var stage = Stage(deployment: deployment(3))
        _ = stage.round()
        let set = try #require(stage.sets.values.first)
        #expect(set.annotations["deployment.kubernetes.io/revision"] == "1")
        #expect(set.annotations["deployment.kubernetes.io/desired-replicas"] == "3")
        #expect(set.annotations["deployment.kubernetes.io/max-replicas"] == "4")
        let hash = try #require(set.labels["pod-template-hash"])
        #expect(set.name == "web-\(hash)")
        #expect(set["spec", "selector", "matchLabels", "pod-template-hash"]?.string == hash)
        #expect(set.controllerReference?["uid"]?.string == "d1")
        #expect(stage.deployment.annotations["deployment.kubernetes.io/revision"] == "1")
        #expect(stage.notes == ["Scaled up replica set \(set.name) from 0 to 3"])
    }

    @Test func `when all is available the deployment says so and rests`() {
        var stage = Stage(deployment: deployment(3))
        for _ in 0..<4 { _ = stage.round() }
        let conditions = stage.deployment["status", "conditions"]?.elements ?? []
        #expect(conditions.first { $0["type"] == "Progressing" }?["reason"] == "NewReplicaSetAvailable")
        #expect(conditions.first { $0["type"] == "Available" }?["status"] == "True")
        #expect(stage.deployment["status", "availableReplicas"] == 3)
        #expect(stage.deployment["status", "observedGeneration"] == 1)
        #expect(stage.round().summaries == [])
    }

    @Test func `a rolling update keeps within its margins until the old set is empty`() {
        var stage = Stage(deployment: deployment(4))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        for _ in 0..<12 {
            _ = stage.round()
            let all = stage.replicas.values.reduce(0, +)
            #expect(all <= 5 && all >= 3)
        }
        #expect(stage.replicas == ["web:1": 0, "web:2": 4])
        #expect(stage.deployment.annotations["deployment.kubernetes.io/revision"] == "2")
        #expect(stage.round().summaries == [])
    }

    @Test func `an undo brings the old set back under a new revision`() {
        var stage = Stage(deployment: deployment(2))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        for _ in 0..<8 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:1"]]
        for _ in 0..<8 { _ = stage.round() }
        #expect(stage.replicas == ["web:1": 2, "web:2": 0])
        #expect(stage.sets.count == 2)
        let old = stage.sets.values.first { $0["spec", "template", "spec", "containers"]?[0]?["image"] == "web:1" }
        #expect(old?.annotations["deployment.kubernetes.io/revision"] == "3")
        #expect(old?.annotations["deployment.kubernetes.io/revision-history"] == "1")
    }

    @Test func `an update that never becomes ready stops at the margins and times out`() {
        var stage = Stage(deployment: deployment(4))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "broken"]]
        for _ in 0..<10 { _ = stage.round(ready: false) }
        #expect(stage.replicas["web:1"] == 3)
        #expect(stage.replicas["broken"] == 2)
        stage.now += 700 * second
        _ = stage.round(ready: false)
        let progressing = stage.deployment["status", "conditions"]?.elements.first { $0["type"] == "Progressing" }
        #expect(progressing?["reason"] == "ProgressDeadlineExceeded")
        #expect(progressing?["status"] == "False")
    }

    @Test func `a scaled deployment scales its set and nothing else`() {
        var stage = Stage(deployment: deployment(2))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "replicas"] = 6
        _ = stage.round()
        #expect(stage.replicas == ["web:1": 6])
        #expect(stage.notes.last?.hasSuffix("from 2 to 6") == true)
        stage.deployment["spec", "replicas"] = 0
        for _ in 0..<3 { _ = stage.round() }
        #expect(stage.replicas == ["web:1": 0])
    }

    @Test func `a paused deployment scales but makes no new set`() {
        var stage = Stage(deployment: deployment(2))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "paused"] = true
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        stage.deployment["spec", "replicas"] = 3
        for _ in 0..<3 { _ = stage.round() }
        #expect(stage.replicas == ["web:1": 3])
        let progressing = stage.deployment["status", "conditions"]?.elements.first { $0["type"] == "Progressing" }
        #expect(progressing?["reason"] == "DeploymentPaused")
    }

    @Test func `recreation ends the old pods before the new set comes`() {
        var stage = Stage(deployment: deployment(2, strategy: ["type": "Recreate"]))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        _ = stage.round()
        #expect(stage.replicas == ["web:1": 0])
        for _ in 0..<3 { _ = stage.round() }
        #expect(stage.replicas == ["web:1": 0, "web:2": 2])
    }

    @Test func `history beyond the limit is deleted`() {
        var stage = Stage(deployment: deployment(1))
        stage.deployment["spec", "revisionHistoryLimit"] = 1
        for revision in 1...4 {
            stage.deployment["spec", "template", "spec", "containers"] = [
                ["name": "c", "image": .string("web:\(revision)")]
            ]
            for _ in 0..<8 { _ = stage.round() }
        }
        #expect(stage.sets.count == 2)
        #expect(stage.replicas["web:4"] == 1)
    }

    @Test func `scaling in the middle of a rollout keeps the proportion`() {
        var stage = Stage(
            deployment: deployment(
                10, strategy: ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 3, "maxUnavailable": 2]]))
        for _ in 0..<4 { _ = stage.round() }
        stage.deployment["spec", "template", "spec", "containers"] = [["name": "c", "image": "broken"]]
        for _ in 0..<10 { _ = stage.round(ready: false) }
        #expect(stage.replicas == ["web:1": 8, "broken": 5])
        stage.deployment["spec", "replicas"] = 15
        _ = stage.round(ready: false)
        #expect(stage.replicas == ["web:1": 11, "broken": 7])
    }
}

private let replicaSet: JSON = [
    "apiVersion": "apps/v1", "kind": "ReplicaSet",
    "metadata": ["name": "rs", "namespace": "default", "uid": "r1", "generation": 1],
    "spec": ["replicas": 3, "selector": ["matchLabels": ["app": "web"]], "template": template]
]

struct ReplicaSetTests {
    private func plan(_ object: JSON, _ pods: [JSON]) -> [Change] {
        ReplicaPlan(.replicaSet, object, now: epoch).changes(pods.map { PodView($0) })
    }

    @Test func `missing pods are created from the template`() throws {
        let changes = plan(replicaSet, [pod("a", owner: replicaSet)])
        #expect(changes.summaries == ["many [create pods rs-, create pods rs-]", "update replicasets rs/status"])
        let made = try #require(changes.created(.pods).first)
        #expect(made.labels == ["app": "web"])
        #expect(made.controllerReference?["uid"] == "r1")
        #expect(made["spec", "containers"]?[0]?["image"] == "web:1")
    }

    @Test func `orphans that match are adopted, own pods that no longer match are released`() {
        let changes = plan(
            replicaSet,
            [pod("orphan"), pod("lost", labels: ["app": "other"], owner: replicaSet), pod("mine", owner: replicaSet)])
        #expect(changes.summaries.contains("patch pods orphan"))
        #expect(changes.summaries.contains("patch pods lost"))
        #expect(changes.created(.pods).count == 1)
    }

    @Test func `too many pods: unscheduled, unready and young ones go first`() {
        var object = replicaSet
        object["spec", "replicas"] = 1
        let ready = pod("ready", on: "w1", status: readyStatus("10.0.0.1"), owner: object)
        let unready = pod("unready", on: "w1", status: readyStatus("10.0.0.2", ready: false), owner: object)
        let changes = plan(object, [ready, unready, pod("waiting", owner: object)])
        #expect(changes.summaries.first == "many [delete pods waiting, delete pods unready]")
    }

    @Test func `ending pods are replaced at once and finished ones do not count`() {
        var ending = pod("ending", on: "w1", owner: replicaSet)
        ending["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z"
        let failed = pod("failed", on: "w1", status: ["phase": "Failed"], owner: replicaSet)
        #expect(plan(replicaSet, [ending, failed]).created(.pods).count == 3)
    }

    @Test func `the status counts ready and available pods`() {
        var object = replicaSet
        object["spec", "minReadySeconds"] = 10
        let pods = [
            pod("old", on: "w1", status: readyStatus("10.0.0.1", since: epoch - 20 * second), owner: object),
            pod("young", on: "w1", status: readyStatus("10.0.0.2", since: epoch - 4 * second), owner: object),
            pod("unready", on: "w1", owner: object)
        ]
        let changes = plan(object, pods)
        let status = changes.updated(.replicaSets, "status")?["status"]
        #expect(
            status == [
                "replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 1,
                "observedGeneration": 1
            ])
        #expect(changes.summaries.last == "again 6000")
    }

    @Test func `a refused creation becomes a condition`() {
        let changes = ReplicaPlan(.replicaSet, replicaSet, now: epoch).changes([], failure: "exceeded quota")
        let condition = changes.updated(.replicaSets, "status")?["status", "conditions"]?[0]
        #expect(condition?["type"] == "ReplicaFailure")
        #expect(condition?["reason"] == "FailedCreate")
        #expect(condition?["message"] == "exceeded quota")
    }

    @Test func `a replication controller selects by its plain map`() {
        let controller: JSON = [
            "apiVersion": "v1", "kind": "ReplicationController",
            "metadata": ["name": "rc", "namespace": "default", "uid": "c1", "generation": 1],
            "spec": ["replicas": 1, "selector": ["app": "web"], "template": template]
        ]
        let changes = ReplicaPlan(.replicationController, controller, now: epoch).changes([PodView(pod("orphan"))])
        #expect(changes.summaries == ["patch pods orphan", "update replicationcontrollers rc/status"])
    }
}

private let daemonSet: JSON = [
    "apiVersion": "apps/v1", "kind": "DaemonSet",
    "metadata": [
        "name": "ds", "namespace": "default", "uid": "s1", "generation": 1,
        "annotations": ["deprecated.daemonset.template.generation": "1"]
    ],
    "spec": [
        "selector": ["matchLabels": ["app": "web"]], "template": template, "revisionHistoryLimit": 10,
        "updateStrategy": ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": 1, "maxSurge": 0]]
    ]
]

struct DaemonSetTests {
    private func plan(_ set: JSON, _ pods: [JSON], _ revisions: [JSON], _ nodes: [JSON]) -> [Change] {
        DaemonPlan.changes(
            set, pods: pods.map { PodView($0) }, revisions: revisions, nodes: nodes.map { NodeView($0) }, now: epoch)
    }

    private func revision(of set: JSON) throws -> JSON {
        try #require(plan(set, [], [], []).created(.controllerRevisions).first)
    }

    @Test func `the first round keeps the template as a revision`() throws {
        let revision = try revision(of: daemonSet)
        #expect(revision["revision"] == 1)
        #expect(revision["data", "spec", "template", "$patch"] == "replace")
        #expect(revision.labels["controller-revision-hash"] != nil)
    }

    @Test func `each fitting node gets a pod bound to it by affinity`() throws {
        let tainted = node("w3", taints: [["key": "only", "value": "me", "effect": "NoSchedule"]])
        let changes = plan(daemonSet, [], [try revision(of: daemonSet)], [node("w1"), node("w2"), tainted])
        let pods = changes.created(.pods)
        #expect(pods.map { PodView($0).affinityNode } == ["w1", "w2"])
        #expect(pods[0]["spec", "tolerations"]?.elements.count == 6)
        #expect(pods[0].labels["pod-template-generation"] == "1")
        #expect(changes.updated(.daemonSets, "status")?["status", "desiredNumberScheduled"] == 2)
    }

    @Test func `a changed template replaces one pod at a time`() throws {
        let first = try revision(of: daemonSet)
        let hash = first.labels["controller-revision-hash"] ?? ""
        let names: [String] = ["w1", "w2"]
        let pods = names.map { name in
            pod(
                "ds-\(name)", on: name,
                labels: ["app": "web", "controller-revision-hash": .string(hash), "pod-template-generation": "1"],
                status: readyStatus("10.0.0.1"), owner: daemonSet)
        }
        var changed = daemonSet
        changed["metadata", "generation"] = 2
        changed["metadata", "annotations", "deprecated.daemonset.template.generation"] = "2"
        changed["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        let second = try #require(
            plan(changed, pods, [first], [node("w1"), node("w2")]).created(.controllerRevisions).first)
        #expect(second["revision"] == 2)
        let changes = plan(changed, pods, [first, second], [node("w1"), node("w2")])
        #expect(changes.summaries.first == "many [delete pods ds-w1]")
    }

    @Test func `an undone template raises the old revision`() throws {
        let first = try revision(of: daemonSet)
        var other = daemonSet
        other["spec", "template", "spec", "containers"] = [["name": "c", "image": "web:2"]]
        var second = try revision(of: other)
        second["revision"] = 2
        let changes = plan(daemonSet, [], [first, second], [])
        #expect(changes.updated(.controllerRevisions)?["revision"] == 3)
    }

    @Test func `pods leave a node that they do not tolerate any more`() throws {
        let revision = try revision(of: daemonSet)
        let hash = revision.labels["controller-revision-hash"] ?? ""
        let there = pod(
            "ds-a", on: "w1", labels: ["app": "web", "controller-revision-hash": .string(hash)],
            status: readyStatus("10.0.0.1"), owner: daemonSet)
        let evicting = node("w1", taints: [["key": "out", "effect": "NoExecute"]])
        #expect(plan(daemonSet, [there], [revision], [evicting]).summaries.contains("many [delete pods ds-a]"))
        let unreachable = node("w1", taints: [["key": "node.kubernetes.io/unreachable", "effect": "NoExecute"]])
        #expect(!plan(daemonSet, [there], [revision], [unreachable]).summaries.contains { $0.contains("delete") })
    }
}
