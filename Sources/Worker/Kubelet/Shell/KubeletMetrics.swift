// The kubelet's own figures under upstream's metric names.
import NetHTTP

/// What the loop counts.
package struct KubeletFigures: Sendable, Equatable {
    package var runningPods = 0
    package var containers: [ContainerState: Int] = [:]
    package var startedContainers = 0

    /// Takes in what the runtime shows.
    mutating func count(_ seen: [String: PodSeen]) {
        runningPods = seen.values.filter { $0.sandboxes.contains(where: \.isReady) }.count
        containers = [:]
        for container in seen.values.flatMap(\.containers) { containers[container.status.state, default: 0] += 1 }
    }
}

enum KubeletMetrics {
    static func register(in registry: MetricsRegistry, loop: KubeletLoop, nodeName: String) {
        let node = registry.gauge("kubelet_node_name", help: "The node's name.", labels: ["node"])
        node.set(1, [nodeName])
        let pods = registry.gauge("kubelet_running_pods", help: "Pods whose sandbox runs.")
        let containers = registry.gauge(
            "kubelet_running_containers", help: "Containers by state.", labels: ["container_state"])
        let started = registry.gauge("kubelet_started_containers_total", help: "Containers that were started.")
        registry.onCollect {
            let counts = loop.counts
            pods.set(Double(counts.runningPods))
            for (state, name) in [(ContainerState.created, "created"), (.running, "running"), (.exited, "exited")] {
                containers.set(Double(counts.containers[state] ?? 0), [name])
            }
            started.set(Double(counts.startedContainers))
        }
    }
}
