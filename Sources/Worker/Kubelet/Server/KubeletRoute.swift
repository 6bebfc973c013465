// Which of the kubelet's endpoints a request means, and what right it needs: a subresource of `nodes`. Pure.
// It exists so that the service reads as a table and the rights stand in one place. It must never let an unknown path
// mean something.
import NetHTTP

package enum KubeletRoute: Sendable, Equatable {
    case health
    case pods
    case runningPods
    case metrics
    case resourceMetrics
    case probeMetrics
    case cadvisorMetrics
    case statsSummary
    case configz
    case logs(namespace: String, pod: String, container: String)
    case run(namespace: String, pod: String, container: String)
    case exec(namespace: String, pod: String, container: String)
    case attach(namespace: String, pod: String, container: String)
    case portForward(namespace: String, pod: String)
    case connect(target: String)

    /// nil: there is nothing under this path.
    package init?(_ request: HTTPRequest) {
        if request.method == "CONNECT" {
            self = .connect(target: request.target)
            return
        }
        let parts = request.path.split(separator: "/").map(String.init)
        switch parts.first {
        case "healthz": self = .health
        case "pods" where parts.count == 1: self = .pods
        case "runningpods" where parts.count == 1: self = .runningPods
        case "configz": self = .configz
        case "metrics":
            guard let route = Self.metrics(parts) else { return nil }
            self = route
        case "stats" where parts.count == 2 && parts[1] == "summary": self = .statsSummary
        default:
            guard let route = Self.container(parts) else { return nil }
            self = route
        }
    }

    private static func metrics(_ parts: [String]) -> KubeletRoute? {
        guard parts.count == 2 else { return parts.count == 1 ? .metrics : nil }
        return ["resource": .resourceMetrics, "probes": .probeMetrics, "cadvisor": .cadvisorMetrics][parts[1]]
    }

    /// `/exec/{namespace}/{pod}/{container}`, where a uid may stand before the container.
    private static func container(_ parts: [String]) -> KubeletRoute? {
        if parts.first == "portForward", parts.count == 3 || parts.count == 4 {
            return .portForward(namespace: parts[1], pod: parts[2])
        }
        guard parts.count == 4 || parts.count == 5, let container = parts.last else { return nil }
        switch parts[0] {
        case "containerLogs": return .logs(namespace: parts[1], pod: parts[2], container: container)
        case "run": return .run(namespace: parts[1], pod: parts[2], container: container)
        case "exec": return .exec(namespace: parts[1], pod: parts[2], container: container)
        case "attach": return .attach(namespace: parts[1], pod: parts[2], container: container)
        default: return nil
        }
    }

    /// The subresource of `nodes` that the caller must be allowed to use.
    package var subresource: String {
        switch self {
        case .metrics, .resourceMetrics, .probeMetrics, .cadvisorMetrics: "metrics"
        case .statsSummary: "stats"
        default: "proxy"
        }
    }

    package static func verb(_ method: String) -> String {
        switch method {
        case "POST", "CONNECT": "create"
        case "PUT": "update"
        case "PATCH": "patch"
        case "DELETE": "delete"
        default: "get"
        }
    }
}
