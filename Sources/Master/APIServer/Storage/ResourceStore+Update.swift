// Replacing and patching objects: one path, since a patch is a replacement whose new object is made from the stored
// one. An update that changes nothing is not written, so that it wakes no watcher.
import API
import KVCore

/// Makes the new object out of the stored one (nil: absent). Throws a refusal.
typealias Transformation = @Sendable (_ stored: JSON?) throws(StatusError) -> JSON

extension ResourceStore {
    /// Replaces the object (or a subresource of it) by what `transform` makes.
    func update(_ given: WriteCall, _ transform: @escaping Transformation) async throws(StatusError) -> WriteOutcome {
        let call = await leased(given)
        return try await commit(call.fence) { (view) throws(StatusError) in
            guard let kv = view.get(call.key),
                let old = StoredObject(kv.value, revision: kv.modRevision)?.tree(call.resource.kind)
            else {
                return try planUpsert(call, transform, view)
            }
            return try planUpdate(call, old: old, kv: kv, try transform(old), view)
        }
    }

    /// PUT of an absent object: a few kinds are created by it.
    private func planUpsert(
        _ call: WriteCall, _ transform: Transformation, _ view: KVView
    ) throws(StatusError)
        -> WritePlan
    {
        guard call.subresource.isEmpty, call.attributes.verb == "update", behavior(call).createsOnUpdate else {
            throw Status.notFound(call.gvr, call.name)
        }
        var object = try transform(nil)
        if let version = object["metadata", "resourceVersion"]?.string, !version.isEmpty, version != "0" {
            throw Status.notFound(call.gvr, call.name)
        }
        object["metadata", "name"] = .string(call.name)
        return try planUpsertCreate(call, object, view)
    }

    func planUpdate(
        _ call: WriteCall, old: JSON, kv: KeyValue, _ given: JSON, _ view: KVView
    )
        throws(StatusError) -> WritePlan
    {
        let behavior = behavior(call)
        try checkLock(call, old: old, given, behavior)
        let reader = reader(view)
        var write = WriteRequest(
            operation: .update, attributes: call.attributes, kind: call.resource.kind,
            object: Self.keepingSystemFields(given, of: old), old: old,
            isDryRun: call.isDryRun, now: now())
        write.fieldManager = call.fieldManager
        write.warnings = call.warnings
        // A binding or an eviction changes what no client may: made by us out of the stored object.
        let isOurs = ["binding", "eviction"].contains(call.subresource)
        if !isOurs { behavior.prepareForUpdate(&write, subresource: call.subresource) }
        try policy.admission.admit(&write, reader: reader)
        if !isOurs {
            try refuse(
                behavior.validateUpdate(write, subresource: call.subresource) + Self.finalizerErrors(write), call, write
            )
        }
        try policy.admission.validate(write, reader: reader)
        try behavior.allocate(&write, reader: reader, view: view)
        write.warnings += behavior.warnings(write)
        let owners = owners(after: call, from: old, to: given)
        return planSave(call, old: old, kv: kv, write, owners, behavior, view)
    }

    private func planSave(
        _ call: WriteCall, old: JSON, kv: KeyValue, _ write: WriteRequest, _ owners: ManagedFields?,
        _ behavior: any KindBehavior, _ view: KVView
    ) -> WritePlan {
        var outcome = WriteOutcome.of(write.object, call.resource.kind, write.warnings)
        outcome.object["metadata", "managedFields"] = owners?.tree
        let object = outcome.object
        if call.isDryRun {
            outcome.object["metadata", "resourceVersion"] = .string(old.resourceVersion)
            return .answer(outcome)
        }
        let guards: [Compare] = [.modRevision(of: call.key, is: kv.modRevision)] + write.guards
        if old.isBeingDeleted && Removal.isFree(object) && Removal.graceIsOver(object) {
            outcome.isRemoved = true
            return WritePlan(
                txn: Txn(
                    compares: guards,
                    success: [.delete(call.key)] + behavior.release(object, view: view) + write.effects),
                outcome: outcome)
        }
        let value = StoredObject.encode(object)
        if value == kv.value && write.effects.isEmpty {
            outcome.object["metadata", "resourceVersion"] = .string(old.resourceVersion)
            return .answer(outcome)
        }
        return WritePlan(
            txn: Txn(compares: guards, success: [.put(call.key, value, lease: call.lease)] + write.effects),
            outcome: outcome)
    }
}

/// The pure rules.
extension ResourceStore {
    private func checkLock(_ call: WriteCall, old: JSON, _ new: JSON, _ behavior: any KindBehavior) throws(StatusError)
    {
        let uid = new.uid
        if !uid.isEmpty && uid != old.uid {
            let key = "/registry/\(call.gvr.resource)/\(call.namespace.map { $0 + "/" } ?? "")\(call.name)"
            throw Status.conflict(
                call.gvr, call.name,
                "StorageError: invalid object, Code: 4, Key: \(key), ResourceVersion: 0, AdditionalErrorMsg: "
                    + "Precondition failed: UID in precondition: \(uid), UID in object meta: \(old.uid)")
        }
        let version = new.resourceVersion
        if version.isEmpty || version == "0" {
            if behavior.allowsUnconditionalUpdate || !call.subresource.isEmpty { return }
            let cause = StatusCause(
                reason: "FieldValueInvalid", message: "Invalid value: 0: must be specified for an update",
                field: "metadata.resourceVersion")
            throw Status.invalid(call.resource.kind, call.name, [cause])
        }
        if version != old.resourceVersion { throw Status.conflict(call.gvr, call.name) }
    }

    /// What no client may change.
    static func keepingSystemFields(_ given: JSON, of old: JSON) -> JSON {
        var object = given
        for key in [
            "name", "generateName", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
            "deletionGracePeriodSeconds"
        ] {
            object["metadata", key] = old["metadata", key]
        }
        for key in ["selfLink", "managedFields", "resourceVersion"] { object["metadata", key] = nil }
        if object["metadata", "generation"] == nil { object["metadata", "generation"] = old["metadata", "generation"] }
        return object
    }

    static func finalizerErrors(_ write: WriteRequest) -> [FieldError] {
        guard let old = write.old, old.isBeingDeleted else { return [] }
        let added = write.object.finalizers.filter { !old.finalizers.contains($0) }
        if added.isEmpty { return [] }
        let list = added.map { Go.quote($0) }.joined(separator: ", ")
        let error = FieldError(
            reason: "FieldValueForbidden",
            message:
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\(list)}",
            field: "metadata.finalizers")
        // Upstream finds it twice, and clients see both causes.
        return [error, error]
    }
}
