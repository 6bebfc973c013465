// A pod's sandbox as the runtime wants it: name, namespaces, DNS, host ports, cgroup, security. Pure.
// Shared by the sandbox and its containers: namespaces and groups are decided here once. It must never name the host.
import API

package struct NodeSettings: Sendable {
    package var nodeName = ""
    package var clusterDNS: [String] = ["10.96.0.10"]
    package var clusterDomain = "cluster.local"
    /// The machine's own resolver.
    package var hostDNS = DNSSettings()
    package var podLogsDirectory = "/var/log/pods"
    package var cgroupRoot = "/"
    package var memoryBytes: Int64 = 0
    package init() {}
}

package enum SandboxSettings {
    package static func sandbox(_ pod: JSON, attempt: UInt32, _ node: NodeSettings) -> SandboxConfig {
        let spec = pod["spec"] ?? .null
        let isHostNetwork = spec["hostNetwork"]?.bool ?? false
        var config = SandboxConfig()
        config.metadata.name = pod.name
        config.metadata.namespace = pod.namespace
        config.metadata.uid = pod.uid
        config.metadata.attempt = attempt
        // With the node's network the runtime must not touch the host's name.
        config.hostname = isHostNetwork ? "" : hostname(pod, domain: node.clusterDomain)
        config.logDirectory = logDirectory(pod, node)
        config.dns = dns(pod, node)
        config.labels = PodLabels.sandbox(pod)
        config.annotations = pod.annotations
        config.annotations[PodLabels.node] = node.nodeName
        config.cgroupParent = Resources.cgroup(pod, root: node.cgroupRoot)
        if !isHostNetwork { config.ports = ports(spec) }
        for entry in spec["securityContext", "sysctls"]?.elements ?? [] {
            if let name = entry["name"]?.string { config.sysctls[name] = entry["value"]?.string ?? "" }
        }
        config.security = security(spec)
        return config
    }

    /// `<logs>/<namespace>_<name>_<uid>`, which log collectors parse.
    package static func logDirectory(_ pod: JSON, _ node: NodeSettings) -> String {
        "\(node.podLogsDirectory)/\(pod.namespace)_\(pod.name)_\(pod.uid)"
    }

    /// The name that `hostname` prints in the pod.
    package static func hostname(_ pod: JSON, domain: String) -> String {
        let short = shortHostname(pod)
        guard pod["spec", "setHostnameAsFQDN"]?.bool == true, let full = fullHostname(pod, domain: domain),
            full.utf8.count <= 64
        else { return short }
        return full
    }

    static func shortHostname(_ pod: JSON) -> String {
        if let name = pod["spec", "hostname"]?.string?.nonEmpty { return name }
        var name = Substring(pod.name.prefix(63))
        while name.last == "-" || name.last == "." { name = name.dropLast() }
        return String(name)
    }

    static func fullHostname(_ pod: JSON, domain: String) -> String? {
        guard let subdomain = pod["spec", "subdomain"]?.string?.nonEmpty else { return nil }
        return "\(shortHostname(pod)).\(subdomain).\(pod.namespace).svc.\(domain)"
    }

    package static func dns(_ pod: JSON, _ node: NodeSettings) -> DNSSettings {
        let spec = pod["spec"] ?? .null
        let policy = spec["dnsPolicy"]?.string ?? "ClusterFirst"
        let isHostNetwork = spec["hostNetwork"]?.bool ?? false
        var dns: DNSSettings
        switch policy {
        case "None": dns = DNSSettings()
        case "ClusterFirst" where !isHostNetwork && !node.clusterDNS.isEmpty,
            "ClusterFirstWithHostNet" where !node.clusterDNS.isEmpty:
            let domain = node.clusterDomain
            let searches = ["\(pod.namespace).svc.\(domain)", "svc.\(domain)", domain]
            dns = DNSSettings(
                servers: node.clusterDNS, searches: searches + node.hostDNS.searches, options: ["ndots:5"])
        default: dns = node.hostDNS
        }
        if let own = spec["dnsConfig"] { merge(own, into: &dns) }
        return dns
    }

    private static func merge(_ own: JSON, into dns: inout DNSSettings) {
        func added(_ list: [String], _ more: [String]) -> [String] {
            more.reduce(into: list) { if !$0.contains($1) { $0.append($1) } }
        }
        dns.servers = added(dns.servers, (own["nameservers"]?.elements ?? []).compactMap(\.string))
        dns.searches = added(dns.searches, (own["searches"]?.elements ?? []).compactMap(\.string))
        for option in own["options"]?.elements ?? [] {
            guard let name = option["name"]?.string else { continue }
            dns.options.removeAll { $0 == name || $0.hasPrefix(name + ":") }
            dns.options.append(option["value"]?.string.map { "\(name):\($0)" } ?? name)
        }
    }

    /// The host ports that a pod's containers ask for.
    static func ports(_ spec: JSON) -> [PortMapping] {
        var list: [PortMapping] = []
        let sidecars = (spec["initContainers"]?.elements ?? []).filter { $0["restartPolicy"]?.string == "Always" }
        for container in (spec["containers"]?.elements ?? []) + sidecars {
            for port in container["ports"]?.elements ?? [] {
                guard let hostPort = port["hostPort"]?.int, hostPort > 0 else { continue }
                var mapping = PortMapping()
                mapping.hostPort = Int32(truncatingIfNeeded: hostPort)
                mapping.containerPort = Int32(truncatingIfNeeded: port["containerPort"]?.int ?? 0)
                mapping.hostIP = port["hostIP"]?.string ?? ""
                mapping.transport = ["UDP": .udp, "SCTP": .sctp][port["protocol"]?.string ?? ""] ?? .tcp
                list.append(mapping)
            }
        }
        return list
    }

    private static func security(_ spec: JSON) -> SandboxSecurity {
        let context = spec["securityContext"]
        var security = SandboxSecurity()
        security.namespaces = namespaces(spec)
        security.runAsUser = context?["runAsUser"]?.int
        security.runAsGroup = security.runAsUser == nil ? nil : context?["runAsGroup"]?.int
        security.supplementalGroups = groups(spec)
        let all = (spec["containers"]?.elements ?? []) + (spec["initContainers"]?.elements ?? [])
        security.isPrivileged = all.contains { $0["securityContext", "privileged"]?.bool == true }
        security.seccomp = SecurityProfile(.runtimeDefault)
        return security
    }

    static func namespaces(_ spec: JSON) -> NamespaceOptions {
        var options = NamespaceOptions()
        options.network = spec["hostNetwork"]?.bool == true ? .node : .pod
        options.ipc = spec["hostIPC"]?.bool == true ? .node : .pod
        options.pid =
            spec["hostPID"]?.bool == true ? .node : (spec["shareProcessNamespace"]?.bool == true ? .pod : .container)
        return options
    }

    static func groups(_ spec: JSON) -> [Int64] {
        var groups = (spec["securityContext", "supplementalGroups"]?.elements ?? []).compactMap(\.int)
        if let group = spec["securityContext", "fsGroup"]?.int, !groups.contains(group) { groups.append(group) }
        return groups
    }
}
