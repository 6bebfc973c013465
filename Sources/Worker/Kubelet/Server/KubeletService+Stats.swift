// What containers and the node use: `/metrics/resource` (what metrics-server scrapes) and `/stats/summary`.
// The runtime gives the containers' figures, /proc the node's. It must never invent a figure: what is not
// known is left out.
import API
import NetHTTP

extension KubeletService {
    private struct Usage {
        var pod: PodSpec
        var container: String
        var stats: ContainerStats
        var startedAt: Nanoseconds
    }

    /// Figures of this node's running containers, ordered by pod and container.
    private func usages() async throws(RuntimeError) -> [Usage] {
        let stats = Dictionary(
            try await executor.runtime.containerStats().map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        let lives = await loop.ask { pods in pods.uids.compactMap { pods.life($0) } } ?? []
        return lives.flatMap { life in
            life.containers.compactMap { container in
                guard container.isRunning, let status = container.current?.status, let found = stats[status.id] else {
                    return nil
                }
                return Usage(pod: life.spec, container: container.spec.name, stats: found, startedAt: status.startedAt)
            }
        }
    }

    func serveResourceMetrics(_ response: HTTPResponseWriter) async {
        do throws(RuntimeError) {
            let usages = try await usages()
            response.text(
                200, Self.exposition(usages.map { ($0.pod, $0.container, $0.stats, $0.startedAt) }, NodeUsage.read()),
                contentType: MetricsRegistry.contentType)
        } catch {
            response.text(
                200,
                "# TYPE scrape_error gauge\nscrape_error 1\n",
                contentType: MetricsRegistry.contentType)
        }
    }

    private static func exposition(
        _ usages: [(PodSpec, String, ContainerStats, Nanoseconds)], _ node: NodeUsage
    )
        -> String
    {
        func seconds(_ time: Nanoseconds) -> String {
            "\(time / .second).\(String(time % .second / 1_000_000 + 1000).dropFirst())"
        }
        var families: [(name: String, type: String, lines: [String])] = [
            ("container_cpu_usage_seconds_total", "counter", []), ("container_memory_working_set_bytes", "gauge", []),
            ("container_start_time_seconds", "gauge", []), ("pod_cpu_usage_seconds_total", "counter", []),
            ("pod_memory_working_set_bytes", "gauge", [])
        ]
        var pods: [String: (labels: String, cpu: Int64, memory: Int64, at: Int64)] = [:]
        for (pod, container, stats, startedAt) in usages {
            let labels = "namespace=\"\(pod.namespace)\",pod=\"\(pod.name)\""
            let own = "{container=\"\(container)\",\(labels)}"
            families[0].lines.append("\(own) \(seconds(stats.cpuNanoseconds)) \(stats.cpuTimestamp / 1_000_000)")
            families[1].lines.append("\(own) \(stats.workingSetBytes) \(stats.memoryTimestamp / 1_000_000)")
            families[2].lines.append("\(own) \(seconds(startedAt))")
            var sum = pods[pod.uid] ?? ("{\(labels)}", 0, 0, 0)
            sum.cpu &+= stats.cpuNanoseconds
            sum.memory &+= stats.workingSetBytes
            sum.at = max(sum.at, stats.cpuTimestamp)
            pods[pod.uid] = sum
        }
        for (_, sum) in pods.sorted(by: { $0.key < $1.key }) {
            families[3].lines.append("\(sum.labels) \(seconds(sum.cpu)) \(sum.at / 1_000_000)")
            families[4].lines.append("\(sum.labels) \(sum.memory) \(sum.at / 1_000_000)")
        }
        families.append(
            ("node_cpu_usage_seconds_total", "counter", [" \(seconds(node.cpuNanoseconds)) \(node.at / 1_000_000)"]))
        families.append(("node_memory_working_set_bytes", "gauge", [" \(node.workingSetBytes) \(node.at / 1_000_000)"]))
        families.append(("scrape_error", "gauge", [" 0"]))
        return families.map { family in
            "# TYPE \(family.name) \(family.type)\n" + family.lines.map { "\(family.name)\($0)\n" }.joined()
        }.joined()
    }

    func serveSummary(_ response: HTTPResponseWriter) async {
        do throws(RuntimeError) {
            let usages = try await usages()
            let node = NodeUsage.read()
            let pods = Dictionary(grouping: usages) { $0.pod.uid }.sorted { $0.key < $1.key }
            response.json(
                200,
                [
                    "node": [
                        "nodeName": .string(executor.configuration.nodeName),
                        "cpu": Self.cpu(node.cpuNanoseconds, node.at),
                        "memory": Self.memory(node.workingSetBytes, node.at)
                    ],
                    "pods": .array(pods.compactMap { _, list in Self.summary(list) })
                ])
        } catch {
            response.plain(500, error.message)
        }
    }

    private static func cpu(_ nanoseconds: Int64, _ at: Nanoseconds) -> JSON {
        ["time": .string(TimeText.text(at)), "usageCoreNanoSeconds": .int(nanoseconds)]
    }
    private static func memory(_ bytes: Int64, _ at: Nanoseconds) -> JSON {
        ["time": .string(TimeText.text(at)), "workingSetBytes": .int(bytes)]
    }

    private static func summary(_ list: [Usage]) -> JSON? {
        guard let first = list.first else { return nil }
        let containers: [JSON] = list.map { usage in
            [
                "name": .string(usage.container), "startTime": .string(TimeText.text(usage.startedAt)),
                "cpu": cpu(usage.stats.cpuNanoseconds, usage.stats.cpuTimestamp),
                "memory": memory(usage.stats.workingSetBytes, usage.stats.memoryTimestamp),
                "rootfs": ["usedBytes": .int(Int64(clamping: usage.stats.filesystemBytes))]
            ]
        }
        return [
            "podRef": [
                "name": .string(first.pod.name), "namespace": .string(first.pod.namespace),
                "uid": .string(first.pod.uid)
            ],
            "startTime": .string(TimeText.text(list.map(\.startedAt).min() ?? 0)), "containers": .array(containers),
            "cpu": cpu(list.reduce(0) { $0 &+ $1.stats.cpuNanoseconds }, first.stats.cpuTimestamp),
            "memory": memory(list.reduce(0) { $0 &+ $1.stats.workingSetBytes }, first.stats.memoryTimestamp)
        ]
    }
}

/// What the whole machine uses.
struct NodeUsage {
    var at: Nanoseconds
    var cpuNanoseconds: Int64
    var workingSetBytes: Int64

    static func read() -> NodeUsage {
        let fields = MachineFacts.line("/proc/stat").split(separator: " ").dropFirst().compactMap { Int64($0) }
        // user, nice, system, idle, iowait, irq, softirq, steal in hundredths of a second.
        let busy = fields.enumerated().filter { $0.offset != 3 && $0.offset != 4 && $0.offset < 8 }.reduce(Int64(0)) {
            $0 &+ $1.element
        }
        let used = (MachineFacts.memory("MemTotal:") ?? 0) - (MachineFacts.memory("MemAvailable:") ?? 0)
        return NodeUsage(at: Clock.now(), cpuNanoseconds: busy &* 10_000_000, workingSetBytes: max(0, used))
    }
}
