// pods/log, exec, attach, portforward: found in the store, served by the pod's kubelet.
import API
import KVCore
import NIOCore
import NetHTTP

extension APIServer {
    func respondKubelet(_ exchange: Exchange, _ subresource: String) {
        run(exchange) { [self] () throws(StatusError) in
            let read = try await objects.store.read(.linearizable)
            let reader = objects.reader(read.view)
            guard let pod = reader.get(.pods, namespace: exchange.path.scope, name: exchange.path.name) else {
                throw Status.notFound(.pods, exchange.path.name)
            }
            let node = pod["spec", "nodeName"]?.string ?? ""
            if subresource == "log" {
                try await respondLog(
                    exchange, pod, node: reader.get(.nodes, namespace: nil, name: node), nodeName: node)
            } else {
                try await respondStream(
                    exchange, subresource, pod, node: reader.get(.nodes, namespace: nil, name: node), nodeName: node)
            }
        }
    }

    private func target(
        _ exchange: Exchange, _ pod: JSON, _ node: JSON?, _ nodeName: String
    ) throws(StatusError) -> (
        KubeletDialer, HTTPEndpoint
    ) {
        guard let kubelets else { throw Status.serviceUnavailable("this master has no access to kubelets") }
        guard let node, let endpoint = PodTarget.endpoint(of: node, defaultPort: kubelets.defaultPort) else {
            throw Status.failure("", "no preferred addresses found; known addresses: []", code: 500)
        }
        return (kubelets, endpoint)
    }

    private func respondLog(_ exchange: Exchange, _ pod: JSON, node: JSON?, nodeName: String) async throws(StatusError)
    {
        try LogOptions.check(exchange)
        let container = try PodTarget.container(of: pod, wanted: exchange.query("container"))
        if nodeName.isEmpty { return exchange.empty(204) }
        let (dialer, endpoint) = try target(exchange, pod, node, nodeName)
        let path =
            "/containerLogs/\(percentEncode(pod.namespace))/\(percentEncode(pod.name))/\(percentEncode(container))"
        try await dialer.relay(exchange, endpoint, path + LogOptions.query(exchange))
    }

    private func respondStream(
        _ exchange: Exchange, _ subresource: String, _ pod: JSON, node: JSON?, nodeName: String
    ) async throws(StatusError) {
        var path =
            "/\(subresource == "portforward" ? "portForward" : subresource)/\(percentEncode(pod.namespace))/\(percentEncode(pod.name))"
        if subresource != "portforward" {
            path += "/\(percentEncode(try PodTarget.container(of: pod, wanted: exchange.query("container"))))"
        }
        if nodeName.isEmpty { throw Status.badRequest("pod \(pod.name) does not have a host assigned") }
        guard let upgrade = exchange.request.isUpgrade, ["websocket", "spdy/3.1"].contains(upgrade) else {
            throw Status.badRequest("Upgrade request required")
        }
        let (dialer, endpoint) = try target(exchange, pod, node, nodeName)
        let names = [
            "stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty", "command": "command",
            "ports": "port"
        ]
        var pairs: [String] = []
        for (name, value) in exchange.request.query {
            guard let kubeletName = names[name] else { continue }
            let isFlag = name != "command" && name != "ports"
            pairs.append("\(kubeletName)=\(percentEncode(isFlag ? (Parameter.bool(value) ? "1" : "0") : value))")
        }
        try await dialer.splice(exchange, endpoint, pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&"))
    }
}

/// The query of a log.
enum LogOptions {
    private static let passed = [
        "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"
    ]

    static func check(_ exchange: Exchange) throws(StatusError) {
        let name = exchange.path.name
        func invalid(_ reason: String, _ message: String, _ field: String) -> StatusError {
            Status.invalid(
                GroupVersionKind("", "v1", "PodLogOptions"), name,
                [StatusCause(reason: reason, message: message, field: field)])
        }
        if exchange.query("sinceSeconds") != nil && exchange.query("sinceTime") != nil {
            throw invalid(
                "FieldValueForbidden", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified", "[]")
        }
        for field in ["tailLines", "sinceSeconds", "limitBytes"] {
            guard let value = try Parameter.integer(exchange.query(field)) else { continue }
            let least = field == "tailLines" ? 0 : 1
            if value < least {
                throw invalid(
                    "FieldValueInvalid",
                    "Invalid value: \(value): must be greater than \(least == 0 ? "or equal to 0" : "0")", field)
            }
        }
    }

    static func query(_ exchange: Exchange) -> String {
        let pairs = exchange.request.query.filter { passed.contains($0.name) }.map {
            "\($0.name)=\(percentEncode($0.value))"
        }
        return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
    }
}
