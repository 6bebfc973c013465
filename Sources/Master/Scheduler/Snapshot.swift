// The cluster as the scheduler sees it: nodes with the pods on them, among these the pods whose binding is still under
// way. A value: a what-if (preemption) is a copy. It knows no queue and no time.

/// A node and what is on it.
package struct NodeState: Sendable {
    package var view: SchedulingNode
    package var pods: [String: SchedulingPod] = [:]
    package var requested = Resources()
    /// Requests for scoring, where a container without any counts as a small one.
    package var scoredCPU: Int64 = 0
    package var scoredMemory: Int64 = 0
    package var ports: [HostPort] = []

    package init(view: SchedulingNode) { self.view = view }

    package mutating func add(_ pod: SchedulingPod) {
        pods[pod.key] = pod
        account(pod, times: 1)
        ports += pod.ports
    }

    package mutating func remove(_ key: String) {
        guard let pod = pods.removeValue(forKey: key) else { return }
        account(pod, times: -1)
        for port in pod.ports {
            if let i = ports.firstIndex(of: port) { ports.remove(at: i) }
        }
    }

    private mutating func account(_ pod: SchedulingPod, times sign: Int64) {
        requested.add(pod.requests, times: sign)
        scoredCPU &+= sign &* pod.scoredCPU
        scoredMemory &+= sign &* pod.scoredMemory
    }
}

extension SchedulingPod {
    /// Requests for scoring: upstream's 100m and 200 MB where nothing is asked for.
    var scoredCPU: Int64 { requests.milliCPU == 0 ? 100 : requests.milliCPU }
    var scoredMemory: Int64 { requests.memory == 0 ? 200 * 1024 * 1024 : requests.memory }
}

/// All nodes by name, and where each pod stands.
package struct Snapshot: Sendable {
    /// In order of their names, so that equal clusters give equal decisions.
    package private(set) var nodes: [NodeState] = []
    package var namespaceLabels: [String: [String: String]] = [:]
    private var index: [String: Int] = [:]
    private var places: [String: String] = [:]
    /// Pods on nodes that are not known (yet), by node.
    private var strays: [String: [String: SchedulingPod]] = [:]
    /// Pods on nodes whose constraints concern other pods, by key.
    package private(set) var concerned: [String: SchedulingPod] = [:]

    package init() {}

    package func node(_ name: String) -> NodeState? { index[name].map { nodes[$0] } }

    /// The node on which a pod stands.
    package func place(of key: String) -> NodeState? { places[key].flatMap(node) }

    /// Adds a node or takes its new state; true when something changed that scheduling looks at.
    package mutating func set(_ view: SchedulingNode) -> Bool {
        if let i = index[view.name] {
            guard nodes[i].view != view else { return false }
            nodes[i].view = view
            return true
        }
        var state = NodeState(view: view)
        for pod in (strays.removeValue(forKey: view.name) ?? [:]).values { state.add(pod) }
        nodes.insert(state, at: nodes.firstIndex { $0.view.name > view.name } ?? nodes.count)
        reindex()
        return true
    }

    package mutating func removeNode(_ name: String) {
        guard let i = index[name] else { return }
        if !nodes[i].pods.isEmpty { strays[name] = nodes[i].pods }
        nodes.remove(at: i)
        reindex()
    }

    /// Puts a pod on a node, taking it from where it was.
    package mutating func put(_ pod: SchedulingPod, on node: String) {
        remove(pod.key)
        places[pod.key] = node
        if pod.constraints?.concernsPods == true { concerned[pod.key] = pod }
        if let i = index[node] { nodes[i].add(pod) } else { strays[node, default: [:]][pod.key] = pod }
    }

    /// Takes a pod away; true when it was there.
    @discardableResult
    package mutating func remove(_ key: String) -> Bool {
        guard let node = places.removeValue(forKey: key) else { return false }
        concerned[key] = nil
        if let i = index[node] {
            nodes[i].remove(key)
        } else {
            strays[node]?[key] = nil
            if strays[node]?.isEmpty == true { strays[node] = nil }
        }
        return true
    }

    private mutating func reindex() {
        index = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1.view.name, $0) })
    }
}
