// Deleting objects, one or many: marked while grace or finalizers hold them, else removed together with what they had
// allocated.
import API
import KVCore

extension ResourceStore {
    /// Deletes one object.
    func delete(_ call: WriteCall, _ removal: Removal) async throws(StatusError) -> WriteOutcome {
        try await commit(call.fence) { (view) throws(StatusError) in try planDelete(call, removal, view) }
    }

    private func planDelete(_ call: WriteCall, _ removal: Removal, _ view: KVView) throws(StatusError) -> WritePlan {
        guard let kv = view.get(call.key),
            let stored = StoredObject(kv.value, revision: kv.modRevision)?.tree(call.resource.kind)
        else {
            throw Status.notFound(call.gvr, call.name)
        }
        try removal.checkPreconditions(stored, call.resource.kind)
        let behavior = behavior(call)
        var write = WriteRequest(
            operation: .delete, attributes: call.attributes, kind: call.resource.kind, object: .null, old: stored,
            isDryRun: call.isDryRun, now: now())
        let reader = reader(view)
        try policy.admission.admit(&write, reader: reader)
        try policy.admission.validate(write, reader: reader)
        let decision = removal.decide(
            stored, grace: behavior.graceSeconds(stored, requested: removal.gracePeriodSeconds),
            defaultPropagation: behavior.defaultPropagation,
            now: write.now)
        return plan(call, decision, kv, write, behavior, view)
    }

    private func plan(
        _ call: WriteCall, _ decision: RemovalDecision, _ kv: KeyValue, _ write: WriteRequest,
        _ behavior: any KindBehavior, _ view: KVView
    ) -> WritePlan {
        let guards: [Compare] = [.modRevision(of: call.key, is: kv.modRevision)] + write.guards
        switch decision {
        case .unchanged(let object): return .answer(WriteOutcome(object: object, warnings: write.warnings))
        case .remove(let object):
            var outcome = WriteOutcome.of(object, call.resource.kind, write.warnings)
            outcome.isRemoved = true
            if call.isDryRun { return .answer(outcome.unstamped(kv.modRevision)) }
            let ops: [Op] = [.delete(call.key)] + behavior.release(object, view: view) + write.effects
            return WritePlan(txn: Txn(compares: guards, success: ops), outcome: outcome)
        case .keep(let object):
            let outcome = WriteOutcome.of(object, call.resource.kind, write.warnings)
            if call.isDryRun { return .answer(outcome.unstamped(kv.modRevision)) }
            let ops: [Op] = [.put(call.key, StoredObject.encode(outcome.object))] + write.effects
            return WritePlan(txn: Txn(compares: guards, success: ops), outcome: outcome)
        }
    }

    /// Deletes all objects that match, one after the other; those already gone do not matter. Answers with what it
    /// found.
    func deleteCollection(
        _ call: WriteCall, _ filter: ObjectFilter, _ removal: Removal
    ) async throws(StatusError) -> (items: [JSON], revision: Revision) {
        let read = try await store.read(.linearizable)
        var items: [JSON] = []
        for found in ListScan(read.view, call.resource, call.namespace, filter).objects() {
            var one = call
            one.name = found.name
            one.namespace = call.resource.isNamespaced ? found.namespace : nil
            do { _ = try await delete(one, removal) } catch {
                if !error.isNotFound { throw error }
            }
            items.append(found.tree(call.resource.kind))
        }
        return (items, read.view.revision)
    }
}
