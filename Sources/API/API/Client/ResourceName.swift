// The names by which a kind and its resource are addressed.

/// A resource as it stands in a URL: `apps/v1 deployments`. The core group is "".
package struct GroupVersionResource: Hashable, Sendable, CustomStringConvertible {
    package var group: String
    package var version: String
    package var resource: String

    package init(_ group: String, _ version: String, _ resource: String) {
        self.group = group
        self.version = version
        self.resource = resource
    }

    /// `v1` or `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// `pods` or `deployments.apps`, as upstream's messages write it.
    package var groupResource: String { group.isEmpty ? resource : "\(resource).\(group)" }
    package var description: String { "\(apiVersion) \(resource)" }

    /// The URL path of a collection, an object or a subresource of one.
    package func path(namespace: String? = nil, name: String? = nil, subresource: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if let namespace, !namespace.isEmpty { path += "/namespaces/\(namespace)" }
        path += "/\(resource)"
        if let name { path += "/\(name)" }
        if let subresource { path += "/\(subresource)" }
        return path
    }
}

/// A kind as it stands in an object: `apps/v1 Deployment`.
package struct GroupVersionKind: Hashable, Sendable, CustomStringConvertible {
    package var group: String
    package var version: String
    package var kind: String

    package init(_ group: String, _ version: String, _ kind: String) {
        self.group = group
        self.version = version
        self.kind = kind
    }

    /// From an object's `apiVersion` ("v1", "apps/v1") and `kind`.
    package init(apiVersion: String, kind: String) {
        let parts = apiVersion.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        self.init(parts.count == 2 ? String(parts[0]) : "", String(parts.last ?? ""), kind)
    }

    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    package var description: String { "\(apiVersion), Kind=\(kind)" }
}

extension GroupVersionResource {
    package static let pods = Self("", "v1", "pods")
    package static let nodes = Self("", "v1", "nodes")
    package static let namespaces = Self("", "v1", "namespaces")
    package static let services = Self("", "v1", "services")
    package static let endpoints = Self("", "v1", "endpoints")
    package static let configMaps = Self("", "v1", "configmaps")
    package static let secrets = Self("", "v1", "secrets")
    package static let serviceAccounts = Self("", "v1", "serviceaccounts")
    package static let events = Self("", "v1", "events")
    package static let replicationControllers = Self("", "v1", "replicationcontrollers")
    package static let replicaSets = Self("apps", "v1", "replicasets")
    package static let deployments = Self("apps", "v1", "deployments")
    package static let daemonSets = Self("apps", "v1", "daemonsets")
    package static let controllerRevisions = Self("apps", "v1", "controllerrevisions")
    package static let endpointSlices = Self("discovery.k8s.io", "v1", "endpointslices")
    package static let leases = Self("coordination.k8s.io", "v1", "leases")
    package static let priorityClasses = Self("scheduling.k8s.io", "v1", "priorityclasses")
    package static let certificateSigningRequests = Self("certificates.k8s.io", "v1", "certificatesigningrequests")
    package static let roles = Self("rbac.authorization.k8s.io", "v1", "roles")
    package static let roleBindings = Self("rbac.authorization.k8s.io", "v1", "rolebindings")
    package static let clusterRoles = Self("rbac.authorization.k8s.io", "v1", "clusterroles")
    package static let clusterRoleBindings = Self("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
}
