// Namespaces: they begin Active with the finalizer `kubernetes`, and go only when `namespaces/finalize` has taken it
// away.
import API

package struct NamespaceKind: StoredKind {
    package init() {}
    package var names: NameRule { .label }
    package var isNamespaced: Bool { false }
    package var hasStatus: Bool { true }
    package var deleteReturnsObject: Bool { true }
    package static let nameLabel = "kubernetes.io/metadata.name"

    package func fill(_ write: inout WriteRequest) {
        write.object["status"] = ["phase": "Active"]
        var finalizers = write.object["spec", "finalizers"]?.elements ?? []
        if !finalizers.contains("kubernetes") { finalizers.append("kubernetes") }
        write.object["spec", "finalizers"] = .array(finalizers)
        if !write.object.name.isEmpty {
            write.object["metadata", "labels", Self.nameLabel] = .string(write.object.name)
        }
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        if subresource != "finalize" { write.object["spec"] = old["spec"] }
        write.object["metadata", "labels", Self.nameLabel] = .string(old.name)
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        for finalizer in object["spec", "finalizers"]?.elements ?? [] {
            let name = finalizer.string ?? ""
            issues.invalid("spec.finalizers", finalizer, Names.qualifiedName(name))
            if !name.contains("/") && name != "kubernetes" {
                issues.invalid(
                    "spec.finalizers", finalizer, "name is neither a standard finalizer name nor is it fully qualified")
            }
        }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource == "finalize" { check(new, &issues) }
        if subresource == "status" {
            let phase = new["status", "phase"]?.string ?? ""
            if !new.isBeingDeleted && phase != "Active" && !phase.isEmpty {
                issues.invalid("status.Phase", .string(phase), "may only be 'Active' if `deletionTimestamp` is empty")
            }
            if new.isBeingDeleted && phase != "Terminating" {
                issues.invalid(
                    "status.Phase", .string(phase), "may only be 'Terminating' if `deletionTimestamp` is not empty")
            }
        }
    }

    /// Whether the namespace must stay although it is deleted.
    package static func isHeld(_ namespace: JSON) -> Bool { !(namespace["spec", "finalizers"]?.elements ?? []).isEmpty }
}
