// `/healthz`, `/livez`, `/readyz` with `verbose`, `exclude` and a path for each check, in upstream's text.
// Liveness never depends on the other masters: a master without quorum must not be killed for it.
import API
import NIOCore
import NetHTTP

struct HealthChecks: Sendable {
    let store: any ReplicatedStore

    static let live = ["ping", "log", "etcd"]
    static let ready = ["ping", "log", "etcd", "etcd-readiness", "informer-sync", "shutdown"]

    /// Answers `/livez`, `/livez/etcd`, ... ; false when the path is no health path.
    func respond(_ exchange: Exchange, isDraining: Bool) -> Bool {
        let segments = exchange.path.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(
            String.init)
        guard let root = segments.first, ["healthz", "livez", "readyz"].contains(root) else { return false }
        let names = root == "readyz" ? Self.ready : Self.live
        let only = segments.dropFirst().joined(separator: "/")
        if segments.count > 1 && !names.contains(only) {
            exchange.text(404, "404 page not found\n")
            return true
        }
        let excluded = Set(exchange.request.queryAll("exclude"))
        guard root == "readyz" else {
            answer(exchange, root, names, only, excluded, failed: [])
            return true
        }
        store.barrier { outcome in
            var failed: Set<String> = isDraining ? ["shutdown"] : []
            if case .failure = outcome { failed.formUnion(["etcd", "etcd-readiness"]) }
            answer(exchange, root, names, only, excluded, failed: failed)
        }
        return true
    }

    private func answer(
        _ exchange: Exchange, _ root: String, _ names: [String], _ only: String, _ excluded: Set<String>,
        failed: Set<String>
    ) {
        if !only.isEmpty {
            return failed.contains(only)
                ? exchange.text(500, "internal server error: \(only) failed: reason withheld\n")
                : exchange.text(200, "ok")
        }
        let bad = failed.subtracting(excluded)
        var lines = names.map { name in
            if excluded.contains(name) { return "[+]\(name) excluded: ok" }
            return bad.contains(name) ? "[-]\(name) failed: reason withheld" : "[+]\(name) ok"
        }
        let unknown = excluded.subtracting(names).sorted()
        if !unknown.isEmpty {
            lines.append(
                "warn: some health checks cannot be excluded: no matches for \(unknown.map { Go.quote($0) }.joined(separator: ","))"
            )
        }
        let isVerbose = exchange.query("verbose") != nil
        if bad.isEmpty {
            return exchange.text(
                200, isVerbose ? (lines + ["\(root) check passed", ""]).joined(separator: "\n") : "ok")
        }
        exchange.text(500, (lines + ["\(root) check failed", ""]).joined(separator: "\n"))
    }
}
