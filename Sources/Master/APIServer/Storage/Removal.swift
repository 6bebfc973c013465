// The pure part of a deletion: options, preconditions, grace, finalizers of the propagation policy, and whether the
// object goes now.
import API

/// DeleteOptions as body and query give them.
package struct Removal: Sendable, Hashable {
    var gracePeriodSeconds: Int?
    var propagation: String?
    var uid: String?
    var resourceVersion: String?
    var isDryRun = false

    package init(_ options: DeleteOptions = DeleteOptions(), isDryRun: Bool = false) {
        gracePeriodSeconds = options.gracePeriodSeconds
        propagation = options.propagationPolicy
        uid = options.uid
        resourceVersion = options.resourceVersion
        self.isDryRun = isDryRun
    }

    /// From a DeleteOptions tree; throws 422 for values that upstream refuses.
    init(_ tree: JSON) throws(StatusError) {
        gracePeriodSeconds = tree["gracePeriodSeconds"]?.int.flatMap { Int(exactly: $0) }
        if let grace = gracePeriodSeconds, grace < 0 { gracePeriodSeconds = 1 }
        propagation = tree["propagationPolicy"]?.string
        uid = tree["preconditions", "uid"]?.string
        resourceVersion = tree["preconditions", "resourceVersion"]?.string
        let dryRun = tree["dryRun"]?.elements.compactMap(\.string) ?? []
        isDryRun = dryRun == ["All"]
        try check(orphan: tree["orphanDependents"]?.bool)
        if let orphan = tree["orphanDependents"]?.bool { propagation = orphan ? "Orphan" : "Background" }
    }

    private func check(orphan: Bool?) throws(StatusError) {
        guard let propagation else { return }
        let kind = GroupVersionKind("meta.k8s.io", "v1", "DeleteOptions")
        if orphan != nil {
            let message =
                "Invalid value: \(Go.quote(propagation)): orphanDependents and deletionPropagation cannot be both set"
            throw Status.invalid(
                kind, "", [StatusCause(reason: "FieldValueInvalid", message: message, field: "propagationPolicy")])
        }
        if ["Foreground", "Background", "Orphan"].contains(propagation) { return }
        let message =
            "Unsupported value: \(Go.quote(propagation)): supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        throw Status.invalid(
            kind, "", [StatusCause(reason: "FieldValueNotSupported", message: message, field: "propagationPolicy")])
    }
}

/// What becomes of the object.
package enum RemovalDecision: Sendable {
    /// Gone at once; the object as it was last.
    case remove(JSON)
    /// Stays, marked as being deleted.
    case keep(JSON)
    /// Already being deleted as asked.
    case unchanged(JSON)
}

extension Removal {
    static let gcFinalizers = ["orphan", "foregroundDeletion"]

    /// No finalizer holds the object (a Namespace has finalizers of its own in its spec).
    static func isFree(_ object: JSON) -> Bool {
        object.finalizers.isEmpty && (object["spec", "finalizers"]?.elements ?? []).isEmpty
    }

    static func graceIsOver(_ object: JSON) -> Bool {
        (object["metadata", "deletionGracePeriodSeconds"]?.int ?? 0) == 0
    }

    func checkPreconditions(_ object: JSON, _ kind: GroupVersionKind) throws(StatusError) {
        let shown = GroupVersionResource(kind.group, kind.version, kind.kind)
        if let uid, uid != object.uid {
            throw Status.conflict(
                shown, object.name,
                "the UID in the precondition (\(uid)) does not match the UID in record (\(object.uid)). "
                    + "The object might have been deleted and then recreated")
        }
        if let resourceVersion, resourceVersion != object.resourceVersion {
            throw Status.conflict(
                shown, object.name,
                "the ResourceVersion in the precondition (\(resourceVersion)) does not match the ResourceVersion in record "
                    + "(\(object.resourceVersion)). The object might have been modified")
        }
    }

    /// `grace` is what the kind makes of the asked seconds.
    package func decide(_ stored: JSON, grace: Int, defaultPropagation: String, now: Double) -> RemovalDecision {
        var object = stored
        object["metadata", "finalizers"] = Self.list(finalizers(stored, defaultPropagation))
        let held = !Self.isFree(object)
        if stored.isBeingDeleted { return again(stored, object, grace: grace, held: held, now: now) }
        if grace == 0 && !held {
            // A pod's last state says that it was deleted, and with which grace.
            if object.kind == "Pod" { Self.mark(&object, grace: 0, now: now) }
            return .remove(object)
        }
        Self.mark(&object, grace: grace, now: now)
        return .keep(object)
    }

    private func again(_ stored: JSON, _ given: JSON, grace: Int, held: Bool, now: Double) -> RemovalDecision {
        var object = given
        let pending = Int(stored["metadata", "deletionGracePeriodSeconds"]?.int ?? 0)
        if grace == 0 || pending == 0 {
            if !Self.isNamespace(object) { object["metadata", "deletionGracePeriodSeconds"] = 0 }
            if !held { return .remove(object) }
            return object == stored ? .unchanged(stored) : .keep(object)
        }
        if grace < pending {
            object["metadata", "deletionTimestamp"] = .string(Timestamp.text(now + Double(grace)))
            object["metadata", "deletionGracePeriodSeconds"] = .int(Int64(grace))
            return .keep(object)
        }
        return object == stored ? .unchanged(stored) : .keep(object)
    }

    private static func mark(_ object: inout JSON, grace: Int, now: Double) {
        object["metadata", "deletionTimestamp"] = .string(Timestamp.text(now + Double(grace)))
        object["metadata", "deletionGracePeriodSeconds"] = .int(Int64(grace))
        if object.generation > 0 { object["metadata", "generation"] = .int(object.generation &+ 1) }
        if isNamespace(object) {
            object["metadata", "deletionGracePeriodSeconds"] = nil
            object["status", "phase"] = "Terminating"
        }
    }

    /// A Namespace has no grace: its own finalizers hold it.
    private static func isNamespace(_ object: JSON) -> Bool { object.kind == "Namespace" && object.apiVersion == "v1" }

    /// The finalizers after the propagation policy had its say.
    private func finalizers(_ object: JSON, _ defaultPropagation: String) -> [String] {
        let existing = object.finalizers
        let hasOwn = existing.contains { Self.gcFinalizers.contains($0) }
        if propagation == nil && hasOwn { return existing }
        let others = existing.filter { !Self.gcFinalizers.contains($0) }
        switch propagation ?? defaultPropagation {
        case "Orphan": return others + ["orphan"]
        case "Foreground": return others + ["foregroundDeletion"]
        default: return others
        }
    }

    private static func list(_ finalizers: [String]) -> JSON? {
        finalizers.isEmpty ? nil : .array(finalizers.map { .string($0) })
    }
}
