import API
import Controllers
import Testing

struct KeyQueueTests {
    @Test func `a key stands once in the queue and is never in work twice`() {
        var queue = KeyQueue()
        queue.add("a")
        queue.add("a")
        #expect(queue.take() == "a")
        #expect(queue.take() == nil)
        queue.add("a")
        #expect(queue.take() == nil)
        #expect(queue.done("a", failed: false) == nil)
        #expect(queue.take() == "a")
    }

    @Test func `failures wait longer each time until one goes well`() {
        var queue = KeyQueue()
        var delays: [Int64?] = []
        for _ in 0..<3 {
            queue.add("a")
            _ = queue.take()
            delays.append(queue.done("a", failed: true))
        }
        #expect(delays == [10, 20, 40])
        queue.add("a")
        _ = queue.take()
        #expect(queue.done("a", failed: false) == nil)
        queue.add("a")
        _ = queue.take()
        #expect(queue.done("a", failed: true) == 10)
    }

    @Test func `thousands of keys keep their order`() {
        var queue = KeyQueue()
        for i in 0..<5000 { queue.add("\(i)") }
        var taken: [String] = []
        while let key = queue.take() {
            taken.append(key)
            _ = queue.done(key, failed: false)
        }
        #expect(taken == (0..<5000).map(String.init))
    }
}

struct ExpectationTests {
    @Test func `what was written is waited for, but not for ever`() {
        var expectations = Expectations()
        let written: [Awaited] = [.revision(.pods, 7)]
        expectations.expect(written, for: "k", now: 0)
        #expect(expectations.open(for: "k", now: 100) == written)
        #expect(expectations.open(for: "other", now: 100) == [])
        #expect(expectations.open(for: "k", now: 5001) == [])
        expectations.expect(written, for: "k", now: 0)
        expectations.met(for: "k")
        #expect(expectations.open(for: "k", now: 1) == [])
    }
}

struct EventTests {
    private let about = ObjectReference(
        apiVersion: "v1", kind: "Pod", namespace: "n", name: "p", uid: "u", resourceVersion: "1")

    @Test func `the same fact is counted, another one is new`() {
        var counter = EventCounter()
        func record(_ message: String, _ now: Int64) -> EventCounter.Write {
            counter.record(about, warning: true, reason: "R", message: message, component: "c", host: "", now: now)
        }
        guard case .create(let event) = record("m", epoch) else { Issue.record("not created"); return }
        #expect(event["involvedObject", "uid"] == "u")
        #expect(event["type"] == "Warning")
        #expect(event["count"] == 1)
        guard case .count("n", event.name, let patch, _) = record("m", epoch + 5000) else {
            Issue.record("not counted"); return
        }
        #expect(patch["count"] == 2)
        guard case .create(let other) = record("other", epoch + 5000) else { Issue.record("not new"); return }
        #expect(other.name != event.name)
    }
}

struct LeaseTests {
    @Test func `a new holder counts a transition, a renewal does not`() {
        let first = LeaderLease.renewed(nil, name: "kube-scheduler", holder: "m1", now: epoch)
        #expect(first["spec", "leaseTransitions"] == 0)
        let again = LeaderLease.renewed(first, name: "kube-scheduler", holder: "m1", now: epoch + 2000)
        #expect(again["spec", "leaseTransitions"] == 0)
        #expect(again["spec", "acquireTime"] == first["spec", "acquireTime"])
        #expect(again["spec", "renewTime"] != first["spec", "renewTime"])
        #expect(
            LeaderLease.renewed(again, name: "kube-scheduler", holder: "m2", now: epoch)["spec", "leaseTransitions"]
                == 1)
    }
}
