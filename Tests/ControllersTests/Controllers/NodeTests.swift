import API
import Controllers
import Testing

private func view(_ node: JSON) -> NodeView { NodeView(node) }

struct NodeLifecycleTests {
    private func plan(_ nodes: [JSON], silent: [String: Int64] = [:], pods: [JSON] = []) -> [Change] {
        NodeLifecyclePlan(NodeLifecycleOptions(), now: epoch)
            .changes(
                nodes.map(view), silence: { silent[$0] ?? 0 },
                pods: { name in pods.map { PodView($0) }.filter { $0.nodeName == name } }
            )
            .flatMap { $0 }
    }

    private func taints(_ changes: [Change], _ name: String) -> [String]? {
        for case .patch(.nodes, let target, nil, _, let patch) in changes where target.name == name {
            return (patch["spec", "taints"]?.elements ?? []).map {
                "\($0["key"]?.string ?? ""):\($0["effect"]?.string ?? "")"
            }
        }
        return nil
    }

    @Test func `a silent node becomes Unknown, is tainted, and its pods stop being ready`() {
        let changes = plan(
            [node("w1"), node("w2")], silent: ["w1": 8_001], pods: [pod("a", on: "w1", status: readyStatus("10.0.0.1"))]
        )
        #expect(
            changes.summaries == [
                "patch nodes w1", "patch nodes w1/status", "note NodeNotReady: Node w1 status is now: NodeNotReady",
                "patch pods a/status",
                "note NodeNotReady: Node is not ready"
            ])
        #expect(
            taints(changes, "w1") == [
                "node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"
            ])
    }

    @Test func `within the grace nothing happens`() {
        #expect(plan([node("w1"), node("w2")], silent: ["w1": 7_999]) == [])
    }

    @Test func `when every node is silent nobody is evicted`() {
        let changes = plan([node("w1"), node("w2")], silent: ["w1": 60_000, "w2": 60_000])
        #expect(taints(changes, "w1") == ["node.kubernetes.io/unreachable:NoSchedule"])
    }

    @Test func `a node that comes back loses the taints, and foreign taints stay`() {
        let back = node(
            "w1",
            taints: [
                ["key": "mine", "effect": "NoSchedule"],
                ["key": "node.kubernetes.io/unreachable", "effect": "NoExecute"],
                ["key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"]
            ])
        #expect(taints(plan([back]), "w1") == ["mine:NoSchedule"])
    }

    @Test func `an unready node is tainted not-ready; a cordoned one unschedulable`() {
        var cordoned = node("w2")
        cordoned["spec", "unschedulable"] = true
        let changes = plan([node("w1", ready: "False"), cordoned])
        #expect(
            taints(changes, "w1") == [
                "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"
            ])
        #expect(taints(changes, "w2") == ["node.kubernetes.io/unschedulable:NoSchedule"])
    }

    @Test func `health counts from the last sign by our own clock, and from the beginning of leadership`() {
        var health = NodeHealth()
        health.saw(lease: "1", of: "w1", now: 1000)
        health.saw(lease: "1", of: "w1", now: 5000)
        #expect(health.silence(of: "w1", now: 6000) == 5000)
        health.saw(heartbeat: "x", of: "w1", now: 5500)
        #expect(health.silence(of: "w1", now: 6000) == 500)
        health.leadershipBegan(now: 9000)
        #expect(health.silence(of: "w1", now: 10_000) == 1000)
        #expect(health.silence(of: "new", now: 10_000) == 1000)
    }
}

struct EvictionTests {
    private let unreachable: JSON = [
        "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": .string(Timestamp.seconds(epoch))
    ]

    private func tolerating(_ seconds: Int64?) -> JSON {
        var toleration: JSON = ["key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"]
        if let seconds { toleration["tolerationSeconds"] = .int(seconds) }
        return ["tolerations": [toleration]]
    }

