// What the API server counts, under upstream's names. Cheap enough for every request; knows nothing of what is served.
import API
import Glibc
import NetHTTP
import NIOCore
import Synchronization

/// Counts requests and times; bounds how many are under way.
package final class ServerMetrics: Sendable {
    package let registry: MetricsRegistry
    let requests: MetricFamily
    let durations: MetricFamily
    let responseSizes: MetricFamily
    let longRunning: MetricFamily
    let inFlight: MetricFamily
    let storageObjects: MetricFamily
    let watchEvents: MetricFamily

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        requests = registry.counter(
            "apiserver_request_total", help: "Requests by verb, group, version, resource, scope and code.",
            labels: ["code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"])
        durations = registry.histogram(
            "apiserver_request_duration_seconds", help: "Seconds from a request to its answer.",
            labels: ["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
            buckets: [
                0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60
            ])
        responseSizes = registry.histogram(
            "apiserver_response_sizes", help: "Bytes of answers.",
            labels: ["component", "group", "resource", "scope", "subresource", "verb", "version"],
            buckets: [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
        longRunning = registry.gauge(
            "apiserver_longrunning_requests", help: "Watches, logs, execs under way.",
            labels: ["component", "group", "resource", "scope", "subresource", "verb", "version"])
        inFlight = registry.gauge(
            "apiserver_current_inflight_requests", help: "Requests under way.", labels: ["request_kind"])
        storageObjects = registry.gauge(
            "apiserver_storage_objects", help: "Stored objects by resource.", labels: ["resource"])
        watchEvents = registry.counter(
            "apiserver_watch_events_total", help: "Watch events sent.", labels: ["group", "resource", "version"])
        ProcessMetrics.register(registry)
    }
}

/// Watches one request until its answer.
final class RequestObserver: Sendable {
    private let metrics: ServerMetrics
    private let started = ContinuousClock.now
    private let onAnswer: @Sendable () -> Void
    private let isAnswered = Atomic<Bool>(false)

    init(_ metrics: ServerMetrics, onAnswer: @escaping @Sendable () -> Void) {
        self.metrics = metrics
        self.onAnswer = onAnswer
    }

    func answered(_ exchange: Exchange, status: Int, bytes: Int) {
        guard !isAnswered.exchange(true, ordering: .relaxed) else { return }
        onAnswer()
        let labels = Labels(exchange)
        let dry = exchange.query("dryRun") ?? ""
        metrics.requests.add(
            1,
            [
                "\(status)", "apiserver", dry, labels.group, labels.resource, labels.scope, labels.subresource,
                labels.verb, labels.version
            ])
        let elapsed = (ContinuousClock.now - started) / Duration.seconds(1)
        metrics.durations.observe(
            elapsed,
            [
                "apiserver", dry, labels.group, labels.resource, labels.scope, labels.subresource, labels.verb,
                labels.version
            ])
        if bytes > 0 { metrics.responseSizes.observe(Double(bytes), labels.list) }
    }

    /// The client went away before it was answered.
    func answeredWithoutHead() {
        guard !isAnswered.exchange(true, ordering: .relaxed) else { return }
        onAnswer()
    }

    /// A stream began: it counts as under way until `ended`.
    func streams(_ exchange: Exchange) -> @Sendable () -> Void {
        let labels = Labels(exchange).list
        let metrics = metrics
        metrics.longRunning.add(1, labels)
        answered(exchange, status: 200, bytes: 0)
        return { metrics.longRunning.add(-1, labels) }
    }

    struct Labels {
        var group = ""
        var resource = ""
        var scope = ""
        var subresource = ""
        var verb: String
        var version = ""
        var list: [String] { ["apiserver", group, resource, scope, subresource, verb, version] }

        /// Only names that the schema knows become labels, so that hostile paths do not grow the registry.
        init(_ exchange: Exchange) {
            let attributes = exchange.attributes
            verb = attributes.verb.uppercased()
            if verb.utf8.count > 20 { verb = "OTHER" }
            guard attributes.isResourceRequest,
                exchange.renderer.schema.resource(
                    GroupVersionResource(attributes.group, attributes.version, attributes.resource))?.subresourceNames
                    .contains(attributes.subresource) ?? false
            else { return }
            group = attributes.group
            resource = attributes.resource
            subresource = attributes.subresource
            version = attributes.version
            scope = !attributes.name.isEmpty ? "resource" : !attributes.namespace.isEmpty ? "namespace" : "cluster"
        }
    }
}
