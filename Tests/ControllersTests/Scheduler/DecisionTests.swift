import API
import Scheduler
import Testing

/// Always the first of equals.
struct NoChance: RandomNumberGenerator {
    mutating func next() -> UInt64 { 0 }
}

private func snapshot(_ nodes: [JSON], _ pods: [JSON] = []) -> Snapshot {
    var snapshot = Snapshot()
    for node in nodes { _ = snapshot.set(SchedulingNode(node)) }
    for pod in pods {
        let view = SchedulingPod(pod)
        snapshot.put(view, on: view.nodeName)
    }
    return snapshot
}

private func decide(_ pod: JSON, _ nodes: [JSON], _ pods: [JSON] = []) -> Decision {
    var chance = NoChance()
    return Decider.decide(SchedulingPod(pod), snapshot(nodes, pods), using: &chance)
}

private func message(_ decision: Decision) -> String {
    if case .refuse(let message, _) = decision { message } else { "\(decision)" }
}

private func term(_ key: String, _ labels: JSON = ["app": "web"]) -> JSON {
    ["labelSelector": ["matchLabels": labels], "topologyKey": .string(key)]
}

private let required = "requiredDuringSchedulingIgnoredDuringExecution"

struct DecisionTests {
    @Test func `a pod goes to the emptier of two nodes`() {
        let decision = decide(
            pod("new", cpu: "1"), [node("w1"), node("w2")], [pod("a", on: "w1", cpu: "2", memory: "2Gi", labels: [:])])
        #expect(decision == .bind(node: "w2"))
    }

