import API
import Scheduler
import Testing

struct CoreTests {
    private func core(_ nodes: [JSON]) -> SchedulerCore {
        var core = SchedulerCore()
        for node in nodes { core.apply(node: SchedulingNode(node), now: 0) }
        return core
    }

    private func next(_ core: inout SchedulerCore, now: Int64 = 0) -> String? {
        var chance = NoChance()
        return core.next(now: now, using: &chance).map { attempt in
            switch attempt.decision {
            case .bind(let node): "\(attempt.pod.name) -> \(node)"
            case .refuse: "\(attempt.pod.name) refused"
            }
        }
    }

    @Test func `higher priority goes first, then the order of arrival`() {
        var core = core([node("w1")])
        core.apply(pod: SchedulingPod(pod("a")), now: 0)
        core.apply(pod: SchedulingPod(pod("b")), now: 0)
        core.apply(pod: SchedulingPod(pod("vip", priority: 9)), now: 0)
        #expect([next(&core), next(&core), next(&core), next(&core)] == ["vip -> w1", "a -> w1", "b -> w1", nil])
    }

    @Test func `a decided pod counts at once and until its binding fails`() {
        var core = core([node("w1", cpu: "1")])
        let first = SchedulingPod(pod("a", cpu: "1"))
        core.apply(pod: first, now: 0)
        core.apply(pod: SchedulingPod(pod("b", cpu: "1")), now: 0)
        #expect(next(&core) == "a -> w1")
        #expect(next(&core) == "b refused")
        core.bindingFailed(first, now: 10)
        #expect(next(&core, now: 10) == nil)
        #expect(core.deadline() == 1010)
        #expect(next(&core, now: 1010) == "a -> w1")
    }

    @Test func `a refused pod is tried again when the cluster changes, after its back-off`() {
        var core = core([node("w1", cpu: "1")])
        core.apply(pod: SchedulingPod(pod("big", cpu: "2")), now: 0)
        #expect(next(&core) == "big refused")
        #expect(next(&core, now: 100_000) == nil)
        core.apply(node: SchedulingNode(node("w2", cpu: "4")), now: 100_000)
        #expect(next(&core, now: 100_000) == "big -> w2")
    }

    @Test func `heartbeats wake nobody`() {
        var core = core([node("w1", cpu: "1")])
        core.apply(pod: SchedulingPod(pod("big", cpu: "2")), now: 0)
        #expect(next(&core) == "big refused")
        var same = node("w1", cpu: "1")
        same["status", "conditions"] = [["type": "Ready", "status": "True", "lastHeartbeatTime": "later"]]
        core.apply(node: SchedulingNode(same), now: 5000)
        #expect(next(&core, now: 50_000) == nil)
    }

    @Test func `five minutes later a refused pod is tried without any change`() {
        var core = core([node("w1", cpu: "1")])
        core.apply(pod: SchedulingPod(pod("big", cpu: "2")), now: 0)
        #expect(next(&core) == "big refused")
        #expect(next(&core, now: 299_999) == nil)
        #expect(next(&core, now: 300_000) == "big refused")
    }

    @Test func `the end of a pod frees its place`() {
        var core = core([node("w1", cpu: "1")])
        core.apply(pod: SchedulingPod(pod("old", on: "w1", cpu: "1")), now: 0)
        core.apply(pod: SchedulingPod(pod("new", cpu: "1")), now: 0)
        #expect(next(&core) == "new refused")
        core.removePod("default/old", now: 20_000)
        #expect(next(&core, now: 20_000) == "new -> w1")
    }

    @Test func `losing leadership voids what was assumed`() {
        var core = core([node("w1", cpu: "1")])
        core.apply(pod: SchedulingPod(pod("a", cpu: "1")), now: 0)
        #expect(next(&core) == "a -> w1")
        core.reset()
        #expect(next(&core) == "a -> w1")
    }

    @Test func `finished, gated, foreign and ending pods are left alone`() {
        var core = core([node("w1")])
        core.apply(pod: SchedulingPod(pod("done", status: ["phase": "Failed"])), now: 0)
        core.apply(pod: SchedulingPod(pod("gated", spec: ["schedulingGates": [["name": "g"]]])), now: 0)
        core.apply(pod: SchedulingPod(pod("foreign", spec: ["schedulerName": "mine"])), now: 0)
        var ending = pod("ending")
        ending["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z"
        core.apply(pod: SchedulingPod(ending), now: 0)
        #expect(next(&core) == nil)
    }

    @Test func `pods on a node that comes later count when it comes`() {
        var core = core([])
        core.apply(pod: SchedulingPod(pod("a", on: "w1", cpu: "4")), now: 0)
        core.apply(node: SchedulingNode(node("w1", cpu: "4")), now: 0)
        core.apply(pod: SchedulingPod(pod("b", cpu: "1")), now: 0)
        #expect(next(&core) == "b refused")
    }
}
