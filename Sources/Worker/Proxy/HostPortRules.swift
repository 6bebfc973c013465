// Ports of the node that lead to one pod each (`hostPort`), as a table of their own: small, made afresh at each change in one
// transaction. Connections from the node itself through 127.0.0.1 are not translated, as for node ports.

/// One such port.
package struct HostPortRule: Hashable, Sendable {
    /// "tcp", "udp" or "sctp".
    package var transport: String
    /// Empty: every address of the node.
    package var hostAddress: String
    package var hostPort: Int32
    package var podAddress: String
    package var podPort: Int32

    package init(transport: String, hostAddress: String, hostPort: Int32, podAddress: String, podPort: Int32) {
        self.transport = transport
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.podAddress = podAddress
        self.podPort = podPort
    }

    /// Only what is an address and a port gets into a script.
    var isSound: Bool {
        let ports = [hostPort, podPort].allSatisfy { (1...65535).contains($0) }
        let addresses = [podAddress] + (hostAddress.isEmpty ? [] : [hostAddress])
        return ports && ["tcp", "udp", "sctp"].contains(transport) && addresses.allSatisfy(Self.isAddress)
    }

    private static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

package enum HostPortScript {
    static let table = "tern-host-ports"

    /// The whole table; no table without ports.
    package static func text(_ rules: [HostPortRule]) -> String {
        let sound = rules.filter(\.isSound)
        var lines = ["table ip \(table) {}", "delete table ip \(table)"]
        guard !sound.isEmpty else { return lines.joined(separator: "\n") + "\n" }
        lines.append("table ip \(table) {")
        for (i, rule) in sound.enumerated() {
            // A pod that reaches itself this way must get its answers from the node.
            lines += [
                "  chain port-\(i) {",
                "    ip saddr \(rule.podAddress) meta mark set meta mark | \(RuleSet.masqueradeMark)",
                "    meta l4proto \(rule.transport) dnat to \(rule.podAddress):\(rule.podPort)", "  }"
            ]
        }
        lines.append("  chain find {")
        for (i, rule) in sound.enumerated() {
            let local = "fib daddr type local ip daddr != 127.0.0.0/8"
            let place = rule.hostAddress.isEmpty ? local : "ip daddr \(rule.hostAddress)"
            lines.append("    \(place) meta l4proto \(rule.transport) th dport \(rule.hostPort) goto port-\(i)")
        }
        lines += [
            "  }", "  chain prerouting { type nat hook prerouting priority -110; policy accept; jump find; }",
            "  chain output { type nat hook output priority -110; policy accept; jump find; }", "}"
        ]
        return lines.joined(separator: "\n") + "\n"
    }
}
