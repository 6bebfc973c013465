import API
import Proxy
import Testing

@Suite struct ProxyRuleTests {
    let network = "10.244.0.0/16"

    func service(_ name: String, ip: String, nodePort: Int64 = 0) -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": [
                "clusterIP": .string(ip), "clusterIPs": [.string(ip)],
                "ports": [["name": "http", "port": 80, "protocol": "TCP", "nodePort": .int(nodePort)]]
            ]
        ]
    }

    func slice(_ name: String, _ addresses: [String], ready: Bool = true) -> JSON {
        [
            "metadata": [
                "name": .string("\(name)-1"), "namespace": "default",
                "labels": ["kubernetes.io/service-name": .string(name)]
            ],
            "addressType": "IPv4", "ports": [["name": "http", "port": 8080, "protocol": "TCP"]],
            "endpoints": .array(addresses.map { ["addresses": [.string($0)], "conditions": ["ready": .bool(ready)]] })
        ]
    }

    @Test func `a service without endpoints refuses, with endpoints it translates`() {
        var state = ServiceState(node: "w1")
        state.set(service: service("web", ip: "10.96.0.50"))
        #expect(RuleSet(state, podNetwork: network).emptyElements == ["10.96.0.50 . tcp . 80"])
        state.set(slice: slice("web", ["10.244.1.5", "10.244.2.5"]))
        let rules = RuleSet(state, podNetwork: network)
        #expect(rules.emptyElements.isEmpty && rules.serviceElements.count == 1)
        #expect(rules.chains.values.joined().contains("meta l4proto tcp dnat to 10.244.2.5:8080"))
    }

    @Test func `a change of one service leaves the other's chains alone`() {
        var state = ServiceState(node: "w1")
        state.set(service: service("a", ip: "10.96.0.1"))
        state.set(slice: slice("a", ["10.244.1.1"]))
        state.set(service: service("b", ip: "10.96.0.2", nodePort: 30080))
        state.set(slice: slice("b", ["10.244.1.2"]))
        let before = RuleSet(state, podNetwork: network)
        state.set(slice: slice("b", ["10.244.1.2", "10.244.1.3"]))
        let script = RuleScript.difference(from: before, to: RuleSet(state, podNetwork: network))
        #expect(!script.contains("10.244.1.1") && !script.contains("10.96.0.1 ") && script.contains("10.244.1.3:8080"))
        #expect(RuleScript.difference(from: before, to: before) == "")
    }

    @Test func `terminating endpoints serve only while nobody is ready`() {
        let ready = ProxyEndpoint(
            address: "10.244.1.1", port: 1, isReady: true, isServing: true, isTerminating: false, isLocal: true)
        let leaving = ProxyEndpoint(
            address: "10.244.1.2", port: 1, isReady: false, isServing: true, isTerminating: true, isLocal: true)
        #expect(ServiceState.usable([ready, leaving], localOnly: false) == [ready])
        #expect(ServiceState.usable([leaving], localOnly: false) == [leaving])
    }

    @Test func `an address that is none never reaches a rule`() {
        var state = ServiceState(node: "w1")
        state.set(service: service("web", ip: "10.96.0.50"))
        state.set(slice: slice("web", ["1.2.3.4 }; flush ruleset; {"]))
        #expect(
            !RuleScript.difference(from: RuleSet(), to: RuleSet(state, podNetwork: network)).contains("flush ruleset"))
    }
}
