// Server-side apply of objects, and the owners of fields in ordinary writes. Owners are kept for objects that were
// applied once, or that a client wrote which will want to take its own fields over later: objects that nobody applies
// carry none.
import API
import KVCore

/// A configuration that a client applies.
struct Application: Sendable {
    var config: JSON
    var isForced: Bool
}

extension ResourceStore {
    /// Writes of this manager are the first step of a migration to server-side apply.
    static let clientSideApply = "kubectl-client-side-apply"

    /// Merges a configuration into the object, which is created when it is absent.
    func apply(
        _ call: WriteCall, _ application: Application, _ decoder: BodyDecoder
    ) async throws(StatusError)
        -> WriteOutcome
    {
        if call.subresource == "scale" { throw Status.unsupportedPatchType() }
        let config = try Self.checkedConfig(application.config, call)
        return try await commit(call.fence) { (view) throws(StatusError) in
            var call = call
            guard let kv = view.get(call.key),
                let old = StoredObject(kv.value, revision: kv.modRevision)?.tree(call.resource.kind)
            else {
                return try planApplyCreate(call, config, decoder, view)
            }
            try Self.checkIdentity(config, old, call)
            let result = try apply(config, call, to: old, force: application.isForced)
            let object = try Self.decodePatched(result.object, call.resource.kind, decoder).object
            call.managed = .some(result.managers)
            return try planUpdate(call, old: old, kv: kv, object, view)
        }
    }

    private static func checkedConfig(_ given: JSON, _ call: WriteCall) throws(StatusError) -> JSON {
        var config = given
        let kind = GroupVersionKind(apiVersion: config.apiVersion, kind: config.kind)
        if kind.kind.isEmpty || kind.version.isEmpty {
            throw Status.badRequest("invalid object type: \(kind.group)/\(kind.version), Kind=\(kind.kind)")
        }
        guard kind == call.resource.kind else {
            throw Status.badRequest("\(kind.kind) in version \(Go.quote(kind.version)) is not what this path applies")
        }
        if !(config["metadata", "managedFields"]?.elements ?? []).isEmpty {
            throw Status.badRequest("metadata.managedFields must be nil")
        }
        try checkName(config, call)
        config["metadata", "name"] = .string(call.name)
        return config
    }

    private static func checkIdentity(_ config: JSON, _ old: JSON, _ call: WriteCall) throws(StatusError) {
        let version = config.resourceVersion
        if !version.isEmpty && version != old.resourceVersion { throw Status.conflict(call.gvr, call.name) }
        if !config.uid.isEmpty && config.uid != old.uid {
            throw Status.conflict(
                call.gvr, call.name,
                "uid mismatch: the provided object specified uid \(config.uid), and the existing object has \(old.uid)")
        }
    }

    private func planApplyCreate(
        _ given: WriteCall, _ config: JSON, _ decoder: BodyDecoder, _ view: KVView
    ) throws(StatusError) -> WritePlan {
        guard given.subresource.isEmpty else { throw Status.notFound(given.gvr, given.name) }
        if !config.uid.isEmpty {
            throw Status.conflict(
                given.gvr, given.name,
                "uid mismatch: the provided object specified uid \(config.uid), and no existing object was found")
        }
        var creation = given.attributes
        creation.verb = "create"
        let decision = policy.access.authorize(creation, reader: reader(view))
        if decision.outcome != .allowed { throw Refusals.forbidden(creation, decision.reason) }
        let result = try apply(config, given, to: nil, force: false)
        var call = given
        call.managed = .some(result.managers)
        return try planUpsertCreate(call, try decoder.check(result.object, as: call.resource.kind).object, view)
    }

    private func apply(
        _ config: JSON, _ call: WriteCall, to live: JSON?, force: Bool
    ) throws(StatusError) -> ServerSideApply.Result {
        let rules = ServerSideApply(schema, kind: call.resource.kind)
        let owners = live.map { self.owners(of: $0, call, rules) } ?? ManagedFields()
        return try rules.apply(config, to: live, owners, fieldCall(call), force: force)
    }

    private func owners(of live: JSON, _ call: WriteCall, _ rules: ServerSideApply) -> ManagedFields {
        guard let found = ManagedFields(live["metadata", "managedFields"]), !found.isEmpty else {
            return rules.first(live, hasStatus: hasStatus(call))
        }
        return found
    }

    private func hasStatus(_ call: WriteCall) -> Bool { call.resource.subresource("status") != nil }

    private func fieldCall(_ call: WriteCall) -> ServerSideApply.Call {
        ServerSideApply.Call(
            manager: call.fieldManager, subresource: call.fieldSubresource ?? call.subresource,
            hasStatus: hasStatus(call), now: Timestamp.text(now()))
    }

    /// The owners after an ordinary write; nil: none are kept.
    func owners(after call: WriteCall, from old: JSON?, to new: JSON) -> ManagedFields? {
        if let managed = call.managed { return managed }
        let existing = ManagedFields(old?["metadata", "managedFields"]) ?? ManagedFields()
        var owners = existing
        if let given = new["metadata", "managedFields"], given != old?["metadata", "managedFields"] {
            guard let changed = ManagedFields(given), !changed.isEmpty else { return nil }
            owners = changed
        }
        guard !owners.isEmpty || call.fieldManager == Self.clientSideApply else { return nil }
        return ServerSideApply(schema, kind: call.resource.kind).updated(owners, from: old, to: new, fieldCall(call))
    }
}
