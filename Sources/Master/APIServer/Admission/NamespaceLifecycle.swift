// Nothing is created in a namespace that is missing or being deleted; four namespaces are never deleted.
// The machinery guards the transaction with the Namespace's revision, so the decision still holds when it is written.
import API

struct NamespaceLifecycle: AdmissionPlugin {
    static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        let request = write.attributes
        if request.group.isEmpty && request.resource == "namespaces" {
            if write.operation == .delete && Self.immortal.contains(request.name) {
                throw Status.forbidden(.namespaces, request.name, "this namespace may not be deleted")
            }
            return
        }
        guard write.operation == .create, !request.namespace.isEmpty else { return }
        // Reviews are answered and not kept.
        if request.group == "authorization.k8s.io" && request.resource == "localsubjectaccessreviews" { return }
        guard let namespace = reader.get(.namespaces, namespace: nil, name: request.namespace) else {
            throw Status.notFound(.namespaces, request.namespace)
        }
        guard namespace.isBeingDeleted || namespace["status", "phase"]?.string == "Terminating" else { return }
        throw Self.terminating(write)
    }

    private static func terminating(_ write: WriteRequest) -> StatusError {
        let namespace = write.attributes.namespace
        var error = write.forbidden(
            "unable to create new content in namespace \(namespace) because it is being terminated")
        error.status["details", "causes"] = [
            [
                "reason": "NamespaceTerminating", "message": .string("namespace \(namespace) is being terminated"),
                "field": "metadata.namespace"
            ]
        ]
        return error
    }
}
