import Kubelet
import Testing

struct RuntimeHealthTests {
    private let start: Nanoseconds = .seconds(1_700_000_000)
    private let good = [condition("RuntimeReady", true), condition("NetworkReady", true)]

    private static func condition(_ type: String, _ isTrue: Bool) -> RuntimeCondition {
        var condition = RuntimeCondition()
        condition.type = type
        condition.isTrue = isTrue
        condition.reason = isTrue ? "" : "NotYet"
        condition.message = isTrue ? "" : "cni plugin not initialized"
        return condition
    }

    @Test func `a runtime that is silent for less than thirty seconds leaves the node ready`() {
        var health = RuntimeHealth()
        health.answered(good, now: start)
        #expect(health.problem(lookedAt: start, now: start + .seconds(30)) == nil)
        #expect(
            health.problem(lookedAt: start, now: start + .seconds(31)) == "container runtime is down")
        health.answered(good, now: start + .seconds(40))
        #expect(health.problem(lookedAt: start, now: start + .seconds(40)) == nil)
    }

    @Test func `before the first answer the node is not ready`() {
        #expect(
            RuntimeHealth().problem(lookedAt: nil, now: start)
                == "[container runtime status check may not have completed yet, "
                + "PLEG is not healthy: pleg has yet to be successful]")
    }

    @Test func `a network that is not ready counts at once, until it is`() {
        var health = RuntimeHealth()
        health.answered([Self.condition("RuntimeReady", true), Self.condition("NetworkReady", false)], now: start)
        #expect(
            health.problem(lookedAt: start, now: start)
                == "container runtime network not ready: NetworkReady=false reason:NotYet "
                + "message:cni plugin not initialized")
        health.answered(good, now: start + 1)
        #expect(health.problem(lookedAt: start, now: start + 1) == nil)
    }

    @Test func `pods that were not seen for three minutes make the node unready`() {
        var health = RuntimeHealth()
        let later = start + .seconds(185)
        health.answered(good, now: later)
        #expect(
            health.problem(lookedAt: start, now: later)
                == "PLEG is not healthy: pleg was last seen active 3m5s ago; threshold is 3m0s")
    }
}
