// The text that Prometheus reads.
import NetHTTP
import Testing

struct MetricsTests {
    @Test func `counters, gauges and histograms are rendered in order with escaped labels`() {
        let registry = MetricsRegistry()
        let requests = registry.counter("b_requests_total", help: "Requests.", labels: ["verb", "code"])
        requests.add(1, ["GET", "200"])
        requests.add(2, ["GET", "2\"0\\0\n"])
        requests.add(1, ["too few"])
        let leader = registry.gauge("a_has_leader", help: "Whether.")
        leader.set(1)
        let seconds = registry.histogram("c_seconds", help: "Time.", labels: ["verb"], buckets: [0.1, 1])
        for value in [0.05, 0.5, 0.5, 7] { seconds.observe(value, ["LIST"]) }
        #expect(registry.counter("b_requests_total", help: "", labels: []) === requests)
        #expect(
            registry.render() == """
                # HELP a_has_leader Whether.
                # TYPE a_has_leader gauge
                a_has_leader 1
                # HELP b_requests_total Requests.
                # TYPE b_requests_total counter
                b_requests_total{verb="GET",code="2\\"0\\\\0\\n"} 2
                b_requests_total{verb="GET",code="200"} 1
                # HELP c_seconds Time.
                # TYPE c_seconds histogram
                c_seconds_bucket{verb="LIST",le="0.1"} 1
                c_seconds_bucket{verb="LIST",le="1"} 3
                c_seconds_bucket{verb="LIST",le="+Inf"} 4
                c_seconds_sum{verb="LIST"} 8.05
                c_seconds_count{verb="LIST"} 4

                """)
    }
}
