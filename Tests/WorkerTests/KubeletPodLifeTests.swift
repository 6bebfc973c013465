// A pod's life, decision by decision: no runtime, no clock, no API; observations in, effects and status out.
import API
import Kubelet
import Testing

/// Plays runtime and shell for one pod: obeys decisions at once and keeps what "runs".
struct PodStage {
    var life: PodLife
    var now: Nanoseconds = .seconds(1_700_000_000)
    var log: [String] = []
    var sandboxes: [Sandbox] = []
    var containers: [SeenContainer] = []
    /// Outcome by container name for starts that shall fail.
    var failures: [String: (reason: String, message: String)] = [:]
    var probeAnswer: [ProbeKind: Bool] = [:]
    private var serial = 0

    init(_ pod: JSON) {
        life = PodLife(pod: pod, hostIPs: ["10.89.0.11"], now: now)
        life.observe(PodSeen())
    }

    /// Decides and obeys until nothing more is to be done at this moment.
    mutating func settle() {
        for _ in 0..<50 {
            let actions = life.decide(now: now).actions
            if actions.isEmpty { return }
            for action in actions { obey(action) }
        }
    }

    mutating func pass(seconds: Int64) {
        now += .seconds(seconds)
        settle()
    }

    mutating func obey(_ action: PodAction) {
        switch action {
        case .prepare: finish(.prepared, "prepare")
        case .refreshVolumes: finish(.refreshed, nil)
        case .runSandbox(let attempt): runSandbox(attempt)
        case .stopSandbox(let id):
            for i in sandboxes.indices where sandboxes[i].id == id { sandboxes[i].isReady = false }
            finish(.sandboxStopped(id: id), "stop sandbox")
        case .removeSandbox(let id):
            sandboxes.removeAll { $0.id == id }
            finish(.sandboxRemoved(id: id), "remove \(id)")
        case .startContainer(let name, let attempt, let sandboxID): start(name, attempt, sandboxID)
        case .cancelStart: break
        case .killContainer(let name, let id, let grace, let reason):
            log.append("kill \(name) grace \(grace) \(reason)")
            exit(name, code: 137, tells: false)
            finish(.containerKilled(name: name, id: id, containers.first { $0.status.id == id }), nil)
        case .removeContainer(let name, let id):
            containers.removeAll { $0.status.id == id }
            finish(.containerRemoved(name: name, id: id), "remove \(name)")
        case .probe(let name, let id, let kind, _):
            let isSuccess = probeAnswer[kind] ?? true
            finish(
                .probed(name: name, id: id, kind: kind, isSuccess: isSuccess, message: "no"),
                "probe \(kind.rawValue) \(isSuccess)")
        case .cleanUp: finish(.cleaned, "clean up")
        case .deleteFromAPI: finish(.deleted, "delete")
        case .event(_, let reason, let message, _): log.append("event \(reason): \(message)")
        }
    }

    private mutating func finish(_ outcome: PodOutcome, _ text: String?) {
        if let text { log.append(text) }
        for event in life.finished(outcome, now: now).actions { obey(event) }
    }

    private mutating func runSandbox(_ attempt: UInt32) {
        var sandbox = Sandbox()
        sandbox.id = "sandbox-\(attempt)"
        sandbox.metadata.attempt = attempt
        sandboxes.insert(sandbox, at: 0)
        finish(.sandboxRuns(sandbox, ips: ["10.244.1.5"]), "sandbox \(attempt)")
    }

    private mutating func start(_ name: String, _ attempt: UInt32, _ sandboxID: String) {
        if let failure = failures[name] {
            return finish(
                .containerFailed(name: name, reason: failure.reason, message: failure.message, nil), "fail \(name)")
        }
        serial += 1
        var status = ContainerStatus()
        status.id = "c\(serial)"
        status.name = name
        status.attempt = attempt
        status.state = .running
        status.createdAt = now
        status.startedAt = now
        status.image = "img"
        let seen = SeenContainer(status: status, sandboxID: sandboxID)
        containers.append(seen)
        finish(.containerStarted(name: name, seen), "start \(name)#\(attempt)")
    }

    /// The newest container of that name dies.
    mutating func exit(_ name: String, code: Int32, tells: Bool = true) {
        guard let i = containers.lastIndex(where: { $0.status.name == name && $0.status.state == .running }) else {
            return
        }
        containers[i].status.state = .exited
        containers[i].status.exitCode = code
        containers[i].status.finishedAt = now
        if tells { observe() }
    }

