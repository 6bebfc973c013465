// `priorityClassName` becomes a number; without one the global default, or zero.
import API

struct PodPriority: AdmissionPlugin {
    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.isCore("pods") else { return }
        if write.operation == .update, let old = write.old {
            for member in ["priority", "preemptionPolicy"] where write.object["spec", member] == nil {
                write.object["spec", member] = old["spec", member]
            }
        }
        guard write.operation == .create else { return }
        let named = write.object["spec", "priorityClassName"]?.string ?? ""
        let chosen = named.isEmpty ? Self.fallback(reader) : reader.get(.priorityClasses, namespace: nil, name: named)
        if !named.isEmpty && chosen == nil && PriorityClassKind.system[named] == nil {
            throw write.forbidden("no PriorityClass with name \(named) was found")
        }
        let value = chosen?["value"]?.int ?? PriorityClassKind.system[named] ?? 0
        if named.isEmpty, let chosen { write.object["spec", "priorityClassName"] = .string(chosen.name) }
        if let given = write.object["spec", "priority"]?.int, given != value {
            throw write.forbidden(
                "the integer value of priority (\(given)) must not be provided in pod spec; "
                    + "priority admission controller computed \(value) "
                    + "from the given PriorityClass name")
        }
        write.object["spec", "priority"] = .int(value)
        try preemption(&write, chosen)
    }

    private func preemption(_ write: inout WriteRequest, _ chosen: JSON?) throws(StatusError) {
        let policy = chosen?["preemptionPolicy"]?.string ?? "PreemptLowerPriority"
        if let given = write.object["spec", "preemptionPolicy"]?.string, given != policy {
            throw write.forbidden(
                "the string value of PreemptionPolicy (\(given)) must not be provided in pod spec; "
                    + "priority admission controller computed \(policy) "
                    + "from the given PriorityClass name")
        }
        write.object["spec", "preemptionPolicy"] = .string(policy)
    }

    /// The class that marks itself as the default; of several the lowest.
    private static func fallback(_ reader: any ObjectReader) -> JSON? {
        reader.list(.priorityClasses, namespace: nil).filter { $0["globalDefault"]?.bool == true }
            .min { ($0["value"]?.int ?? 0) < ($1["value"]?.int ?? 0) }
    }

    /// Only one class may be the default.
    func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.attributes.group == "scheduling.k8s.io", write.attributes.resource == "priorityclasses",
            write.operation != .delete,
            write.object["globalDefault"]?.bool == true,
            let other = reader.list(.priorityClasses, namespace: nil).first(where: {
                $0["globalDefault"]?.bool == true && $0.name != write.object.name
            })
        else { return }
        throw write.forbidden(
            "PriorityClass \(other.name) is already marked as default. Only one default can exist")
    }
}

/// A pod that names a RuntimeClass gets its overhead; an unknown class is refused.
struct RuntimeClassAdmission: AdmissionPlugin {
    private static let resource = GroupVersionResource("node.k8s.io", "v1", "runtimeclasses")

    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.isCore("pods"), write.operation == .create,
            let name = write.object["spec", "runtimeClassName"]?.string, !name.isEmpty
        else { return }
        guard let found = reader.get(Self.resource, namespace: nil, name: name) else {
            throw write.forbidden("pod rejected: RuntimeClass \(Go.quote(name)) not found")
        }
        if let overhead = found["overhead", "podFixed"] { write.object["spec", "overhead"] = overhead }
    }
}