    @Test func `refusals are counted and worded as upstream does`() {
        let tainted = node("w2", taints: [["key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"]])
        let text = message(decide(pod("big", cpu: "100"), [node("w1"), tainted]))
        #expect(
            text.hasPrefix(
                "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }."
            ))
        #expect(text.hasSuffix("preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."))
        #expect(message(decide(pod("p"), [])) == "no nodes available to schedule pods")
    }

    @Test func `two resources that lack are two reasons`() {
        let text = message(
            decide(pod("p", cpu: "3", memory: "7Gi"), [node("w1")], [pod("a", on: "w1", cpu: "2", memory: "2Gi")]))
        #expect(text.hasPrefix("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."))
    }

    @Test func `init containers count at their peak and sidecars always`() {
        let spec: JSON = [
            "initContainers": [
                ["name": "side", "restartPolicy": "Always", "resources": ["requests": ["cpu": "500m"]]],
                ["name": "init", "resources": ["requests": ["cpu": "3"]]]
            ],
            "containers": [["name": "c", "resources": ["requests": ["cpu": "1"]]]],
            "overhead": ["cpu": "100m"]
        ]
        #expect(SchedulingPod(pod("p", spec: spec)).requests.milliCPU == 3600)
    }

    @Test func `a cordoned node takes only pods that tolerate it`() {
        var cordoned = node("w1")
        cordoned["spec", "unschedulable"] = true
        #expect(message(decide(pod("p"), [cordoned])).contains("1 node(s) were unschedulable"))
        let daemon = pod(
            "d",
            spec: [
                "tolerations": [
                    ["key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"]
                ]
            ])
        #expect(decide(daemon, [cordoned]) == .bind(node: "w1"))
    }

    @Test func `a node's name in the affinity binds a daemon pod to it`() {
        let affinity: JSON = [
            "nodeAffinity": [
                required: [
                    "nodeSelectorTerms": [
                        ["matchFields": [["key": "metadata.name", "operator": "In", "values": ["w2"]]]]
                    ]
                ]
            ]
        ]
        #expect(decide(pod("d", spec: ["affinity": affinity]), [node("w1"), node("w2")]) == .bind(node: "w2"))
    }

    @Test func `node selectors and Gt are honoured`() {
        let nodes = [node("w1", labels: ["disk": "ssd", "gen": "3"]), node("w2", labels: ["disk": "hdd", "gen": "9"])]
        #expect(decide(pod("p", spec: ["nodeSelector": ["disk": "ssd"]]), nodes) == .bind(node: "w1"))
        let newer: JSON = [
            "nodeAffinity": [
                required: [
                    "nodeSelectorTerms": [["matchExpressions": [["key": "gen", "operator": "Gt", "values": ["5"]]]]]
                ]
            ]
        ]
        #expect(decide(pod("p", spec: ["affinity": newer]), nodes) == .bind(node: "w2"))
        #expect(
            message(decide(pod("p", spec: ["nodeSelector": ["disk": "x"]]), nodes)).contains(
                "2 node(s) didn't match Pod's node affinity/selector"))
    }

    @Test func `host ports collide by address and protocol`() {
        let taken = pod(
            "a", on: "w1", spec: ["containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80]]]]])
        let wants = pod(
            "b",
            spec: [
                "containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"]]]]
            ])
        #expect(
            message(decide(wants, [node("w1")], [taken])).contains("didn't have free ports for the requested pod ports")
        )
        let udp = pod(
            "c",
            spec: ["containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80, "protocol": "UDP"]]]]])
        #expect(decide(udp, [node("w1")], [taken]) == .bind(node: "w1"))
    }

    @Test func `anti-affinity keeps pods apart, also that of the pods already there`() {
        let apart: JSON = ["affinity": ["podAntiAffinity": [required: [term("kubernetes.io/hostname")]]]]
        let there = pod("a", on: "w1", spec: apart)
        #expect(decide(pod("b", spec: apart), [node("w1"), node("w2")], [there]) == .bind(node: "w2"))
        #expect(
            message(decide(pod("b", spec: apart), [node("w1")], [there])).contains(
                "didn't match pod anti-affinity rules"))
        #expect(
            message(decide(pod("plain"), [node("w1")], [there])).contains(
                "didn't satisfy existing pods anti-affinity rules"))
    }

    @Test func `affinity follows, and the first of a group may start anywhere`() {
        let together: JSON = ["affinity": ["podAffinity": [required: [term("kubernetes.io/hostname")]]]]
        #expect(
            decide(pod("b", labels: ["app": "x"], spec: together), [node("w1"), node("w2")], [pod("a", on: "w2")])
                == .bind(node: "w2"))
        #expect(decide(pod("first", spec: together), [node("w1")]) == .bind(node: "w1"))
        #expect(
            message(decide(pod("other", labels: ["app": "x"], spec: together), [node("w1")])).contains(
                "didn't match pod affinity rules"))
    }

    @Test func `hard spreading bounds the skew`() {
        let spread: JSON = [
            "topologySpreadConstraints": [
                [
                    "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": ["matchLabels": ["app": "web"]]
                ]
            ]
        ]
        let nodes = [node("w1", labels: ["zone": "a"]), node("w2", cpu: "1", labels: ["zone": "b"])]
        #expect(decide(pod("p", spec: spread), nodes, [pod("a", on: "w1")]) == .bind(node: "w2"))
        let full = [pod("a", on: "w1"), pod("x", on: "w2", cpu: "1", labels: [:])]
        let text = message(decide(pod("p", cpu: "500m", spec: spread), nodes, full))
        #expect(text.contains("1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints."))
    }

    @Test func `pods of one controller spread over hosts`() {
        let set: JSON = ["apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": ["name": "rs", "uid": "u1"]]
        let there = [
            pod("a", on: "w1", owner: set), pod("b", on: "w1", owner: set), pod("x", on: "w2", labels: [:]),
            pod("y", on: "w2", labels: [:])
        ]
        #expect(decide(pod("c", owner: set), [node("w1"), node("w2")], there) == .bind(node: "w2"))
    }

    @Test func `preemption takes the cheapest victims`() throws {
        let there = [
            pod("low", on: "w1", cpu: "3", priority: 1), pod("mid", on: "w2", cpu: "3", priority: 5),
            pod("tiny", on: "w1", cpu: "100m", priority: 0)
        ]
        guard
            case .refuse(let message, let preemption) = decide(
                pod("vip", cpu: "2", priority: 10), [node("w1"), node("w2")], there)
        else {
            Issue.record("should be refused")
            return
        }
        #expect(message == "0/2 nodes are available: 2 Insufficient cpu.")
        #expect(preemption == Preemption(node: "w1", victims: [.init(key: "default/low", uid: "uid-low")]))
    }

    @Test func `a pod that may not preempt says so`() {
        let text = message(decide(pod("p", cpu: "9", spec: ["preemptionPolicy": "Never"]), [node("w1")]))
        #expect(
            text
                == "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
        )
    }
}
