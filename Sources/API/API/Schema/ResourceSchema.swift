// One resource of the API as the schema table tells it: names, scope, verbs, subresources, columns, selectable fields.
// Discovery, routing, Table and selectors read it. What a kind does is not here but in the API server's `Kinds`.

/// A resource and its kind.
package struct ResourceSchema: Sendable, Hashable {
    package var resource: GroupVersionResource
    package var kind: GroupVersionKind
    package var singular: String
    package var shortNames: [String]
    package var isNamespaced: Bool
    /// Sorted: `create delete deletecollection get list patch update watch`.
    package var verbs: [String]
    package var categories: [String]
    /// Whether this version of Tern serves it.
    package var isServed: Bool
    /// The full name of the kind's definition.
    package var definition: String
    package var subresources: [SubresourceSchema]
    package var columns: [ColumnSchema]
    /// Field labels beyond `metadata.name` (and `metadata.namespace` for namespaced kinds).
    package var selectableFields: [String]

    package var group: String { resource.group }
    package var version: String { resource.version }
    package var plural: String { resource.resource }
    package var listKind: String { kind.kind + "List" }

    package func subresource(_ name: String) -> SubresourceSchema? { subresources.first { $0.name == name } }
}

/// A subresource: its kind may be of another group (`policy/v1 Eviction`).
package struct SubresourceSchema: Sendable, Hashable {
    package var name: String
    package var kind: GroupVersionKind
    package var verbs: [String]
}

/// A column of a Table.
package struct ColumnSchema: Sendable, Hashable {
    package var name: String
    /// `string`, `integer`, `date`, ...
    package var type: String
    /// `name` for the first column, else usually "".
    package var format: String
    /// 0 = always shown, 1 = with `-o wide`.
    package var priority: Int
    package var description: String = ""
}