    mutating func observe() {
        let ips = sandboxes.contains(where: \.isReady) ? ["10.244.1.5"] : []
        life.observe(PodSeen(sandboxes: sandboxes, ips: ips, containers: containers))
    }

    mutating func takeLog() -> [String] {
        defer { log = [] }
        return log
    }

    var status: JSON { life.status(previous: [:], now: now) }
    func condition(_ type: String) -> String {
        status["conditions"]?.elements.first { $0["type"]?.string == type }?["status"]?.string ?? ""
    }
    func container(_ index: Int) -> JSON { status["containerStatuses"]?[index] ?? .null }
}

func testPod(_ spec: JSON) -> JSON {
    [
        "apiVersion": "v1", "kind": "Pod",
        "metadata": ["name": "web", "namespace": "default", "uid": "u1", "generation": 1, "resourceVersion": "5"],
        "spec": spec
    ]
}

private let simple: JSON = ["containers": [["name": "c", "image": "img"]], "terminationGracePeriodSeconds": 30]

struct PodLifeTests {
    @Test func `a simple pod becomes ready in order`() {
        var stage = PodStage(testPod(simple))
        #expect(stage.status["phase"] == "Pending")
        #expect(stage.container(0)["state", "waiting", "reason"] == "ContainerCreating")
        stage.settle()
        #expect(stage.takeLog() == ["prepare", "sandbox 0", "start c#0"])
        #expect(stage.status["phase"] == "Running")
        #expect(stage.status["podIP"] == "10.244.1.5")
        #expect(stage.status["hostIP"] == "10.89.0.11")
        #expect(stage.status["observedGeneration"] == 1)
        for type in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
            #expect(stage.condition(type) == "True", "\(type)")
        }
        #expect(stage.container(0)["ready"] == true)
        #expect(stage.container(0)["restartCount"] == 0)
    }

    @Test func `init containers run one after the other before the others`() {
        var spec = simple
        spec["initContainers"] = [["name": "a", "image": "img"], ["name": "b", "image": "img"]]
        var stage = PodStage(testPod(spec))
        stage.settle()
        #expect(stage.takeLog() == ["prepare", "sandbox 0", "start a#0"])
        #expect(stage.status["phase"] == "Pending")
        #expect(stage.container(0)["state", "waiting", "reason"] == "PodInitializing")
        #expect(stage.condition("Initialized") == "False")
        stage.exit("a", code: 0)
        stage.settle()
        stage.exit("b", code: 0)
        stage.settle()
        #expect(stage.takeLog() == ["start b#0", "start c#0"])
        #expect(stage.condition("Initialized") == "True")
        #expect(stage.status["initContainerStatuses"]?[0]?["state", "terminated", "reason"] == "Completed")
    }

    @Test func `a sidecar starts first and is killed last`() {
        var spec = simple
        spec["initContainers"] = [["name": "side", "image": "img", "restartPolicy": "Always"]]
        var pod = testPod(spec)
        var stage = PodStage(pod)
        stage.settle()
        #expect(stage.takeLog() == ["prepare", "sandbox 0", "start side#0", "start c#0"])
        pod["metadata", "deletionTimestamp"] = .string(TimeText.text(stage.now + .seconds(30)))
        pod["metadata", "deletionGracePeriodSeconds"] = 30
        stage.life.update(pod, now: stage.now)
        stage.settle()
        #expect(
            stage.takeLog() == [
                "kill c grace 30 podEnds", "kill side grace 30 podEnds", "stop sandbox", "clean up", "delete"
            ])
        #expect(stage.life.isOver)
    }

    @Test func `a failing init container of a pod that never restarts fails the pod`() {
        var spec = simple
        spec["restartPolicy"] = "Never"
        spec["initContainers"] = [["name": "a", "image": "img"]]
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.exit("a", code: 3)
        stage.settle()
        #expect(stage.status["phase"] == "Failed")
        #expect(stage.takeLog().last == "stop sandbox")
    }

    @Test func `a crashing container is restarted at once, then after ten and twenty seconds`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        _ = stage.takeLog()
        stage.pass(seconds: 1)
        stage.exit("c", code: 1)
        stage.settle()
        #expect(stage.takeLog() == ["start c#1"])
        stage.pass(seconds: 1)
        stage.exit("c", code: 1)
        stage.settle()
        #expect(stage.takeLog() == ["event BackOff: Back-off restarting failed container c in pod web_default(u1)"])
        #expect(stage.container(0)["state", "waiting", "reason"] == "CrashLoopBackOff")
        #expect(
            stage.container(0)["state", "waiting", "message"]
                == "back-off 10s restarting failed container=c pod=web_default(u1)")
        #expect(stage.container(0)["lastState", "terminated", "exitCode"] == 1)
        #expect(stage.container(0)["lastState", "terminated", "reason"] == "Error")
        #expect(stage.condition("Ready") == "False")
        stage.pass(seconds: 9)
        #expect(stage.takeLog().isEmpty)
        stage.pass(seconds: 1)
        #expect(stage.takeLog() == ["start c#2"])
        #expect(stage.container(0)["restartCount"] == 2)
        stage.exit("c", code: 1)
        stage.pass(seconds: 19)
        #expect(!stage.takeLog().contains("start c#3"))
        stage.pass(seconds: 1)
        #expect(stage.takeLog().contains("start c#3"))
    }

    @Test func `old dead attempts are removed and the newest two stay`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        for _ in 0..<3 {
            stage.pass(seconds: 700)
            stage.exit("c", code: 1)
            stage.settle()
            stage.observe()
            stage.settle()
        }
        #expect(stage.containers.map(\.status.attempt) == [2, 3])
    }

    @Test func `back-off is forgotten after ten quiet minutes`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        stage.exit("c", code: 1)
        stage.settle()
        stage.pass(seconds: 601)
        stage.exit("c", code: 1)
        _ = stage.takeLog()
        stage.settle()
        #expect(stage.takeLog() == ["start c#2"])
    }

    @Test func `a pod that is done succeeds and gives back its address`() {
        var spec = simple
        spec["restartPolicy"] = "OnFailure"
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.exit("c", code: 0)
        _ = stage.takeLog()
        stage.settle()
        #expect(stage.takeLog() == ["stop sandbox"])
        #expect(stage.status["phase"] == "Succeeded")
        #expect(stage.container(0)["state", "terminated", "reason"] == "Completed")
        #expect(stage.status["conditions"]?.elements.first { $0["type"] == "Ready" }?["reason"] == "PodCompleted")
    }

    @Test func `a pod that never restarts fails with its container`() {
        var spec = simple
        spec["restartPolicy"] = "Never"
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.exit("c", code: 2)
        stage.settle()
        #expect(stage.status["phase"] == "Failed")
    }

    @Test func `a pull that fails backs off`() {
        var stage = PodStage(testPod(simple))
        stage.failures["c"] = ("ErrImagePull", "not found")
        stage.settle()
        #expect(stage.container(0)["state", "waiting", "reason"] == "ErrImagePull")
        stage.pass(seconds: 2)
        #expect(stage.container(0)["state", "waiting", "reason"] == "ImagePullBackOff")
        #expect(stage.takeLog().contains("event BackOff: Back-off pulling image \"img\""))
        stage.failures = [:]
        stage.pass(seconds: 7)
        #expect(stage.takeLog().isEmpty)
        stage.pass(seconds: 1)
        #expect(stage.takeLog() == ["start c#0"])
        #expect(stage.status["phase"] == "Running")
    }

    @Test func `readiness follows the readiness probe`() {
        var spec = simple
        spec["containers"] = [
            [
                "name": "c", "image": "img",
                "readinessProbe": ["tcpSocket": ["port": 80], "periodSeconds": 5, "failureThreshold": 2]
            ]
        ]
        var stage = PodStage(testPod(spec))
        stage.probeAnswer[.readiness] = false
        stage.settle()
        #expect(stage.condition("Ready") == "False")
        stage.probeAnswer[.readiness] = true
        stage.pass(seconds: 5)
        #expect(stage.condition("Ready") == "True")
        stage.probeAnswer[.readiness] = false
        stage.pass(seconds: 5)
        #expect(stage.condition("Ready") == "True")
        stage.pass(seconds: 5)
        #expect(stage.condition("Ready") == "False")
        #expect(stage.takeLog().contains("event Unhealthy: Readiness probe failed: no"))
    }

    @Test func `a failing liveness probe replaces the container`() {
        var spec = simple
        spec["containers"] = [
            [
                "name": "c", "image": "img",
                "livenessProbe": ["exec": ["command": ["x"]], "periodSeconds": 1, "failureThreshold": 2]
            ]
        ]
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.probeAnswer[.liveness] = false
        stage.pass(seconds: 1)
        stage.pass(seconds: 1)
        let log = stage.takeLog()
        #expect(log.contains("kill c grace 30 unhealthy(Kubelet.ProbeKind.liveness)"), "\(log)")
        #expect(stage.containers.last?.status.attempt == 1)
    }

    @Test func `the startup probe holds the others back`() {
        var spec = simple
        spec["containers"] = [
            [
                "name": "c", "image": "img", "startupProbe": ["exec": ["command": ["x"]], "periodSeconds": 1],
                "livenessProbe": ["exec": ["command": ["x"]], "periodSeconds": 1]
            ]
        ]
        var stage = PodStage(testPod(spec))
        stage.probeAnswer = [.startup: false]
        stage.settle()
        #expect(stage.container(0)["started"] == false)
        #expect(!stage.takeLog().contains { $0.hasPrefix("probe Liveness") })
        stage.probeAnswer = [:]
        stage.pass(seconds: 1)
        #expect(stage.container(0)["started"] == true)
        #expect(stage.takeLog().contains("probe Liveness true"))
    }

    @Test func `a restarted kubelet keeps what runs`() {
        var first = PodStage(testPod(simple))
        first.settle()
        var stage = PodStage(testPod(simple))
        stage.sandboxes = first.sandboxes
        stage.containers = first.containers
        stage.observe()
        stage.settle()
        #expect(stage.takeLog() == ["prepare"])
        #expect(stage.status["phase"] == "Running")
    }

    @Test func `a changed image replaces the container`() {
        var pod = testPod(simple)
        var stage = PodStage(pod)
        stage.settle()
        stage.containers[0].status.annotations[PodLabels.hash] = ContainerHash.of(stage.life)
        stage.observe()
        stage.settle()
        _ = stage.takeLog()
        pod["spec", "containers"] = [["name": "c", "image": "other"]]
        stage.life.update(pod, now: stage.now)
        stage.settle()
        #expect(stage.takeLog() == ["kill c grace 30 definitionChanged", "start c#1"])
    }

    @Test func `a dead sandbox is replaced with everything in it`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        _ = stage.takeLog()
        stage.sandboxes[0].isReady = false
        stage.observe()
        stage.settle()
        #expect(
            stage.takeLog() == [
                "kill c grace 30 sandboxChanged", "stop sandbox",
                "event SandboxChanged: Pod sandbox changed, it will be killed and re-created.", "sandbox 1",
                "start c#1"
            ])
        // Its last container gone, the old sandbox goes too.
        stage.containers.removeAll { $0.sandboxID == "sandbox-0" }
        stage.observe()
        stage.settle()
        #expect(stage.takeLog() == ["remove sandbox-0"])
    }

    @Test func `a shorter grace sends a second kill`() {
        var pod = testPod(simple)
        var life = PodLife(pod: pod, hostIPs: [], now: 0)
        var stage = PodStage(pod)
        stage.settle()
        life.observe(PodSeen(sandboxes: stage.sandboxes, ips: ["10.244.1.5"], containers: stage.containers))
        pod["metadata", "deletionTimestamp"] = .string(TimeText.text(.seconds(30)))
        pod["metadata", "deletionGracePeriodSeconds"] = 30
        life.update(pod, now: 0)
        #expect(
            life.decide(now: 0).actions == [.killContainer(name: "c", id: "c1", graceSeconds: 30, reason: .podEnds)])
        #expect(life.decide(now: .second).actions.isEmpty)
        pod["metadata", "deletionTimestamp"] = .string(TimeText.text(.seconds(2)))
        pod["metadata", "deletionGracePeriodSeconds"] = 1
        life.update(pod, now: .seconds(1))
        #expect(
            life.decide(now: .seconds(1)).actions == [
                .killContainer(name: "c", id: "c1", graceSeconds: 0, reason: .podEnds)
            ])
    }

    @Test func `a pod past its deadline fails and its containers are killed`() {
        var spec = simple
        spec["activeDeadlineSeconds"] = 5
        var stage = PodStage(testPod(spec))
        stage.settle()
        stage.pass(seconds: 5)
        #expect(stage.status["phase"] == "Failed")
        #expect(stage.status["reason"] == "DeadlineExceeded")
        #expect(!stage.life.isOver)
    }

    @Test func `a pod that the API forgot is stopped and nothing is deleted`() {
        var stage = PodStage(testPod(simple))
        stage.settle()
        _ = stage.takeLog()
        stage.life.vanish()
        stage.settle()
        #expect(stage.takeLog() == ["kill c grace 30 podEnds", "stop sandbox", "clean up"])
        #expect(stage.life.isOver)
    }
}

/// The hash that the kubelet would have written.
enum ContainerHash {
    static func of(_ life: PodLife) -> String { life.spec.containers[0].hash }
}
