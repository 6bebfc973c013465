// Creating objects. Order as upstream's: admission, the kind's preparation, validation, validating admission,
// allocation, transaction.
import API
import KVCore

extension ResourceStore {
    /// Retries of a generated name that meets an existing object.
    static let generatedNamesMax = 8

    /// Stores a new object that was decoded and defaulted.
    func create(_ given: WriteCall, _ object: JSON) async throws(StatusError) -> WriteOutcome {
        let call = await leased(given)
        let base = object["metadata", "generateName"]?.string ?? ""
        guard object.name.isEmpty, !base.isEmpty else {
            do { return try await createNamed(call, object) } catch {
                guard error.isAlreadyExists, !base.isEmpty else { throw error }
                throw Status.generateNameConflict(call.gvr, object.name)
            }
        }
        for attempt in 1...Self.generatedNamesMax {
            var named = object
            named["metadata", "name"] = .string(Identity.name(from: base))
            do { return try await createNamed(call, named) } catch {
                guard error.isAlreadyExists else { throw error }
                if attempt == Self.generatedNamesMax { throw Status.generateNameConflict(call.gvr, named.name) }
            }
        }
        throw Status.generateNameConflict(call.gvr, base)
    }

    private func createNamed(_ given: WriteCall, _ object: JSON) async throws(StatusError) -> WriteOutcome {
        var call = given
        call.name = object.name
        call.attributes.name = given.attributes.name
        let prepared = stamped(object, call)
        let write = call
        return try await commit(call.fence) { (view) throws(StatusError) in try planCreate(write, prepared, view) }
    }

    /// System metadata of a new object; what clients may not choose is overwritten.
    private func stamped(_ given: JSON, _ call: WriteCall) -> JSON {
        var object = given
        object["metadata", "uid"] = .string(Identity.uid())
        object["metadata", "creationTimestamp"] = .string(Timestamp.text(now()))
        for key in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"] {
            object["metadata", key] = nil
        }
        object["metadata", "namespace"] = call.namespace.map { .string($0) }
        return object
    }

    /// A PUT that creates: as `create`, inside the plan of the update.
    func planUpsertCreate(_ given: WriteCall, _ object: JSON, _ view: KVView) throws(StatusError) -> WritePlan {
        var call = given
        call.attributes.verb = "create"
        return try planCreate(call, stamped(object, call), view)
    }

    private func planCreate(_ call: WriteCall, _ object: JSON, _ view: KVView) throws(StatusError) -> WritePlan {
        let reader = reader(view)
        let behavior = behavior(call)
        var write = WriteRequest(
            operation: .create, attributes: call.attributes, kind: call.resource.kind, object: object, old: nil,
            isDryRun: call.isDryRun, now: now())
        write.fieldManager = call.fieldManager
        write.warnings = call.warnings
        try policy.admission.admit(&write, reader: reader)
        behavior.prepareForCreate(&write)
        try refuse(behavior.validateCreate(write), call, write)
        try policy.admission.validate(write, reader: reader)
        if view.get(call.key) != nil { throw Status.alreadyExists(call.gvr, call.name) }
        try behavior.allocate(&write, reader: reader, view: view)
        write.warnings += behavior.warnings(write)
        var outcome = WriteOutcome.of(write.object, call.resource.kind, write.warnings)
        outcome.object["metadata", "managedFields"] = owners(after: call, from: nil, to: object)?.tree
        outcome.isCreated = true
        if call.isDryRun {
            outcome.object["metadata", "resourceVersion"] = nil
            return .answer(outcome)
        }
        let guards = [.absent(call.key)] + namespaceGuard(call, view) + write.guards
        return WritePlan(
            txn: Txn(
                compares: guards,
                success: [.put(call.key, StoredObject.encode(outcome.object), lease: call.lease)] + write.effects),
            outcome: outcome)
    }

    /// The namespace must be the one that admission saw: not deleted, not terminating since.
    private func namespaceGuard(_ call: WriteCall, _ view: KVView) -> [Compare] {
        guard let namespace = call.namespace else { return [] }
        let key = StoreKey.object(.namespaces, namespace: nil, name: namespace)
        return [.modRevision(of: key, is: view.get(key)?.modRevision ?? .zero)]
    }

    func refuse(_ errors: [FieldError], _ call: WriteCall, _ write: WriteRequest) throws(StatusError) {
        if errors.isEmpty { return }
        let isEvent = write.kind.group == EventConversion.group
        throw Status.invalid(isEvent ? GroupVersionKind("", "v1", write.kind.kind) : write.kind, call.name, errors)
    }
}

extension JSON {
    /// kind, apiVersion, metadata first; metadata in upstream's order.
    func ordered(_ kind: GroupVersionKind) -> JSON {
        var members: [JSONObject.Member] = [
            .init(key: "kind", value: .string(kind.kind)), .init(key: "apiVersion", value: .string(kind.apiVersion))
        ]
        let metadata = self["metadata"]?.object ?? [:]
        var sorted: [JSONObject.Member] = []
        for key in StoredObject.answerOrder {
            if let value = metadata[key], value != .null { sorted.append(.init(key: key, value: value)) }
        }
        members.append(.init(key: "metadata", value: .object(JSONObject(uniqueMembers: sorted))))
        for member in object ?? [:] where !["kind", "apiVersion", "metadata"].contains(member.key) {
            members.append(member)
        }
        return .object(JSONObject(uniqueMembers: members))
    }
}
