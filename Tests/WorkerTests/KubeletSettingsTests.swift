// What a pod's spec becomes for the runtime: environments, resources, names, DNS, security. Pure.
import API
import Kubelet
import Testing

struct KubeletSettingsTests {
    @Test func `known names are expanded, unknown ones and doubled dollars stay`() {
        let known = ["A": "1", "B": "two"]
        #expect(Expansion.expand("$(A) $(B) $(C) $$(A) $A $", { known[$0] }) == "1 two $(C) $(A) $A $")
    }

    @Test func `quantities become thousandths`() {
        #expect(Amount.milli("500m") == 500)
        #expect(Amount.milli("1.5") == 1500)
        #expect(Amount.units("64Mi") == 67_108_864)
        #expect(Amount.units("1G") == 1_000_000_000)
        #expect(Amount.milli("9e30") == .max)
        #expect(Amount.milli("x") == nil)
    }

    @Test func `the environment takes sources in order`() throws {
        let pod: JSON = ["metadata": ["name": "p", "namespace": "n", "uid": "u", "labels": ["app": "x"]], "spec": [:]]
        let container: JSON = [
            "name": "c",
            "envFrom": [["prefix": "P_", "configMapRef": ["name": "m"]]],
            "env": [
                ["name": "A", "value": "a"], ["name": "B", "value": "$(A)-$(P_K)"],
                ["name": "S", "valueFrom": ["secretKeyRef": ["name": "s", "key": "k"]]],
                ["name": "N", "valueFrom": ["fieldRef": ["fieldPath": "metadata.labels['app']"]]],
                ["name": "O", "valueFrom": ["configMapKeyRef": ["name": "absent", "key": "k", "optional": true]]],
                ["name": "M", "valueFrom": ["resourceFieldRef": ["resource": "limits.memory", "divisor": "1Mi"]]]
            ],
            "resources": ["limits": ["memory": "64Mi"]]
        ]
        var facts = PodFacts()
        facts.objects[ObjectName(.configMap, "n", "m")] = .some(["K": Array("v".utf8)])
        facts.objects[ObjectName(.secret, "n", "s")] = .some(["k": Array("pw".utf8)])
        let variables = try Environment.variables(container, pod, facts)
        #expect(variables.map { "\($0.name)=\($0.value)" } == ["P_K=v", "A=a", "B=a-v", "S=pw", "N=x", "M=64"])
    }

    @Test func `a missing secret is named as upstream names it`() {
        let container: JSON = ["env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "s", "key": "k"]]]]]
        #expect(throws: ConfigurationError("secret \"s\" not found")) {
            try Environment.variables(container, ["metadata": ["namespace": "n"]], PodFacts())
        }
    }

