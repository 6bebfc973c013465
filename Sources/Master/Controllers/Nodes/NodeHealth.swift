// When each node last gave a sign of life, by this master's own clock: a lease renewed or a status posted. Every master
// watches, so that a new leader knows at once. Never compares a worker's clock with a master's. Pure.

/// Signs of life by node.
package struct NodeHealth: Sendable {
    private struct Sign: Sendable {
        var lease: String
        var heartbeat: String
        var seenAt: Int64
    }
    private var signs: [String: Sign] = [:]
    /// Nodes are given a full grace after leadership changed: while there was no leader nobody could renew.
    private var startedAt: Int64 = 0

    package init() {}

    package mutating func leadershipBegan(now: Int64) { startedAt = now }

    package mutating func saw(lease: String, of node: String, now: Int64) {
        guard signs[node]?.lease != lease else { return }
        signs[node] = Sign(lease: lease, heartbeat: signs[node]?.heartbeat ?? "", seenAt: now)
    }

    package mutating func saw(heartbeat: String, of node: String, now: Int64) {
        guard signs[node]?.heartbeat != heartbeat else { return }
        signs[node] = Sign(lease: signs[node]?.lease ?? "", heartbeat: heartbeat, seenAt: now)
    }

    package mutating func forget(_ node: String) { signs[node] = nil }

    /// Milliseconds since the last sign.
    package func silence(of node: String, now: Int64) -> Int64 {
        now &- max(signs[node]?.seenAt ?? startedAt, startedAt)
    }
}
