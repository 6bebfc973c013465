// Which backend takes the next connection, and which backend's connections are to be given up: a value that is told what
// happened. Pure. States: a backend is active until a connection is refused or probes in a row fail, failed until a probe
// succeeds, then recovering until it has succeeded several times. Connections are given up only while another backend answers:
// when nobody does, it is the prober or the network that is slow, and the connections that are there are the best there is.

/// A server behind a balancer.
package struct Backend: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`; nil when it is malformed.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        self.init(host: String(text[..<colon]), port: port)
        if host.isEmpty { return nil }
    }

    package static func < (left: Self, right: Self) -> Bool { (left.host, left.port) < (right.host, right.port) }
    package var description: String { "\(host):\(port)" }
}

package enum BackendState: String, Hashable, Sendable { case active, recovering, failed }

package struct BackendTable: Sendable {
    /// Probes in a row that must succeed before a failed backend is active again.
    package static let recoveryProbes = 2

    private struct Row: Sendable {
        var state = BackendState.active
        var successes = 0
        var failures = 0
        var connections = 0
        /// Its connections were given up since it failed.
        var isAbandoned = false

        /// Nothing speaks against it right now.
        var isFine: Bool { state != .failed && failures == 0 }
    }
    private var rows: [Backend: Row] = [:]
    private var turn = 0
    private let probeFailuresMax: Int

    /// `probeFailuresMax`: failed probes in a row after which a backend counts as failed.
    package init(_ backends: [Backend], probeFailuresMax: Int = 2) {
        self.probeFailuresMax = probeFailuresMax
        replace(backends)
    }

    package var backends: [Backend] { rows.keys.sorted() }
    package func state(of backend: Backend) -> BackendState? { rows[backend]?.state }
    package func connections(to backend: Backend) -> Int { rows[backend]?.connections ?? 0 }

    /// A backend failed its last probe and another one will decide: it should come soon.
    package var isInDoubt: Bool { rows.values.contains { $0.state != .failed && $0.failures > 0 } }

    /// Every backend is active.
    package var isSettled: Bool { rows.values.allSatisfy { $0.state == .active } }

    /// New list; known backends keep their state. Returns those that are gone.
    @discardableResult
    package mutating func replace(_ backends: [Backend]) -> [Backend] {
        let gone = rows.keys.filter { !backends.contains($0) }.sorted()
        for backend in gone { rows[backend] = nil }
        for backend in backends where rows[backend] == nil { rows[backend] = Row() }
        return gone
    }

    /// The order in which to try: active ones by number of connections and in turn, then those in doubt or recovering, then
    /// failed, the one with the fewest failures first.
    package mutating func order() -> [Backend] {
        turn &+= 1
        let sorted = backends
        guard !sorted.isEmpty else { return [] }
        let start = abs(turn % sorted.count)
        let rotated = Array(sorted[start...] + sorted[..<start])
        func rank(_ backend: Backend) -> (Int, Int, Int) {
            let row = rows[backend] ?? Row()
            let state = row.state == .failed ? 2 : row.state == .active && row.failures == 0 ? 0 : 1
            return (state, row.state == .failed ? row.failures : 0, row.connections)
        }
        return rotated.enumerated().sorted { left, right in
            let (a, b) = (rank(left.element), rank(right.element))
            return (a.0, a.1, a.2, left.offset) < (b.0, b.1, b.2, right.offset)
        }.map(\.element)
    }

    package mutating func opened(_ backend: Backend) { rows[backend]?.connections += 1 }

    package mutating func closed(_ backend: Backend) {
        if let count = rows[backend]?.connections, count > 0 { rows[backend]?.connections = count - 1 }
    }

    /// Nobody listens there. Returns the backends whose connections are to be closed.
    package mutating func refused(_ backend: Backend) -> [Backend] {
        rows[backend]?.state = .failed
        rows[backend]?.successes = 0
        rows[backend]?.failures += 1
        return abandoned()
    }

    /// It did not answer a connection in time: the next probe decides.
    package mutating func doubted(_ backend: Backend) {
        if rows[backend]?.failures == 0 { rows[backend]?.failures = 1 }
    }

    /// The answers to probes that were all sent at the same time. Returns the backends whose connections are to be closed.
    package mutating func probed(_ answers: [Backend: Bool]) -> [Backend] {
        for (backend, isHealthy) in answers {
            if isHealthy {
                succeed(backend)
            } else {
                rows[backend]?.failures += 1
                if rows[backend]?.failures ?? 0 >= probeFailuresMax { rows[backend]?.state = .failed }
                rows[backend]?.successes = 0
            }
        }
        return abandoned()
    }

    private mutating func succeed(_ backend: Backend) {
        guard let row = rows[backend] else { return }
        rows[backend]?.failures = 0
        guard row.state != .active else { return }
        rows[backend]?.successes += 1
        rows[backend]?.state = row.successes + 1 >= Self.recoveryProbes ? .active : .recovering
        rows[backend]?.isAbandoned = false
    }

    /// The failed ones, each once a failure, while another one is fine.
    private mutating func abandoned() -> [Backend] {
        guard rows.values.contains(where: \.isFine) else { return [] }
        let list = rows.filter { $0.value.state == .failed && !$0.value.isAbandoned }.keys.sorted()
        for backend in list { rows[backend]?.isAbandoned = true }
        return list
    }
}
