// What the API shows of a container while it is replaced: what is, not what will be.
import API
import Kubelet
import Testing

private let simple: JSON = ["containers": [["name": "c", "image": "img"]], "terminationGracePeriodSeconds": 30]

struct PodStatusTests {
    /// The runtime has made the next attempt and not started it yet.
    private func withMadeSuccessor(_ stage: inout PodStage) {
        var next = stage.containers[0]
        next.status.id = "next"
        next.status.attempt = 1
        next.status.state = .created
        next.status.createdAt = stage.now
        next.status.startedAt = 0
        stage.containers.append(next)
        stage.observe()
    }

    @Test func `a container whose successor is made but not started shows how it ended`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        stage.exit("c", code: 3)
        withMadeSuccessor(&stage)
        #expect(stage.container(0)["state", "terminated", "exitCode"] == 3)
        #expect(stage.container(0)["containerID"] == "containerd://c1")
        #expect(stage.container(0)["restartCount"] == 0)
        #expect(stage.status["phase"] == "Running")
    }

    @Test func `a container that is made for the first time is being created`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        stage.containers[0].status.state = .created
        stage.observe()
        #expect(stage.container(0)["state", "waiting", "reason"] == "ContainerCreating")
        #expect(stage.status["phase"] == "Pending")
    }

    @Test func `after the node was restarted a container is being created and its end is history`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        stage.exit("c", code: 255, tells: false)
        stage.containers[0].status.reason = "Unknown"
        stage.sandboxes[0].isReady = false
        stage.observe()
        #expect(stage.container(0)["state", "waiting", "reason"] == "ContainerCreating")
        #expect(stage.container(0)["lastState", "terminated", "reason"] == "Unknown")
        #expect(stage.container(0)["ready"] == false)
        #expect(stage.status["phase"] == "Running")
        stage.settle()
        #expect(stage.container(0)["state", "running"] != nil)
        #expect(stage.container(0)["restartCount"] == 1)
    }

    @Test func `a container that is not restarted keeps its end when the sandbox is gone`() {
        var spec = simple
        spec["restartPolicy"] = "Never"
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.exit("c", code: 0)
        stage.settle()
        #expect(stage.container(0)["state", "terminated", "reason"] == "Completed")
        #expect(stage.status["phase"] == "Succeeded")
    }
}
