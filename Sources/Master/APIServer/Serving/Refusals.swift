// Refusals of the request itself: forbidden, not acceptable. Upstream's words.
import API

enum Refusals {
    static func forbidden(_ attributes: RequestAttributes, _ reason: String) -> StatusError {
        let tail = reason.isEmpty ? "" : ": \(reason)"
        let user = attributes.user.name
        guard attributes.isResourceRequest else {
            return Status.forbidden(path: attributes.path, verb: attributes.verb, user: user, why: tail)
        }
        let resource = GroupVersionResource(attributes.group, attributes.version, attributes.resource)
        let target =
            attributes.subresource.isEmpty ? attributes.resource : "\(attributes.resource)/\(attributes.subresource)"
        let scope =
            attributes.namespace.isEmpty ? "at the cluster scope" : "in the namespace \(Go.quote(attributes.namespace))"
        return Status.forbidden(
            resource, attributes.name,
            "User \(Go.quote(user)) cannot \(attributes.verb) resource \(Go.quote(target)) in API group \(Go.quote(attributes.group)) \(scope)\(tail)"
        )
    }

    /// `streams`: a watch is to be had at this path too.
    static func notAcceptable(_ refusal: Representation.Refusal, streams: Bool = false) -> StatusError {
        switch refusal {
        case .noForm: return Status.notAcceptable(Encoding.mediaTypes)
        case .noMediaType:
            let watched = streams ? ["application/json", "application/vnd.kubernetes.protobuf"] : []
            let types = (Encoding.mediaTypes + watched.map { "\($0);stream=watch" }).joined(separator: ", ")
            return Status.failure(
                "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: \(types)", details: [:])
        }
    }
}

extension ResourceSchema {
    /// "" and the names of its subresources.
    var subresourceNames: [String] { [""] + subresources.map(\.name) }
}
