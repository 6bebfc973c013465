// POST to subresources that do something to their parent: binding, eviction, and those that policy answers (tokens,
// reviews).
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
            guard
                let answer = try policy.virtual.create(
                    call.attributes, object, parent: parent, reader: reader, now: now())
            else {
                throw Status.methodNotAllowed()
            }
            return .answer(WriteOutcome(object: answer, warnings: call.warnings, isCreated: true))
        }
    }

    private func bind(_ call: WriteCall, _ binding: JSON) async throws(StatusError) -> WriteOutcome {
        if !binding.name.isEmpty && binding.name != call.name {
            throw Status.badRequest("name in URL does not match name in Binding object")
        }
        let target = call
        let now = now()
        _ = try await update(call) { (stored) throws(StatusError) in
            guard let pod = stored else { throw Status.notFound(target.gvr, target.name) }
            return try PodBinding.bound(pod, by: binding, now: now)
        }
        return WriteOutcome(object: Status.created(), isCreated: true)
    }

    /// The pod says why it goes, unless it never ran or goes already.
    private func markDisrupted(_ call: WriteCall) async throws(StatusError) {
        guard let pod = reader().get(call.gvr, namespace: call.namespace, name: call.name),
            !PodEviction.needsNoMark(pod)
        else { return }
        let now = now()
        _ = try await update(call) { (stored) throws(StatusError) in
            guard let pod = stored else { throw Status.notFound(call.gvr, call.name) }
            return PodEviction.marked(pod, now: now)
        }
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
        if !removal.isDryRun { try await markDisrupted(call) }
        _ = try await delete(deletion, removal)
        return WriteOutcome(object: Status.created(), isCreated: true)
    }
}
