// Taints of nodes and the tolerations of pods that answer them; used by the scheduler, the eviction of pods and daemon
// sets.

/// A taint of a node.
package struct Taint: Sendable, Hashable {
    package var key: String
    package var value: String
    package var effect: String

    package init(key: String, value: String = "", effect: String) {
        self.key = key
        self.value = value
        self.effect = effect
    }

    package init(_ tree: JSON) {
        self.init(
            key: tree["key"]?.string ?? "", value: tree["value"]?.string ?? "", effect: tree["effect"]?.string ?? "")
    }
}

/// A toleration of a pod.
package struct Toleration: Sendable, Hashable {
    package var key: String
    package var operation: String
    package var value: String
    package var effect: String

    package init(_ tree: JSON) {
        key = tree["key"]?.string ?? ""
        operation = tree["operator"]?.string ?? "Equal"
        value = tree["value"]?.string ?? ""
        effect = tree["effect"]?.string ?? ""
    }

    package func tolerates(_ taint: Taint) -> Bool {
        guard effect.isEmpty || effect == taint.effect else { return false }
        guard key.isEmpty ? operation == "Exists" : key == taint.key else { return false }
        return operation == "Exists" || value == taint.value
    }
}
