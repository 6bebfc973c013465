// `pods/binding`: what the posted object does to the pod. The machinery reads the pod, calls this and writes what it
// returns in one guarded transaction.
import API

package enum PodBinding {
    private static let resource = GroupVersionResource("", "v1", "pods/binding")

    /// The pod, assigned to the node that the Binding names.
    package static func bound(_ pod: JSON, by binding: JSON, now: Double) throws(StatusError) -> JSON {
        let target = binding["target", "name"]?.string ?? ""
        try check(pod, binding: binding, target: target)
        var pod = pod
        pod["spec", "nodeName"] = .string(target)
        for (key, value) in binding.annotations.sorted(by: { $0.key < $1.key }) {
            pod["metadata", "annotations", key] = .string(value)
        }
        setScheduled(&pod, now: now)
        return pod
    }

    private static func check(_ pod: JSON, binding: JSON, target: String) throws(StatusError) {
        let kind = GroupVersionKind("", "v1", "Binding")
        if target.isEmpty {
            throw Status.invalid(
                kind, pod.name,
                [StatusCause(reason: "FieldValueRequired", message: "Required value", field: "target.name")])
        }
        let targetKind = binding["target", "kind"]?.string ?? ""
        if !targetKind.isEmpty && targetKind != "Node" {
            let message = "Unsupported value: \(Go.quote(targetKind)): supported values: \"Node\", \"<empty>\""
            throw Status.invalid(
                kind, pod.name, [StatusCause(reason: "FieldValueNotSupported", message: message, field: "target.kind")])
        }
        if !binding.uid.isEmpty && binding.uid != pod.uid {
            let text = "Precondition failed: UID in precondition: \(binding.uid), UID in object meta: \(pod.uid)"
            throw Status.conflict(resource, pod.name, text)
        }
        if pod.isBeingDeleted {
            throw Status.conflict(resource, pod.name, "pod \(pod.name) is being deleted, cannot be assigned to a host")
        }
        if let node = pod["spec", "nodeName"]?.string, !node.isEmpty {
            throw Status.conflict(resource, pod.name, "pod \(pod.name) is already assigned to node \(Go.quote(node))")
        }
        if !(pod["spec", "schedulingGates"]?.elements ?? []).isEmpty {
            throw Status.conflict(resource, pod.name, "pod \(pod.name) has non-empty .spec.schedulingGates")
        }
    }

    private static func setScheduled(_ pod: inout JSON, now: Double) {
        let condition: JSON = [
            "type": "PodScheduled", "status": "True", "lastProbeTime": nil,
            "lastTransitionTime": .string(Timestamp.text(now))
        ]
        var conditions = pod["status", "conditions"]?.elements ?? []
        conditions.removeAll { $0["type"]?.string == "PodScheduled" }
        pod["status", "conditions"] = .array(conditions + [condition])
    }
}