    @Test func `services become variables`() {
        let service: JSON = [
            "metadata": ["name": "my-db", "namespace": "n"],
            "spec": ["clusterIP": "10.96.1.1", "ports": [["name": "sql", "port": 5432, "protocol": "TCP"]]]
        ]
        let variables = ServiceEnvironment.variables(services: [service], kubernetes: nil, isLinked: true)
        #expect(
            variables.map { "\($0.name)=\($0.value)" } == [
                "MY_DB_SERVICE_HOST=10.96.1.1", "MY_DB_SERVICE_PORT=5432", "MY_DB_SERVICE_PORT_SQL=5432",
                "MY_DB_PORT=tcp://10.96.1.1:5432", "MY_DB_PORT_5432_TCP=tcp://10.96.1.1:5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_PORT_5432_TCP_PORT=5432", "MY_DB_PORT_5432_TCP_ADDR=10.96.1.1"
            ])
    }

    @Test func `cluster DNS comes with the namespace's search list`() {
        var node = NodeSettings()
        node.hostDNS = DNSSettings(resolvConf: "nameserver 9.9.9.9\nsearch lan\noptions edns0\n")
        let dns = SandboxSettings.dns(["metadata": ["namespace": "n"], "spec": ["dnsPolicy": "ClusterFirst"]], node)
        #expect(
            dns
                == DNSSettings(
                    servers: ["10.96.0.10"],
                    searches: ["n.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"], options: ["ndots:5"]
                ))
        let own = SandboxSettings.dns(
            ["metadata": ["namespace": "n"], "spec": ["dnsPolicy": "ClusterFirst", "hostNetwork": true]], node)
        #expect(own == node.hostDNS)
    }

    @Test func `limits become shares and quota, the class follows from them`() {
        let pod: JSON = [
            "spec": [
                "containers": [["resources": ["requests": ["cpu": "250m"], "limits": ["cpu": "1", "memory": "1Gi"]]]]
            ]
        ]
        let resources = Resources.container(pod["spec", "containers"]?[0] ?? .null, pod, nodeMemoryBytes: 8 << 30)
        #expect(resources.cpuShares == 256)
        #expect(resources.cpuQuota == 100_000)
        #expect(resources.memoryLimitBytes == 1 << 30)
        #expect(Resources.qualityOfService(pod) == .burstable)
        #expect(Resources.qualityOfService(["spec": ["containers": [[:]]]]) == .bestEffort)
    }

    @Test func `a host-network pod leaves the host its name`() {
        let pod: JSON = [
            "metadata": ["name": "p", "namespace": "n", "uid": "u"], "spec": ["hostNetwork": true, "containers": []]
        ]
        let config = SandboxSettings.sandbox(pod, attempt: 0, NodeSettings())
        #expect(config.hostname.isEmpty)
        #expect(config.security.namespaces.network == .node)
        #expect(config.cgroupParent == "/kubepods/besteffort/podu")
    }

    @Test func `the hosts file begins with upstream's line`() {
        let pod: JSON = [
            "metadata": ["name": "p", "namespace": "n"],
            "spec": ["hostname": "h", "subdomain": "s", "hostAliases": [["ip": "1.2.3.4", "hostnames": ["x", "y"]]]]
        ]
        let text = HostsFile.text(pod, podIPs: ["10.244.0.9"], hostFile: "", domain: "cluster.local")
        #expect(text.hasPrefix("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"))
        #expect(text.contains("10.244.0.9\th.s.n.svc.cluster.local\th\n"))
        #expect(text.hasSuffix("\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n"))
    }

    @Test func `running as root against runAsNonRoot is refused`() {
        let pod: JSON = [
            "metadata": ["name": "p", "namespace": "n", "uid": "u"],
            "spec": ["containers": [["name": "c", "securityContext": ["runAsNonRoot": true]]]]
        ]
        let spec = PodSpec(pod).containers[0]
        let inputs = ContainerSettings.Inputs(attempt: 0, image: Image(), imageName: "i", environment: [], mounts: [])
        #expect(
            throws: ConfigurationError(
                "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)")
        ) {
            try ContainerSettings.container(spec, pod, inputs, NodeSettings())
        }
    }

    @Test func `times are read and written alike`() {
        for text in ["2026-11-22T14:00:00Z", "1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2100-03-01T00:00:00Z"] {
            #expect(TimeText.parse(text).map(TimeText.text) == text)
        }
        #expect(
            TimeText.parse("2026-11-22T14:00:00.5+02:00")
                == TimeText.parse("2026-11-22T12:00:00Z").map { $0 + .second / 2 })
        #expect(TimeText.parse("2026-13-22T14:00:00Z") == nil)
        #expect(TimeText.parse("") == nil)
        #expect(TimeText.microText(1_500_000) == "1970-01-01T00:00:00.001500Z")
    }

    @Test(arguments: ["nginx", "nginx:1.2", "tern.local/web:1", "r.io:5000/a/b@sha256:abc"])
    func `an image name that can be meant`(name: String) {
        #expect(ImageName.isValid(name))
    }

    @Test(arguments: ["", "Nginx", "a b", "a//b", "a:"]) func `an image name that cannot be meant`(name: String) {
        #expect(!ImageName.isValid(name))
    }

    @Test func `the wire format survives a round trip and refuses rubbish`() throws {
        var writer = ProtoWriter()
        writer.string(1, "id")
        writer.message(2) {
            $0.string(1, "name")
            $0.uint(4, 7)
        }
        writer.int(3, Int64(1))
        writer.map(5, ["a": "b"])
        let sandbox = try Sandbox(proto: writer.bytes)
        #expect(sandbox.id == "id" && sandbox.metadata.attempt == 7 && !sandbox.isReady && sandbox.labels == ["a": "b"])
        for bytes: [UInt8] in [
            [0x0a, 0xff], [0xff], [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x0f]
        ] {
            #expect(throws: ProtoError.self) { try Sandbox(proto: bytes) }
        }
    }

    @Test func `a log line is taken apart`() {
        let line = LogLine(Array("2026-11-22T14:00:00.1Z stdout F hello world".utf8)[...])
        #expect(line?.bytes == Array("hello world\n".utf8))
        #expect(LogLine(Array("2026 stderr P par".utf8)[...])?.bytes == Array("par".utf8))
        #expect(LogLine(Array("rubbish".utf8)[...]) == nil)
    }
}
