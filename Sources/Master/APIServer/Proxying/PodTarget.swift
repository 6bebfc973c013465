// Which container of which pod on which kubelet a log, exec or attach goes to; upstream's refusals. Pure: objects in,
// target out.
import API
import NetHTTP

/// Where a stream of a pod goes.
struct PodTarget: Sendable, Hashable {
    var namespace: String
    var pod: String
    var container: String
    var endpoint: HTTPEndpoint

    /// Chooses the container; `wanted` is the client's.
    static func container(of pod: JSON, wanted: String?) throws(StatusError) -> String {
        let names = ["initContainers", "containers", "ephemeralContainers"].flatMap {
            pod["spec", $0]?.elements.compactMap { $0["name"]?.string } ?? []
        }
        if let wanted, !wanted.isEmpty {
            if names.contains(wanted) { return wanted }
            throw Status.badRequest("container \(wanted) is not valid for pod \(pod.name)")
        }
        let main = pod["spec", "containers"]?.elements.compactMap { $0["name"]?.string } ?? []
        if main.count == 1 { return main[0] }
        if let marked = pod.annotations["kubectl.kubernetes.io/default-container"], names.contains(marked) {
            return marked
        }
        let shown = ["initContainers", "containers"].flatMap {
            pod["spec", $0]?.elements.compactMap { $0["name"]?.string } ?? []
        }
        throw Status.badRequest(
            "a container name must be specified for pod \(pod.name), choose one of: [\(shown.joined(separator: " "))]")
    }

    /// The kubelet of a node: its InternalIP (else any address) and the port that it reports.
    static func endpoint(of node: JSON, defaultPort: Int) -> HTTPEndpoint? {
        let addresses = node["status", "addresses"]?.elements ?? []
        let best = ["InternalIP", "ExternalIP", "Hostname"].lazy.compactMap { type in
            addresses.first { $0["type"]?.string == type }?["address"]?.string
        }.first
        guard let best, !best.isEmpty else { return nil }
        let port =
            node["status", "daemonEndpoints", "kubeletEndpoint", "Port"]?.int.flatMap { Int(exactly: $0) }
            ?? defaultPort
        return (1...65535).contains(port) ? HTTPEndpoint(host: best, port: port, isSecure: true) : nil
    }
}