    @Test func `pods go when their toleration ends, at once without one, never with an endless one`() {
        let pods = [
            pod("none", on: "w1"), pod("ten", on: "w1", spec: tolerating(10)),
            pod("ever", on: "w1", spec: tolerating(nil))
        ]
        let node = view(node("w1", taints: [unreachable]))
        func deleted(_ now: Int64) -> [String] {
            TaintEvictionPlan.changes(node, pods.map { PodView($0) }, now: now).flatMap { $0 }.summaries.filter {
                !$0.hasPrefix("patch") && !$0.hasPrefix("note")
            }
        }
        #expect(deleted(epoch + 3 * second) == ["delete pods none", "again 7000"])
        #expect(deleted(epoch + 10 * second) == ["delete pods none", "delete pods ten"])
    }

    @Test func `the event says which pod`() {
        let changes = TaintEvictionPlan.changes(
            view(node("w1", taints: [unreachable])), [PodView(pod("a", on: "w1"))], now: epoch
        ).flatMap { $0 }
        #expect(changes.summaries.first == "note TaintManagerEviction: Marking for deletion Pod default/a")
    }
}

struct AddressRangeTests {
    private func ranges(_ changes: [Change]) -> [String: String] {
        var ranges: [String: String] = [:]
        for case .patch(.nodes, let target, nil, _, let patch) in changes {
            ranges[target.name] = patch["spec", "podCIDR"]?.string
        }
        return ranges
    }

    @Test func `each node gets the lowest free range`() throws {
        let range = try #require(PodRange())
        let nodes = [node("w1", cidr: "10.244.0.0/24"), node("w2"), node("w3", cidr: "10.244.2.0/24"), node("w4")].map(
            view)
        #expect(ranges(NodeIPAMPlan.changes(nodes, range)) == ["w2": "10.244.1.0/24", "w4": "10.244.3.0/24"])
    }

    @Test func `foreign and wide ranges are respected, and an empty pool is told`() throws {
        let range = try #require(PodRange("10.0.0.0/23", nodePrefix: 24))
        let nodes = [node("w1", cidr: "192.168.0.0/24"), node("w2", cidr: "10.0.0.0/24"), node("w3"), node("w4")].map(
            view)
        let changes = NodeIPAMPlan.changes(nodes, range)
        #expect(ranges(changes) == ["w3": "10.0.1.0/24"])
        #expect(changes.summaries.last == "note CIDRNotAvailable: Node w4 status is now: CIDRNotAvailable")
        #expect(PodRange("10.0.0.0/24", nodePrefix: 24) == nil)
        #expect(PodRange("nonsense") == nil)
    }
}

struct PodGarbageTests {
    @Test func `pods of missing nodes go after the quarantine`() {
        var missing = MissingNodes()
        missing.update(named: ["gone", "w1", ""], existing: ["w1"], now: epoch)
        #expect(missing.since == ["gone": epoch])
        let pods = [PodView(pod("a", on: "gone")), PodView(pod("b", on: "w1"))]
        let plan = PodGarbagePlan()
        #expect(plan.changes(pods, nodes: [], missingSince: missing.since, now: epoch + 39 * second).isEmpty)
        let changes = plan.changes(pods, nodes: [], missingSince: missing.since, now: epoch + 40 * second).flatMap {
            $0
        }
        #expect(changes.summaries == ["patch pods a/status", "delete pods a"])
    }

    @Test func `unscheduled ending pods and too many finished ones go`() {
        var ending = pod("ending")
        ending["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z"
        var plan = PodGarbagePlan()
        plan.finishedMax = 1
        let pods = [
            ending, pod("x", on: "w1", status: ["phase": "Succeeded"]), pod("y", on: "w1", status: ["phase": "Failed"])
        ]
        let changes = plan.changes(pods.map { PodView($0) }, nodes: [], missingSince: [:], now: epoch).flatMap { $0 }
        #expect(changes.summaries == ["delete pods x", "delete pods ending"])
    }
}
