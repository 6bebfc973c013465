// POST to subresources that do something to their parent: binding, eviction, and those that policy answers (tokens, reviews).
import API
import KVCore

extension ResourceStore {
    /// What a POST to a subresource of `call.name` answers.
    func post(_ call: WriteCall, subresource: String, _ object: JSON) async throws(StatusError) -> WriteOutcome {
        switch (call.gvr.group, call.gvr.resource, subresource) {
        case ("", "pods", "binding"): return try await bind(call, object)
        case ("", "pods", "eviction"): return try await evict(call, object)
        default: return try await postVirtual(call, object)
        }
    }

    /// Reviews and tokens: answered from memory, confirmed by ReadIndex when refused.
    func postVirtual(_ call: WriteCall, _ object: JSON) async throws(StatusError) -> WriteOutcome {
        try await commit(nil) { (view) throws(StatusError) in
            let reader = reader(view)
            var parent: JSON?
            if !call.subresource.isEmpty {
                parent = reader.get(call.gvr, namespace: call.namespace, name: call.name)
                if parent == nil { throw Status.notFound(call.gvr, call.name) }
            }
            guard let answer = try policy.virtual.create(call.attributes, object, parent: parent, reader: reader, now: now()) else {
                throw Status.methodNotAllowed()
            }
            return .answer(WriteOutcome(object: answer, warnings: call.warnings, isCreated: true))
        }
    }

    private func bind(_ call: WriteCall, _ binding: JSON) async throws(StatusError) -> WriteOutcome {
        let node = binding["target", "name"]?.string ?? ""
        if node.isEmpty {
            let kind = GroupVersionKind("", "v1", "Binding")
            throw Status.invalid(kind, call.name, [StatusCause(reason: "FieldValueRequired", message: "Required value", field: "target.name")])
        }
        if !binding.name.isEmpty && binding.name != call.name {
            throw Status.badRequest("name in URL does not match name in Binding object")
        }
        let target = call
        _ = try await update(call) { (stored) throws(StatusError) in
            guard let pod = stored else { throw Status.notFound(target.gvr, target.name) }
            return try Self.bound(pod, to: node, binding, target)
        }
        return WriteOutcome(object: Status.created(), isCreated: true)
    }

    private static func bound(_ stored: JSON, to node: String, _ binding: JSON, _ call: WriteCall) throws(StatusError) -> JSON {
        let shown = GroupVersionResource("", "v1", "pods/binding")
        if stored.isBeingDeleted { throw Status.conflict(shown, call.name, "pod \(call.name) is being deleted, cannot be assigned to a host") }
        if let existing = stored["spec", "nodeName"]?.string, !existing.isEmpty {
            throw Status.conflict(shown, call.name, "pod \(call.name) is already assigned to node \(Go.quote(existing))")
        }
        if !(stored["spec", "schedulingGates"]?.elements.isEmpty ?? true) {
            throw Status.conflict(shown, call.name, "pod \(call.name) has non-empty .spec.schedulingGates")
        }
        let uid = binding.uid
        if !uid.isEmpty && uid != stored.uid {
            throw Status.conflict(
                shown, call.name, "Precondition failed: UID in precondition: \(uid), UID in object meta: \(stored.uid)")
        }
        var pod = stored
        pod["spec", "nodeName"] = .string(node)
        for (key, value) in binding.annotations { pod["metadata", "annotations", key] = .string(value) }
        var conditions = (pod["status", "conditions"]?.elements ?? []).filter { $0["type"]?.string != "PodScheduled" }
        conditions.append(["type": "PodScheduled", "status": "True", "lastProbeTime": nil, "lastTransitionTime": .string(Timestamp.text(Timestamp.nowSeconds()))])
        pod["status", "conditions"] = .array(conditions)
        return pod
    }

    /// Without disruption budgets an eviction is a delete.
    private func evict(_ call: WriteCall, _ eviction: JSON) async throws(StatusError) -> WriteOutcome {
        if !eviction.name.isEmpty && eviction.name != call.name {
            throw Status.badRequest("name in URL does not match name in Eviction object")
        }
        var removal = try Removal(eviction["deleteOptions"] ?? [:])
        removal.isDryRun = removal.isDryRun || call.isDryRun
        var deletion = call
        deletion.subresource = ""
        deletion.isDryRun = removal.isDryRun
        _ = try await delete(deletion, removal)
        return WriteOutcome(object: Status.created(), isCreated: true)
    }
}
