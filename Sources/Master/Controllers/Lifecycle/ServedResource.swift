// What the API server serves, as far as namespace deletion and garbage collection need it. Given by whoever builds the
// master.

import API

/// A resource that can be listed and deleted.
package struct ServedResource: Sendable, Hashable {
    package var resource: GroupVersionResource
    package var kind: GroupVersionKind
    package var isNamespaced: Bool
    package var verbs: Set<String>

    package init(_ resource: GroupVersionResource, kind: String, isNamespaced: Bool, verbs: Set<String>) {
        self.resource = resource
        self.kind = GroupVersionKind(resource.group, resource.version, kind)
        self.isNamespaced = isNamespaced
        self.verbs = verbs
    }

    package func allows(_ verb: String) -> Bool { verbs.contains(verb) }
}

extension ServedResource {
    /// As the schema table tells it.
    package init(_ schema: ResourceSchema) {
        self.init(schema.resource, kind: schema.kind.kind, isNamespaced: schema.isNamespaced, verbs: Set(schema.verbs))
    }
}
