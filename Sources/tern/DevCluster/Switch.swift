// The network of the development cluster: a bridge in a namespace of its own, and a veth from it to each host's namespace.
// Nothing is made in the root namespace. Every step may be repeated: what exists is kept.
import Worker

struct Switch {
    var layout: Layout

    func up() throws {
        try addNamespace(layout.switchNamespace)
        let name = layout.switchNamespace
        if !linkExists("br0", in: name) {
            try ip(name, ["link", "add", "br0", "type", "bridge", "forward_delay", "0"])
            try ip(name, ["addr", "add", "\(layout.gatewayAddress)/\(layout.networkPrefixLength)", "dev", "br0"])
        }
        try ip(name, ["link", "set", "br0", "up"])
        for host in layout.hosts { try plug(host) }
    }

    func down() {
        for name in layout.hosts.map(layout.namespace) + [layout.switchNamespace]
        where Files.exists(layout.namespacePath(name)) {
            attempt(["ip", "netns", "delete", name])
        }
    }

    /// Takes the host's port of the switch down, or up again: a pulled cable.
    func setPort(_ host: Host, up: Bool) throws {
        try ip(layout.switchNamespace, ["link", "set", host.name, up ? "up" : "down"])
    }

    private func plug(_ host: Host) throws {
        let namespace = layout.namespace(host)
        try addNamespace(namespace)
        if !linkExists("eth0", in: namespace) {
            try ip(
                layout.switchNamespace,
                ["link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", namespace])
            try ip(namespace, ["addr", "add", "\(host.address)/\(layout.networkPrefixLength)", "dev", "eth0"])
        }
        try ip(layout.switchNamespace, ["link", "set", host.name, "master", "br0", "up"])
        try ip(namespace, ["link", "set", "eth0", "up"])
        try ip(namespace, ["route", "replace", "default", "via", layout.gatewayAddress])
    }

    private func addNamespace(_ name: String) throws {
        if !Files.exists(layout.namespacePath(name)) { try Subprocess.run(["ip", "netns", "add", name]) }
        try ip(name, ["link", "set", "lo", "up"])
    }

    private func linkExists(_ link: String, in namespace: String) -> Bool {
        attempt(["ip", "-n", namespace, "link", "show", link])
    }

    private func ip(_ namespace: String, _ arguments: [String]) throws {
        try Subprocess.run(["ip", "-n", namespace] + arguments)
    }
}

/// Whether a program ran and exited with 0; for questions whose "no" is an answer.
@discardableResult
func attempt(_ arguments: [String]) -> Bool {
    do { return try Subprocess.attempt(arguments).status == 0 } catch { return false }
}
