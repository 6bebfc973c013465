import API
import Kubelet
import Proxy
import Testing

struct HostPortTests {
    private let pod = testPod([
        "containers": [
            [
                "name": "c", "image": "img",
                "ports": [
                    ["containerPort": 8080, "hostPort": 80],
                    ["containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.89.0.21"],
                    ["containerPort": 9000]
                ]
            ]
        ]
    ])

    @Test func `the ports of a pod lead to it while its sandbox runs`() {
        var pods = NodePods(hostIPs: ["10.89.0.21"])
        pods.sync([pod], now: 1)
        #expect(pods.hostPorts == [])
        var sandbox = Sandbox()
        sandbox.id = "s"
        sandbox.isReady = true
        let seen = PodSeen(sandboxes: [sandbox], ips: ["10.244.1.5"])
        pods.observe(["u1": seen], epochs: pods.epochs, now: 2)
        #expect(pods.hostPorts.map(\.hostPort) == [80, 53])
        #expect(pods.hostPorts.map(\.transport) == ["tcp", "udp"])
        #expect(pods.hostPorts.allSatisfy { $0.podAddress == "10.244.1.5" })
        sandbox.isReady = false
        pods.observe(["u1": PodSeen(sandboxes: [sandbox])], epochs: pods.epochs, now: 3)
        #expect(pods.hostPorts == [])
    }

    @Test func `each port is one rule, and what is no address gets into no script`() {
        let good = HostPortRule(
            transport: "tcp", hostAddress: "", hostPort: 80, podAddress: "10.244.1.5", podPort: 8080)
        let bound = HostPortRule(
            transport: "udp", hostAddress: "10.89.0.21", hostPort: 53, podAddress: "10.244.1.6", podPort: 53)
        let bad = HostPortRule(
            transport: "tcp", hostAddress: "1.1.1.1; flush ruleset", hostPort: 1, podAddress: "10.244.1.7", podPort: 1)
        let text = HostPortScript.text([good, bound, bad])
        #expect(text.contains("fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto tcp th dport 80 goto port-0"))
        #expect(text.contains("ip daddr 10.89.0.21 meta l4proto udp th dport 53 goto port-1"))
        #expect(text.contains("meta l4proto tcp dnat to 10.244.1.5:8080"))
        #expect(!text.contains("flush"))
        #expect(!HostPortScript.text([]).contains("chain"))
    }
}
