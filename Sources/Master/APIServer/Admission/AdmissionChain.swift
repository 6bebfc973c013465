// The admission plugins in upstream's order: first all that change the object, then, after validation, those that
// only refuse. Everything works on local memory; the machinery repeats a refusal after ReadIndex before a client sees
// it.
import API

/// One plugin. Both halves default to nothing.
package protocol AdmissionPlugin: Sendable {
    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError)
    func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError)
}

extension AdmissionPlugin {
    package func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {}
    package func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {}
}

package struct AdmissionChain: AdmissionPolicy {
    private let plugins: [any AdmissionPlugin]

    package init(plugins: [any AdmissionPlugin]) { self.plugins = plugins }

    /// The plugins of a master.
    package init(
        authorizer: Authorizer, notReadyTolerationSeconds: Int64 = 300, unreachableTolerationSeconds: Int64 = 300
    ) {
        self.init(plugins: [
            NamespaceLifecycle(), ServiceAccountAdmission(), NodeRestriction(), TaintNodesByCondition(), PodPriority(),
            DefaultTolerationSeconds(
                notReadySeconds: notReadyTolerationSeconds, unreachableSeconds: unreachableTolerationSeconds),
            RuntimeClassAdmission(),
            CertificateAdmission(authorizer: authorizer), RoleEscalationAdmission(authorizer: authorizer)
        ])
    }

    package func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        for plugin in plugins { try plugin.admit(&write, reader: reader) }
    }

    package func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {
        for plugin in plugins { try plugin.validate(write, reader: reader) }
    }
}

extension WriteRequest {
    /// Whether this is the object itself of a core resource.
    func isCore(_ resource: String) -> Bool {
        attributes.group.isEmpty && attributes.resource == resource && attributes.subresource.isEmpty
    }

    var resource: GroupVersionResource {
        GroupVersionResource(attributes.group, attributes.version, attributes.resource)
    }

    /// The object's name, or that of the request.
    var objectName: String {
        if !object.name.isEmpty { return object.name }
        return attributes.name.isEmpty ? old?.name ?? "" : attributes.name
    }

    func forbidden(_ why: String) -> StatusError { Status.forbidden(resource, objectName, why) }
}
