// Server-side apply: a configuration is merged into the live object, what its manager no longer names goes, and who
// else owns a changed field must agree or is overruled. Also the bookkeeping for ordinary updates of objects that have
// owners. Values in, values out; refusals are Status objects with upstream's words.

/// Applies configurations by the schema table.
package struct ServerSideApply: Sendable {
    private let table: SchemaTable
    private let kind: GroupVersionKind

    package init(_ table: SchemaTable, kind: GroupVersionKind) {
        self.table = table
        self.kind = kind
    }

    /// Where a write goes and when.
    package struct Call: Sendable {
        package var manager: String
        package var subresource: String
        /// Whether `status` belongs to a subresource.
        package var hasStatus: Bool
        package var now: String

        package init(manager: String, subresource: String, hasStatus: Bool, now: String) {
            self.manager = manager
            self.subresource = subresource
            self.hasStatus = hasStatus
            self.now = now
        }
    }

    /// An object with its owners.
    package struct Result: Sendable {
        package var object: JSON
        package var managers: ManagedFields
    }

    private var fields: TypedFields { TypedFields(table: table) }
    private var type: FieldType { table.type(of: kind).map { .reference($0.id) } ?? .raw }

    /// The configuration as the definition wants it; refuses unknown fields and wrong types.
    private func checked(_ config: JSON) throws(StatusError) -> JSON {
        let place = "(\(config.namespace)/\(config.name); \(kind.group)/\(kind.version), Kind=\(kind.kind))"
        let found: CheckedObject
        do { found = try table.check(config, as: kind) } catch {
            throw Status.badRequest("failed to create typed patch object \(place): \(error.message)")
        }
        let unknown = found.unknownFields.map { text in
            ".\(text.dropFirst("unknown field \"".count).dropLast()): field not declared in schema"
        }
        if unknown.isEmpty { return found.object }
        throw Status.badRequest(
            "failed to create typed patch object \(place): \(unknown.joined(separator: "\n"))")
    }

    /// The object after an apply. `live` nil: it is created.
    package func apply(
        _ config: JSON, to live: JSON?, _ managers: ManagedFields, _ call: Call, force: Bool
    ) throws(StatusError) -> Result {
        let wanted = try checked(config)
        var manager = FieldManager(
            name: call.manager, operation: "Apply", apiVersion: kind.apiVersion, subresource: call.subresource)
        let owned = owned(fields.fields(config, type, nil, containers: false), call)
        guard let live else {
            manager.fields = owned
            manager.time = call.now
            return Result(object: wanted, managers: ManagedFields([manager]).nonEmpty)
        }
        let merged = fields.merged(live, wanted, type, nil)
        let difference = fields.difference(live, merged, type, nil)
        let changed = self.owned(difference.added.union(difference.modified), call)
        let conflicts = managers.others(than: manager).map { ($0, $0.fields.intersection(changed)) }
            .filter { !$0.1.isEmpty }
        let isAllowed = force || isMigration(of: live, call, conflicts.map(\.1))
        if !conflicts.isEmpty && !isAllowed { throw Self.refusal(conflicts) }
        let others = managers.others(than: manager).reduce(FieldSet()) { $0.union($1.fields) }
        let gone = managers.fields(of: manager).subtracting(owned)
        let kept = others.union(owned)
        let object = fields.removing(gone, keeping: kept, from: merged, type, nil) ?? .object([:])
        let hasChanged = object != live
        let before = managers.managers.first { $0.isSame(manager) }
        manager.fields = owned
        manager.time = hasChanged ? call.now : before?.time
        let lost = conflicts.reduce(fields.difference(live, object, type, nil).removed) { $0.union($1.1) }
        return Result(object: object, managers: managers.changed(manager, othersLose: lost))
    }

    private static let lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

    /// Whether kubectl takes over only what it applied by itself before: it may.
    private func isMigration(of live: JSON, _ call: Call, _ conflicts: [FieldSet]) -> Bool {
        guard call.manager == "kubectl", let text = live.annotations[Self.lastApplied] else { return false }
        do {
            let before = fields.fields(try JSON.parse(text), type, nil, containers: false)
            return conflicts.allSatisfy { $0.subtracting(before).isEmpty }
        } catch {
            return false
        }
    }

    private static func refusal(_ conflicts: [(FieldManager, FieldSet)]) -> StatusError {
        var causes: [StatusCause] = []
        var lines: [String] = []
        let sorted = conflicts.sorted { $0.0.title < $1.0.title }
        let count = sorted.reduce(0) { $0 + $1.1.paths.count }
        for (manager, fields) in sorted {
            let paths = fields.paths
            causes += paths.map {
                StatusCause(reason: "FieldManagerConflict", message: "conflict with \(manager.title)", field: $0)
            }
            lines.append(
                count == 1
                    ? "conflict with \(manager.title): \(paths.joined())"
                    : "conflicts with \(manager.title):\n" + paths.map { "- \($0)" }.joined(separator: "\n"))
        }
        let title = count == 1 ? "1 conflict" : "\(count) conflicts"
        return Status.failure(
            "Conflict", "Apply failed with \(title): \(lines.joined(separator: "\n"))",
            details: Status.details(group: "", kind: "", causes: causes))
    }

    /// The owners after an ordinary write: its manager owns what it changed, nobody owns what went.
    package func updated(_ managers: ManagedFields, from old: JSON?, to new: JSON, _ call: Call) -> ManagedFields {
        let difference = fields.difference(old ?? .object([:]), new, type, nil)
        let changed = owned(difference.added.union(difference.modified), call)
        let removed = owned(difference.removed, call)
        if changed.isEmpty && removed.isEmpty { return managers }
        var manager = FieldManager(
            name: call.manager, operation: "Update", apiVersion: kind.apiVersion, subresource: call.subresource)
        let before = managers.managers.first { $0.isSame(manager) }
        manager.fields = (before?.fields ?? FieldSet()).subtracting(removed).union(changed)
        manager.time = changed.isEmpty ? before?.time : call.subresource == "scale" ? nil : call.now
        return managers.changed(manager, othersLose: changed.union(removed))
    }

    /// Owners of an object that had none so far.
    package func first(_ live: JSON, hasStatus: Bool) -> ManagedFields {
        let call = Call(manager: "before-first-apply", subresource: "", hasStatus: hasStatus, now: "")
        let all = owned(fields.fields(live, type, nil, containers: true), call)
        let manager = FieldManager(
            name: call.manager, operation: "Update", apiVersion: kind.apiVersion, fields: all)
        return ManagedFields([manager]).nonEmpty
    }

    private static let systemMetadata = [
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion",
        "deletionTimestamp", "deletionGracePeriodSeconds"
    ]

    /// Without what nobody can own, and without what this path does not write.
    private func owned(_ all: FieldSet, _ call: Call) -> FieldSet {
        var result = FieldSet()
        for (step, child) in all.children where !["f:apiVersion", "f:kind"].contains(step) {
            if call.subresource == "status" ? step != "f:status" : step == "f:status" && call.hasStatus { continue }
            var child = child
            if step == "f:metadata" {
                child.isMember = false
                for name in Self.systemMetadata { child.remove("f:\(name)") }
            }
            result.add(child, at: step)
        }
        return result
    }
}

extension ManagedFields {
    fileprivate var nonEmpty: ManagedFields { ManagedFields(managers.filter { !$0.fields.isEmpty }) }
}
