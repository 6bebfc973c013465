// Which backend takes the next connection: a value that is told what happened and answers with an order to try. Pure.
// States: a backend is active until an attempt or a probe fails, failed until a probe succeeds, then recovering until it has
// succeeded several times; only when no active one is left are the others tried.

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
        var connections = 0
    }
    private var rows: [Backend: Row] = [:]
    private var turn = 0

    package init(_ backends: [Backend]) { replace(backends) }

    package var backends: [Backend] { rows.keys.sorted() }
    package func state(of backend: Backend) -> BackendState? { rows[backend]?.state }
    package func connections(to backend: Backend) -> Int { rows[backend]?.connections ?? 0 }

    /// New list; known backends keep their state. Returns those that are gone.
    @discardableResult
    package mutating func replace(_ backends: [Backend]) -> [Backend] {
        let gone = rows.keys.filter { !backends.contains($0) }.sorted()
        for backend in gone { rows[backend] = nil }
        for backend in backends where rows[backend] == nil { rows[backend] = Row() }
        return gone
    }

    /// The order in which to try: active ones by number of connections and in turn, then recovering, then failed.
    package mutating func order() -> [Backend] {
        turn &+= 1
        let sorted = backends
        guard !sorted.isEmpty else { return [] }
        let start = abs(turn % sorted.count)
        let rotated = Array(sorted[start...] + sorted[..<start])
        func rank(_ backend: Backend) -> (Int, Int) {
            let row = rows[backend] ?? Row()
            return (row.state == .active ? 0 : row.state == .recovering ? 1 : 2, row.connections)
        }
        return rotated.enumerated().sorted { left, right in
            let (a, b) = (rank(left.element), rank(right.element))
            return (a.0, a.1, left.offset) < (b.0, b.1, right.offset)
        }.map(\.element)
    }

    package mutating func opened(_ backend: Backend) { rows[backend]?.connections += 1 }

    package mutating func closed(_ backend: Backend) {
        if let count = rows[backend]?.connections, count > 0 { rows[backend]?.connections = count - 1 }
    }

    /// True when the backend was not failed before: its connections should be closed.
    package mutating func failed(_ backend: Backend) -> Bool {
        guard let old = rows[backend]?.state else { return false }
        rows[backend]?.state = .failed
        rows[backend]?.successes = 0
        return old != .failed
    }

    package mutating func succeeded(_ backend: Backend) {
        guard let row = rows[backend], row.state != .active else { return }
        rows[backend]?.successes += 1
        rows[backend]?.state = row.successes + 1 >= Self.recoveryProbes ? .active : .recovering
    }
}
